//! `positions-consistent`: at resume, the stored offset is a position of the history that the
//! connector is about to read, between the slot's restart_lsn and the end of the WAL.
//!
//! An offset of another history is not refused by anyone: PostgreSQL accepts a start position in
//! its own future and drops whatever commits below it. The offset names no server, so the claim of
//! the snapshot is checked: an offset that is word for word the one at the cut is still a position
//! of the server that was read then. Told to trust the slot, Debezium starts there and not at an offset
//! below it.

use artifacts::findings::{Evidence, Verdict};
use artifacts::position::{Lsn, Position};
use artifacts::snapshot::{Snapshot, StoredOffset};
use serde_json::Value;

use super::{Answer, Check, evidence};
use crate::verify::context::{Context, Doubt};
use crate::verify::remedy::{self, FROM_THE_NEW_SLOT};
use crate::verify::violations::Violations;

const FILE: &str = "snapshots/at-resume.json";

/// See the module.
pub(super) struct PositionsConsistent;

impl Check for PositionsConsistent {
    fn name(&self) -> &'static str {
        "positions-consistent"
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        let at = match cx.snapshot("at-resume") {
            Ok(snapshot) => snapshot,
            Err(doubt) => return Answer::unknown(0, &[doubt]),
        };
        let Some(offset) = &at.offset else { return without_offset(cx, at) };
        let unchanged = cx.snapshot("cut").ok().filter(|cut| same(cut.offset.as_ref(), offset));
        let history = match unchanged {
            Some(cut) => &cut.server.position,
            None => &offset.position,
        };
        let offset_at = Position { lsn: offset.position.lsn, ..history.clone() };
        let mut seen = vec![
            evidence(format!("the stored offset is {offset_at}"), FILE, "/offset"),
            evidence(format!("the server's WAL is at {}", at.server.position), FILE, "/server/position"),
        ];
        if unchanged.is_some() {
            let text = "the stored offset is word for word the one at the cut";
            seen.push(evidence(text.to_owned(), "snapshots/cut.json", "/offset/raw"));
        }
        let doubts: Vec<Doubt> =
            [contradiction(cx, at, offset), elsewhere(cx, at)].into_iter().flatten().collect();
        let answer = judge(cx, at, offset, &offset_at, seen);
        if answer.verdict == Verdict::Held && !doubts.is_empty() {
            return Answer::unknown(answer.compared, &doubts);
        }
        answer
    }
}

fn without_offset(cx: &Context, at: &Snapshot) -> Answer {
    if let Some(why) = at.unobserved.get("/offset") {
        let evidence = evidence(format!("the stored offset was not observed: {why}"), FILE, "/offset");
        return Answer::unknown(0, &[again(cx, evidence)]);
    }
    let text = "no offset was stored at resume, so none of another history: the connector decides by its \
                snapshot.mode where it starts";
    Answer::held(1, text.to_owned()).with([evidence(text.to_owned(), FILE, "/offset")])
}

/// The snapshot names another position than the stored offset holds.
fn contradiction(cx: &Context, at: &Snapshot, offset: &StoredOffset) -> Option<Doubt> {
    let lsn = offset.position.lsn;
    if positions(offset).iter().skip(1).any(|(_, stored)| *stored == lsn) {
        return None;
    }
    let text = format!("{}: the stored offset is said to be {lsn}, and nothing in it is", at.name);
    Some(again(cx, evidence(text, FILE, "/offset/raw")))
}

/// The server at resume is not the one at the end.
fn elsewhere(cx: &Context, at: &Snapshot) -> Option<Doubt> {
    let end = &cx.snapshot("after").ok()?.server.position;
    let resume = &at.server.position;
    (end.system_identifier != resume.system_identifier).then(|| {
        let text = format!("the connector resumed at {resume}, and the server at the end is at {end}");
        again(cx, evidence(text, FILE, "/server/position"))
    })
}

fn again(cx: &Context, evidence: Evidence) -> Doubt {
    Doubt { evidence, remedy: remedy::rehearse(&cx.run) }
}

/// Whether an offset is the one that was stored at the cut.
fn same(cut: Option<&StoredOffset>, offset: &StoredOffset) -> bool {
    cut.is_some_and(|cut| cut.raw == offset.raw)
}

fn judge(
    cx: &Context,
    at: &Snapshot,
    offset: &StoredOffset,
    offset_at: &Position,
    seen: Vec<Evidence>,
) -> Answer {
    let wal = &at.server.position;
    let slot = |column: &str| at.slot.as_ref()?.get(column)?.as_str()?.parse::<Lsn>().ok();
    let (restart, confirmed) = (slot("restart_lsn"), slot("confirmed_flush_lsn"));
    let show = |lsn: Option<Lsn>| lsn.map_or("none".to_owned(), |lsn| lsn.to_string());
    let reads = format!(
        "the slot is at restart_lsn {}, confirmed_flush_lsn {}, the WAL at {wal}",
        show(restart),
        show(confirmed)
    );
    let seen = seen.into_iter().chain([evidence(reads.clone(), FILE, "/slot")]);
    let remedy = remedy::rehearse_or(&cx.run, FROM_THE_NEW_SLOT);
    if let Some(strategy) = jumps_to_the_slot(at, offset, confirmed) {
        let text = format!(
            "at resume the stored offset was {offset_at}, below the slot: with offset.mismatch.strategy={strategy} the \
             connector starts at the slot instead: {reads}"
        );
        return Answer::held(1, text).with(seen);
    }
    if !offset_at.same_history(wal) {
        let text = format!(
            "at resume the stored offset was {offset_at}, a position of another history than the one the connector is \
             about to read: {reads}"
        );
        return Answer::broken(1, text, &remedy).with(seen);
    }
    let Some(restart) = restart else {
        let evidence =
            evidence("at resume there was no slot to hold the offset against".to_owned(), FILE, "/slot");
        return Answer::unknown(1, &[again(cx, evidence)]);
    };
    let positions = positions(offset);
    let compared = positions.len() as u64 + 1;
    let outside = positions.iter().find(|(_, lsn)| *lsn < restart || *lsn > wal.lsn);
    if let Some((name, lsn)) = outside {
        let text = format!("at resume the stored {name} {lsn} was outside of what the server has: {reads}");
        return Answer::broken(compared, text, &remedy).with(seen);
    }
    let text =
        format!("at resume the stored offset was {offset_at}, in the history about to be read: {reads}");
    Answer::held(compared, text).with(seen)
}

/// The strategy by which Debezium leaves an offset below the slot alone. It compares numbers, whatever
/// their histories; an offset above the slot is followed all the same.
fn jumps_to_the_slot(at: &Snapshot, offset: &StoredOffset, confirmed: Option<Lsn>) -> Option<String> {
    let strategy = at.connector.as_ref()?.config.get("offset.mismatch.strategy")?;
    let trusts = matches!(strategy.as_str(), "trust_slot" | "trust_greater_lsn");
    let below = positions(offset).iter().all(|(_, lsn)| Some(*lsn) < confirmed);
    (trusts && below).then(|| strategy.clone())
}

/// Every position in the offset: Debezium reads `lsn_proc` and `lsn_commit` too, and they win over
/// `lsn`.
fn positions(offset: &StoredOffset) -> Vec<(&'static str, Lsn)> {
    let mut list = vec![("lsn", offset.position.lsn)];
    let raw = offset.raw.pointer("/offsets").and_then(Value::as_array).into_iter().flatten();
    for stored in raw {
        for name in ["lsn", "lsn_proc", "lsn_commit"] {
            let lsn = stored.pointer(&format!("/offset/{name}")).and_then(Value::as_u64);
            list.extend(lsn.map(|lsn| (name, Lsn(lsn))));
        }
    }
    list
}
