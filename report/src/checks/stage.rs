//! How far a missing change got. Each stage says whether, and where, it can still be found.

use artifacts::ledger::{Op, Phase};
use artifacts::position::Lsn;
use serde_json::Value;

use crate::verify::context::Context;
use crate::verify::history::{KeyHistory, Wanted};

/// The stages of `violations.jsonl`, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Delivery had not settled, or the topics were not read to their ends: it may be there.
    NotYet,
    /// Publication or connector leave the table or the operation out.
    DroppedByConfig,
    /// Neither in the topics nor in the new database.
    LostByCopy,
    /// The slot still holds it.
    Recoverable,
    /// The slot has passed it or is no more.
    Gone,
    /// The slot was not looked into.
    NotObserved,
}

impl Stage {
    /// As in `violations.jsonl`; none when nothing was observed.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::DroppedByConfig => Some("dropped-by-config"),
            Self::NotYet => Some("not-yet"),
            Self::LostByCopy => Some("lost-by-copy"),
            Self::Recoverable => Some("recoverable"),
            Self::Gone => Some("gone"),
            Self::NotObserved => None,
        }
    }

    /// Decides the stage of a change that is in no topic.
    pub(super) fn of(cx: &Context, history: &KeyHistory, wanted: &Wanted) -> Self {
        let fact = &wanted.fact;
        if !cx.conclusive() {
            return Self::NotYet;
        }
        if dropped(cx, &history.table, fact.op, fact.phase) {
            return Self::DroppedByConfig;
        }
        if fact.phase == Phase::Before && carried(cx, history, wanted) == Some(false) {
            return Self::LostByCopy;
        }
        in_slot(cx, wanted)
    }
}

/// Whether the slot of the change's server still holds it: the old one's as the cut saw it, the new
/// one's as it was at the end. The list of pending transactions decides; without one, a slot that
/// has confirmed nothing above a position below the change cannot have passed it.
fn in_slot(cx: &Context, wanted: &Wanted) -> Stage {
    let fact = &wanted.fact;
    let name = if fact.phase == Phase::Before { "cut" } else { "after" };
    let linked = matches!(cx.run.transfer.as_deref(), Some("link" | "swap"));
    if linked && fact.phase == Phase::Before {
        return Stage::Gone; // The old server cannot be started any more.
    }
    let Ok(snapshot) = cx.snapshot(name) else { return Stage::NotObserved };
    let Some(slot) = &snapshot.slot else {
        let looked = !snapshot.unobserved.contains_key("/slot");
        return if looked { Stage::Gone } else { Stage::NotObserved };
    };
    if fact.op == Op::Read {
        return Stage::Gone; // A snapshot event never was in a slot.
    }
    if let (Some(pending), Some(xid)) = (&snapshot.slot_pending, fact.xid) {
        let low = (xid & u64::from(u32::MAX)) as u32;
        return if pending.binary_search(&low).is_ok() { Stage::Recoverable } else { Stage::Gone };
    }
    let confirmed = slot.get("confirmed_flush_lsn").and_then(Value::as_str);
    let confirmed = confirmed.and_then(|text| text.parse::<Lsn>().ok());
    match (confirmed, fact.lsn_floor) {
        (Some(confirmed), Some(floor)) if confirmed <= floor => Stage::Recoverable,
        _ => Stage::NotObserved,
    }
}

/// Whether the new database got the row as the change left it, or a later version of it. After-phase
/// changes of the key build on what was copied; without any, the row at the end is the copied one.
/// Where the rows are not known, the table's fingerprints before and after the copy speak.
fn carried(cx: &Context, history: &KeyHistory, wanted: &Wanted) -> Option<bool> {
    let fact = &wanted.fact;
    let later = |w: &&Wanted| w.fact.phase == Phase::After && w.required;
    if let Some(next) = history.expected.iter().find(later) {
        let above = if next.fact.op == Op::Delete { fact.ver } else { fact.ver.saturating_add(1) };
        return Some(fact.op != Op::Delete && next.fact.ver >= above);
    }
    if !cx.rows_known(&history.table) {
        return cx.copied(&history.table).filter(|same| *same);
    }
    let deleted = history.expected.iter().any(|w| w.fact.op == Op::Delete);
    match history.row_after {
        None => Some(deleted),
        Some(_) if fact.op == Op::Delete => Some(false),
        Some(row) => {
            let same = |w: &Wanted| w.fact.ver >= fact.ver && w.fact.row == Some(row);
            Some(history.expected.iter().any(same))
        }
    }
}

/// Whether publication or connector leave out the table or the operation.
fn dropped(cx: &Context, table: &str, op: Op, phase: Phase) -> bool {
    let setting = |key: &str| cx.setting(phase, key).unwrap_or_default();
    if op == Op::Read && matches!(setting("snapshot.mode"), "never" | "no_data") {
        return true;
    }
    let skipped = setting("skipped.operations").split(',').any(|skipped| skipped.trim() == op.to_string());
    let included = setting("table.include.list");
    let left_out = !included.is_empty() && !listed(included, table, true);
    skipped
        || left_out
        || listed(setting("table.exclude.list"), table, false)
        || unpublished(cx, table, op, phase)
}

/// Whether a list of regular expressions names the table. Expressions other than a plain name are
/// not evaluated: `doubtful` is the answer for them.
fn listed(list: &str, table: &str, doubtful: bool) -> bool {
    list.split(',').map(|name| name.trim().replace("\\.", ".")).filter(|name| !name.is_empty()).any(|name| {
        name == table || (doubtful && name.contains(['*', '+', '?', '[', '(', '|', '\\', '^', '$']))
    })
}

fn unpublished(cx: &Context, table: &str, op: Op, phase: Phase) -> bool {
    let name = if phase == Phase::Before { "cut" } else { "after" };
    let publication = cx.snapshot(name).ok().and_then(|snapshot| snapshot.publication.as_ref());
    let Some(publication) = publication else { return false };
    let kind = match op {
        Op::Create => "insert",
        Op::Update => "update",
        Op::Delete | Op::Tombstone => "delete",
        Op::Read => return false,
    };
    publication.get(kind) == Some(&Value::Bool(false)) || !publishes(publication, table)
}

/// Whether a publication has the table; true when it does not say.
pub(super) fn publishes(publication: &Value, table: &str) -> bool {
    let Some(tables) = publication.get("tables").and_then(Value::as_array) else { return true };
    let short = table.rsplit('.').next().unwrap_or(table);
    tables.iter().any(|name| name.as_str().is_some_and(|name| name == table || name == short))
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn a_list_is_read_as_plain_names() {
        assert!(listed("public\\.orders, public.customers", "public.orders", false));
        assert!(!listed("public.orders", "public.customers", true));
        assert!(listed("public\\..*", "public.customers", true));
        assert!(!listed("public\\..*", "public.customers", false));
        assert!(!listed("", "public.orders", true));
    }
}
