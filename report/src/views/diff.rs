//! Before and after, side by side: what changed, what came, what went, and whether it should have.

use artifacts::snapshot::Snapshot;
use serde::Serialize;

use super::Limits;
use super::flatten::{Group, Values};
use super::marks::{self, Part};
use crate::input::{Input, Seen};
use crate::text::{clip, count};

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) pairs: Vec<Pair>,
}

/// Two snapshots.
#[derive(Debug, Serialize)]
pub(crate) struct Pair {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) left: String,
    pub(crate) right: String,
    pub(crate) summary: String,
    pub(crate) blocks: Vec<Block>,
    /// Groups in which nothing differs.
    pub(crate) equal: Vec<Block>,
}

/// One group of values.
#[derive(Debug, Serialize)]
pub(crate) struct Block {
    pub(crate) title: &'static str,
    /// Why a side has nothing to show.
    pub(crate) unobserved: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) same: Vec<Row>,
    /// `12 unchanged`
    pub(crate) same_count: String,
    pub(crate) hidden: Option<String>,
}

/// One value on both sides.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// `=`, `±`, `+`, `−`
    pub(crate) sign: &'static str,
    /// The sign in a word.
    pub(crate) word: &'static str,
    pub(crate) before: Vec<Part>,
    pub(crate) after: Vec<Part>,
    pub(crate) note: &'static str,
    /// The note is a warning.
    pub(crate) odd: bool,
}

/// Whether a value may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Moves,
    Stays,
    Either,
}

const BEFORE_AFTER: [Group; 14] = Group::ALL;
const CARRIED: [Group; 4] = [Group::Tables, Group::Sequences, Group::Roles, Group::Settings];

/// Builds the view.
pub(crate) fn view(input: &Input, limits: Limits) -> View {
    View {
        pairs: vec![
            pair(input, limits, ("before", "after"), &BEFORE_AFTER),
            pair(input, limits, ("cut", "restored"), &CARRIED),
        ],
    }
}

fn pair(input: &Input, limits: Limits, names: (&'static str, &'static str), groups: &[Group]) -> Pair {
    let carried = names.0 == "cut";
    let side = |name: &str| input.snapshots.iter().find(|(n, _)| *n == name).map(|(_, s)| s);
    let (left, right) = (side(names.0), side(names.1));
    let blocks: Vec<Block> = groups.iter().map(|g| block(*g, left, right, carried, limits)).collect();
    let (equal, blocks): (Vec<Block>, Vec<Block>) = blocks
        .into_iter()
        .filter(Block::anything)
        .partition(|b| b.rows.is_empty() && b.unobserved.is_empty());
    let rows = || blocks.iter().flat_map(|b| &b.rows);
    let odd = rows().filter(|r| r.odd).count() as u64;
    let (title, about) = if carried {
        (
            "What the upgrade carried over",
            "The old database at the cut and the new one before anything wrote to it. Rows, sequences and roles must be equal.",
        )
    } else {
        (
            "Before and after",
            "The whole arrangement before the procedure and at its end. Positions and counters are expected to move.",
        )
    };
    Pair {
        id: if carried { "carried-over" } else { "before-and-after" },
        title,
        about,
        left: label(left, names.0),
        right: label(right, names.1),
        summary: match (rows().count() as u64, odd) {
            (0, _) => "No difference.".into(),
            (n, 0) => format!("{}, none of them unexpected.", count(n, "difference")),
            (n, odd) => {
                format!("{}, {odd} of them where the value should have stayed.", count(n, "difference"))
            }
        },
        blocks,
        equal,
    }
}

/// `before: old server, 15.18`
fn label(snapshot: Option<&Seen<Snapshot>>, name: &str) -> String {
    match snapshot {
        Some(Ok(s)) => format!("{name}: {} server, {}", s.server.role, clip(&s.server.version, 40)),
        _ => format!("{name}: not observed"),
    }
}

impl Block {
    fn anything(&self) -> bool {
        !self.rows.is_empty() || !self.same.is_empty() || !self.unobserved.is_empty()
    }
}

fn block(
    group: Group,
    left: Option<&Seen<Snapshot>>,
    right: Option<&Seen<Snapshot>>,
    carried: bool,
    limits: Limits,
) -> Block {
    let mut unobserved: Vec<String> = [left, right].into_iter().filter_map(|s| missing(group, s)).collect();
    unobserved.dedup();
    let values = |s: Option<&Seen<Snapshot>>| match s {
        Some(Ok(s)) => group.values(s),
        _ => Values::new(),
    };
    let (before, after) = (values(left), values(right));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let rows = names.into_iter().map(|name| {
        let expected = if carried { Expected::Stays } else { expected(group, name) };
        // With one side unobserved nothing can be called a change.
        let judged = if unobserved.is_empty() { expected } else { Expected::Either };
        row(name, before.get(name), after.get(name), judged, limits)
    });
    let (mut same, mut rows): (Vec<Row>, Vec<Row>) = rows.partition(|r| r.sign == "=");
    rows.sort_by_key(|r| !r.odd);
    let total = rows.len();
    let same_count = same.len() as u64;
    rows.truncate(limits.rows);
    same.truncate(limits.rows);
    let hidden = total.saturating_sub(rows.len()) + (same_count as usize).saturating_sub(same.len());
    Block {
        title: group.title(),
        unobserved,
        rows,
        same,
        same_count: format!("{same_count} unchanged"),
        hidden: (hidden > 0).then(|| format!("{hidden} more in the snapshots")),
    }
}

/// Why a side shows nothing of a group.
fn missing(group: Group, snapshot: Option<&Seen<Snapshot>>) -> Option<String> {
    match snapshot? {
        Err(why) => Some(clip(why, 300)),
        Ok(s) => {
            let reason = |p: &&str| s.unobserved.get(*p).map(|why| format!("{}: {}", s.name, clip(why, 300)));
            group.pointers().iter().find_map(reason)
        }
    }
}

fn row(
    name: &str,
    before: Option<&String>,
    after: Option<&String>,
    expected: Expected,
    limits: Limits,
) -> Row {
    let cut = |value: &String| clip(value, limits.chars);
    let (sign, word) = match (before, after) {
        (Some(b), Some(a)) if b == a => ("=", "unchanged"),
        (Some(_), Some(_)) => ("±", "changed"),
        (Some(_), None) => ("−", "removed"),
        (None, _) => ("+", "added"),
    };
    let whole = |value: Option<&String>| {
        value.map(|v| vec![Part { text: cut(v), changed: sign != "=" }]).unwrap_or_default()
    };
    let (before, after) = match (before, after) {
        (Some(b), Some(a)) if b != a => marks::mark(&cut(b), &cut(a)),
        (b, a) => (whole(b), whole(a)),
    };
    let odd = expected == Expected::Stays && sign != "=";
    let note = match expected {
        Expected::Stays if odd => "should have stayed",
        Expected::Moves if sign != "=" => "expected",
        _ => "",
    };
    Row { name: clip(name, limits.chars.min(160)), sign, word, before, after, note, odd }
}

/// What a procedure that works leaves alone, and what it must move.
fn expected(group: Group, name: &str) -> Expected {
    use Expected::{Either, Moves, Stays};
    match group {
        Group::Server | Group::Offset | Group::Tables | Group::Sequences | Group::Audit => Moves,
        Group::Slot => match name {
            "slot_name"
            | "plugin"
            | "slot_type"
            | "database"
            | "temporary"
            | "two_phase"
            | "wal_status"
            | "invalidation_reason"
            | "conflicting"
            | "active" => Stays,
            _ => Moves,
        },
        Group::Publication | Group::ReplicaIdentity | Group::Roles => Stays,
        Group::Config => match name {
            "database.hostname" | "database.port" => Moves,
            _ => Stays,
        },
        Group::Status if name.ends_with("state") => Stays,
        Group::Status | Group::Settings => Either,
        Group::Topics | Group::Subjects => Moves,
    }
}
