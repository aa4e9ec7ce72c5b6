//! Before and after, side by side: what changed, what came, what went, and whether it should have.

use std::collections::BTreeSet;

use artifacts::snapshot::Snapshot;
use serde::Serialize;

use super::Limits;
use super::flatten::Group;
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
    /// Why there is nothing to compare.
    pub(crate) unobserved: Vec<String>,
    pub(crate) summary: String,
    /// Groups with a difference.
    pub(crate) blocks: Vec<Block>,
    /// Groups without one, or of which only one side was observed.
    pub(crate) folded: Vec<Block>,
    /// Groups that neither side has, with the reason.
    pub(crate) absent: Vec<Block>,
}

/// One group of values.
#[derive(Debug, Serialize)]
pub(crate) struct Block {
    pub(crate) title: &'static str,
    /// `=`, or `?` when one side was not observed.
    pub(crate) sign: &'static str,
    /// Why a side, or a value, has nothing to show.
    pub(crate) unobserved: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) same: Vec<Row>,
    /// `12 unchanged`
    pub(crate) same_count: String,
    pub(crate) hidden: Option<String>,
    #[serde(skip)]
    differences: u64,
    #[serde(skip)]
    odd: u64,
}

/// One value on both sides.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// `=`, `±`, `+`, `−`, `?`
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

const CARRIED: [Group; 4] = [Group::Tables, Group::Sequences, Group::Roles, Group::Settings];

/// Builds the view.
pub(crate) fn view(input: &Input, limits: Limits) -> View {
    View {
        pairs: vec![
            pair(input, limits, ("cut", "restored"), &CARRIED),
            pair(input, limits, ("before", "after"), &Group::ALL),
        ],
    }
}

/// What is compared.
#[derive(Clone, Copy)]
struct Sides<'a> {
    left: &'a Seen<Snapshot>,
    right: &'a Seen<Snapshot>,
    /// Everything must be equal.
    carried: bool,
    /// The stored offset is a position of the old server to the end.
    stale: bool,
}

fn pair(input: &Input, limits: Limits, names: (&'static str, &'static str), groups: &[Group]) -> Pair {
    let never = Err("no such snapshot".to_owned());
    let side = |name: &str| input.snapshots.iter().find(|(n, _)| *n == name).map_or(&never, |(_, s)| s);
    let (left, right) = (side(names.0), side(names.1));
    let sides = Sides { left, right, carried: names.0 == "cut", stale: stale(side("cut"), right) };
    let all: Vec<Block> = groups.iter().map(|group| block(*group, sides, limits)).collect();
    let differences = all.iter().map(|b| b.differences).sum();
    let odd = all.iter().map(|b| b.odd).sum();
    let (absent, rest): (Vec<Block>, Vec<Block>) =
        all.into_iter().partition(|b| b.rows.is_empty() && b.same.is_empty());
    let (folded, blocks) = rest.into_iter().partition(|b| b.rows.is_empty());
    let (id, title, about) = if sides.carried {
        (
            "carried-over",
            "What the upgrade carried over",
            "The old database at the cut and the new one before anything wrote to it. Rows, sequences and roles \
             must be equal.",
        )
    } else {
        (
            "start-to-end",
            "From start to end",
            "The whole arrangement before the procedure and at its end. Positions and counters are expected to \
             move.",
        )
    };
    let unobserved: Vec<String> = [sides.left, sides.right]
        .into_iter()
        .filter_map(|s| s.as_ref().err())
        .map(|why| clip(why, 300))
        .collect();
    Pair {
        id,
        title,
        about,
        left: label(sides.left, names.0),
        right: label(sides.right, names.1),
        summary: if unobserved.is_empty() { summary(differences, odd) } else { String::new() },
        unobserved,
        blocks,
        folded,
        absent: absent.into_iter().filter(|b| !b.unobserved.is_empty()).collect(),
    }
}

/// Whether the offset at the end is the one at the cut, although another server is read by then.
fn stale(cut: &Seen<Snapshot>, after: &Seen<Snapshot>) -> bool {
    let (Ok(cut), Ok(after)) = (cut, after) else { return false };
    let lsn = |s: &Snapshot| s.offset.as_ref().map(|offset| offset.position.lsn);
    lsn(after).is_some()
        && lsn(after) == lsn(cut)
        && !cut.server.position.same_history(&after.server.position)
}

fn summary(differences: u64, odd: u64) -> String {
    let differences = match differences {
        0 => "No difference".to_owned(),
        n => count(n, "difference"),
    };
    match odd {
        0 if differences.starts_with("No") => format!("{differences}."),
        0 => format!("{differences}, each where a value may change."),
        1 => format!("{differences}; 1 value is not as expected."),
        odd => format!("{differences}; {odd} values are not as expected."),
    }
}

/// `before: old server, 15.18`
fn label(snapshot: &Seen<Snapshot>, name: &str) -> String {
    match snapshot {
        Ok(s) => format!("{name}: {} server, {}", s.server.role, clip(&s.server.version, 40)),
        Err(_) => format!("{name}: not observed"),
    }
}

fn block(group: Group, sides: Sides<'_>, limits: Limits) -> Block {
    let values = |s: &Seen<Snapshot>| s.as_ref().map(|s| group.values(s)).unwrap_or_default();
    let (before, after) = (values(sides.left), values(sides.right));
    let (blind, unobserved) = unobserved(group, sides, limits);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let rows = names.into_iter().map(|name| {
        let one_sided = before.contains_key(name) != after.contains_key(name);
        let expected = match (sides.carried, group) {
            (true, Group::Settings) => Expected::Either,
            (true, _) => Expected::Stays,
            (false, _) => expected(group, name, one_sided),
        };
        let row = row(name, before.get(name), after.get(name), expected, limits);
        let position = group == Group::Offset && (name.starts_with("lsn") || name.starts_with("attributed"));
        match position && sides.stale {
            _ if blind => row.not_compared(),
            true => Row { note: "still the old server's", odd: true, ..row },
            false => row,
        }
    });
    let quiet = |r: &Row| matches!(r.sign, "=" | "?") && !r.odd;
    let (mut same, mut rows): (Vec<Row>, Vec<Row>) = rows.partition(quiet);
    rows.sort_by_key(|r| !r.odd);
    let (listed, equal) = (rows.len(), same.len());
    let differences = rows.iter().filter(|r| r.sign != "=").count() as u64;
    let odd = rows.iter().filter(|r| r.odd).count() as u64;
    rows.truncate(limits.rows);
    same.truncate(limits.rows);
    let hidden = listed - rows.len() + equal - same.len();
    Block {
        title: group.title(),
        sign: if blind { "?" } else { "=" },
        unobserved,
        rows,
        same,
        same_count: format!("{equal} {}", if blind { "not compared" } else { "unchanged" }),
        hidden: (hidden > 0).then(|| format!("{hidden} more in the snapshots")),
        differences,
        odd,
    }
}

/// Whether a side of a group was not observed at all, and every reason that the snapshots give for
/// the group or for a value of it.
fn unobserved(group: Group, sides: Sides<'_>, limits: Limits) -> (bool, Vec<String>) {
    let mut blind = false;
    let mut reasons: Vec<(&str, String)> = Vec::new();
    for snapshot in [sides.left, sides.right] {
        let Ok(s) = snapshot else {
            blind = true;
            continue;
        };
        for (pointer, why) in &s.unobserved {
            let whole = group.pointers().contains(&pointer.as_str());
            let inside =
                group.pointers().iter().any(|p| pointer.strip_prefix(p).is_some_and(|r| r.starts_with('/')));
            blind |= whole;
            if whole || inside {
                let value =
                    if whole { String::new() } else { format!("{}: ", clip(pointer, limits.chars.min(120))) };
                reasons.push((&s.name, format!("{value}{}", clip(why, limits.chars.min(300)))));
            }
        }
    }
    let text = match reasons.as_slice() {
        [(_, one), (_, other)] if one == other => vec![one.clone()],
        _ => {
            reasons.iter().take(limits.rows).map(|(name, why)| format!("{}: {why}", clip(name, 40))).collect()
        }
    };
    (blind, text)
}

impl Row {
    /// A value of which only one side was observed says nothing about a change.
    fn not_compared(mut self) -> Self {
        (self.sign, self.word, self.note, self.odd) = ("?", "not compared", "", false);
        self.before.iter_mut().chain(&mut self.after).for_each(|part| part.changed = false);
        self
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
fn expected(group: Group, name: &str, added_or_removed: bool) -> Expected {
    use Expected::{Either, Moves, Stays};
    match group {
        Group::Server | Group::Offset | Group::Tables | Group::Sequences | Group::Audit => Moves,
        // A column that only one of the versions has says nothing.
        Group::Slot if added_or_removed => Either,
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
        Group::Publication | Group::ReplicaIdentity => Stays,
        Group::Config => match name {
            "database.hostname" | "database.port" => Moves,
            _ => Stays,
        },
        Group::Status if name.ends_with("state") => Stays,
        // The writer's role has lost its login at the end: the second fence.
        Group::Status | Group::Settings | Group::Roles => Either,
        Group::Subjects if name.ends_with(" compatibility") => Stays,
        Group::Topics | Group::Subjects => Moves,
    }
}
