//! `database-carried-over`: the new database, before anything writes to it, is the old one at the
//! cut: tables, sequences and roles. Roles that only the new server has do no harm, and neither does a
//! sequence that has gone on by as much as PostgreSQL logs ahead: after a crash it does.

use std::collections::BTreeMap;
use std::fmt::Display;

use artifacts::findings::Evidence;
use artifacts::snapshot::Snapshot;

use super::{Answer, Check, count, evidence};
use crate::verify::context::{Context, Doubt};
use crate::verify::remedy;
use crate::verify::violations::Violations;

const FILE: &str = "snapshots/restored.json";
/// Values that PostgreSQL logs ahead of use: `SEQ_LOG_VALS` in its sequence.c.
const LOGGED_AHEAD: i64 = 32;
const REAL: &str =
    "keep the old server, shut every writer out of both, and copy again: tables, sequences and roles";

/// See the module.
pub(super) struct DatabaseCarriedOver;

impl Check for DatabaseCarriedOver {
    fn name(&self) -> &'static str {
        "database-carried-over"
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        match (cx.snapshot("cut"), cx.snapshot("restored")) {
            (Ok(cut), Ok(restored)) => compare(cx, cut, restored),
            (cut, restored) => {
                let doubts: Vec<Doubt> = [cut.err(), restored.err()].into_iter().flatten().collect();
                Answer::unknown(0, &doubts)
            }
        }
    }
}

fn compare(cx: &Context, cut: &Snapshot, restored: &Snapshot) -> Answer {
    let mut differences = Vec::new();
    let state = |s: &Snapshot| -> BTreeMap<String, String> {
        s.tables
            .iter()
            .map(|(table, s)| (table.clone(), format!("{} rows, fingerprint {}", s.rows, s.fingerprint)))
            .collect()
    };
    differ("table", "tables", &state(cut), &state(restored), true, &mut differences);
    let (sequences, skipped) = without_gaps(&cut.sequences, &restored.sequences);
    differ("sequence", "sequences", &sequences, &restored.sequences, true, &mut differences);
    differ("role", "roles", &cut.roles, &restored.roles, false, &mut differences);
    let (tables, sequence_count, roles) = (cut.tables.len(), cut.sequences.len(), cut.roles.len());
    let compared = (tables + sequence_count + roles) as u64;
    let rows = count(cut.tables.values().map(|table| table.rows).sum(), "row");
    let what = format!(
        "{} with {rows}, {} and {}",
        count(tables as u64, "table"),
        count(sequence_count as u64, "sequence"),
        count(roles as u64, "role")
    );
    if !differences.is_empty() {
        let n = count(differences.len() as u64, "difference");
        let text = format!("{n} between the old database at the cut and the new one before writers ({what})");
        return Answer::broken(compared, text, &remedy::rehearse_or(&cx.run, REAL)).with(differences);
    }
    let mut doubts: Vec<Doubt> = [cut, restored].iter().flat_map(|s| unobserved(cx, s)).collect();
    doubts.extend(cx.tables.keys().filter(|table| !cut.tables.contains_key(*table)).map(|table| Doubt {
        evidence: evidence(
            format!("{table} is not in snapshots/cut.json and not in {FILE}"),
            FILE,
            "/tables",
        ),
        remedy: remedy::rehearse(&cx.run),
    }));
    if !doubts.is_empty() {
        return Answer::unknown(compared, &doubts);
    }
    let seen = evidence(format!("{what} are equal in snapshots/cut.json and {FILE}"), FILE, "/tables");
    Answer::held(compared, format!("{what} are in the new database as they were at the cut"))
        .with([seen])
        .with(skipped)
}

/// The sequences of the cut, those that have gone on after a crash as they are restored; and these.
fn without_gaps(
    cut: &BTreeMap<String, i64>,
    restored: &BTreeMap<String, i64>,
) -> (BTreeMap<String, i64>, Vec<Evidence>) {
    let (mut sequences, mut skipped) = (cut.clone(), Vec::new());
    for (name, value) in &mut sequences {
        let Some(after) = restored.get(name).filter(|after| (1..=LOGGED_AHEAD).contains(&(**after - *value)))
        else {
            continue;
        };
        let text = format!(
            "sequence {name}: {value} at the cut, {after} restored: after a crash PostgreSQL goes on with the value that \
             it had logged ahead, so that none is given out twice"
        );
        skipped.push(evidence(text, FILE, &format!("/sequences/{name}")));
        *value = *after;
    }
    (sequences, skipped)
}

/// One sentence per entry that differs. `extra`: an entry that only the new side has counts too.
fn differ<T: PartialEq + Display>(
    noun: &str,
    pointer: &str,
    cut: &BTreeMap<String, T>,
    restored: &BTreeMap<String, T>,
    extra: bool,
    out: &mut Vec<Evidence>,
) {
    let mut add = |name: &str, text: String| {
        out.push(evidence(format!("{noun} {name}: {text}"), FILE, &format!("/{pointer}/{name}")));
    };
    for (name, before) in cut {
        match restored.get(name) {
            None => add(name, format!("{before} at the cut, not in the new database")),
            Some(after) if after != before => add(name, format!("{before} at the cut, {after} restored")),
            Some(_) => {}
        }
    }
    for (name, after) in restored.iter().filter(|(name, _)| extra && !cut.contains_key(*name)) {
        add(name, format!("not there at the cut, {after} restored"));
    }
}

fn unobserved(cx: &Context, snapshot: &Snapshot) -> Vec<Doubt> {
    let file = format!("snapshots/{}.json", snapshot.name);
    let parts = [
        ("/tables", snapshot.tables.is_empty()),
        ("/sequences", snapshot.sequences.is_empty()),
        ("/roles", snapshot.roles.is_empty()),
    ];
    let lacking =
        parts.iter().filter(|(pointer, empty)| *empty || snapshot.unobserved.contains_key(*pointer));
    lacking
        .map(|(pointer, _)| {
            let why = snapshot.unobserved.get(*pointer).map_or("it is empty", String::as_str);
            Doubt {
                evidence: evidence(format!("{file} does not show {}: {why}", &pointer[1..]), &file, pointer),
                remedy: remedy::rehearse(&cx.run),
            }
        })
        .collect()
}
