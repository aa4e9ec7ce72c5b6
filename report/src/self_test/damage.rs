//! Faults of the evidence itself: files that are cut, corrupt or contradict each other, and positions
//! that are not what they were.

use artifacts::ledger::Entry;
use artifacts::position::Lsn;
use serde_json::{Value, json};

use super::copy::{Damage, Edit, Spoil, ledger_name};
use super::original::Original;
use super::{Expected, Planted};
use crate::verify::rows::step_folder;
use crate::verify::summaries;

const CONSUMED: &str = "consumed.jsonl.zst";
const RESUME: &str = "snapshots/at-resume.json";

/// Spoils; none when the run has no place for it.
pub(super) type Fault = fn(&Original) -> Option<Planted>;

/// By name, in the order of the table.
pub(super) const FAULTS: [(&str, Fault); 15] = [
    ("the end of a topic not in the file", tail_not_in_file),
    ("the ledger cut in the middle of a line", |o| cut_ledger(o, true)),
    ("the ledger cut between two lines", |o| cut_ledger(o, false)),
    ("the ledger's file truncated", |o| damage(o, &ledger_name(o), "nothing-missing", truncate)),
    ("the ledger's file corrupt", corrupt_ledger),
    ("consumed.jsonl.zst truncated", |o| damage(o, CONSUMED, "nothing-missing", truncate)),
    ("consumed.jsonl.zst corrupt", corrupt_topics),
    ("collected.json truncated", |o| damage(o, "collected.json", "nothing-missing", truncate)),
    ("a snapshot truncated", |o| damage(o, "snapshots/cut.json", "database-carried-over", truncate)),
    ("the rows of a table truncated", rows_truncated),
    ("evidence changed after the seal", after_seal),
    ("the stored offset moved", |o| moved_offset(o, true)),
    ("a position of the stored offset moved", |o| moved_offset(o, false)),
    ("system identifiers swapped", swapped_identifiers),
    ("the last marker lost", lost_marker),
];

fn unknown(spoil: Spoil, check: &'static str, file: &str, place: bool) -> Option<Planted> {
    Some(Planted { spoil, expected: Expected::Unknown { check, file: file.to_owned(), place }, column: None })
}

fn broken(edits: Vec<(String, Edit)>, check: &'static str) -> Option<Planted> {
    let expected = Expected::Broken { named: Default::default(), more: vec![check] };
    Some(Planted { spoil: Spoil { edits, ..Spoil::default() }, expected, column: None })
}

fn truncate(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() * 2 / 3);
}

#[expect(clippy::ptr_arg, reason = "as every damage")]
fn flip(bytes: &mut Vec<u8>) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x55;
    }
}

fn damage(original: &Original, file: &str, check: &'static str, how: fn(&mut Vec<u8>)) -> Option<Planted> {
    original.run.path(file).exists().then_some(())?;
    let damage: Damage = Box::new(how);
    let spoil = Spoil { damage: vec![(file.to_owned(), damage)], ..Spoil::default() };
    unknown(spoil, check, file, true)
}

/// Both files are written again: what an earlier version of the tool wrote has no checksums in it.
fn corrupt_ledger(original: &Original) -> Option<Planted> {
    let mut planted = damage(original, &ledger_name(original), "nothing-missing", flip)?;
    planted.spoil.ledger = Some(original.ledger.clone());
    Some(planted)
}

fn corrupt_topics(original: &Original) -> Option<Planted> {
    let mut planted = damage(original, CONSUMED, "nothing-missing", flip)?;
    planted.spoil.events = Some(original.events.clone());
    Some(planted)
}

/// Somebody has read them, and the file does not have them.
fn tail_not_in_file(original: &Original) -> Option<Planted> {
    let mut events = original.events.clone();
    let last = events.iter().rposition(|event| event.at.is_some())?;
    events.remove(last);
    let spoil = Spoil { events: Some(events), keep_counts: true, ..Spoil::default() };
    unknown(spoil, "nothing-missing", "collected.json", false)
}

fn cut_ledger(original: &Original, torn: bool) -> Option<Planted> {
    let keep = original.ledger.len() * 3 / 4;
    let ledger = original.ledger[..keep].to_vec();
    let name = ledger_name(original);
    let mut spoil = Spoil { ledger: Some(ledger), ..Spoil::default() };
    if torn {
        let tear: Damage = Box::new(|bytes| {
            let text = zstd::decode_all(bytes.as_slice()).unwrap_or_default();
            *bytes = zstd::encode_all(&text[..text.len().saturating_sub(20)], 1).unwrap_or_default();
        });
        spoil.damage.push((name.clone(), tear));
        return unknown(spoil, "nothing-invented", &name, true);
    }
    unknown(spoil, "nothing-missing", &summary(original)?, false)
}

/// The last summary of the data generator.
fn summary(original: &Original) -> Option<String> {
    summaries::read(&original.run).ok()?.last().map(|(file, ..)| file.clone())
}

fn rows_truncated(original: &Original) -> Option<Planted> {
    let table = original.tables.keys().next_back()?;
    let file = format!("{}/rows-{table}.jsonl", step_folder(&original.run, "capture-after")?);
    let cut: Damage = Box::new(|bytes| bytes.truncate((bytes.len() * 2 / 3).saturating_sub(3)));
    let spoil = Spoil { damage: vec![(file.clone(), cut)], ..Spoil::default() };
    unknown(spoil, "tables-converge", &file, true)
}

fn after_seal(original: &Original) -> Option<Planted> {
    original.run.path(CONSUMED).exists().then_some(())?;
    let damage: Damage = Box::new(flip);
    let damage = vec![(CONSUMED.to_owned(), damage)];
    unknown(Spoil { damage, after_seal: true, ..Spoil::default() }, "nothing-missing", CONSUMED, false)
}

/// The connector resumed far behind the end of the WAL.
fn moved_offset(original: &Original, all: bool) -> Option<Planted> {
    original.run.snapshot("at-resume").ok()??.offset?;
    let far = Lsn(1 << 50);
    let edit: Edit = Box::new(move |snapshot| {
        let stored = &mut snapshot["offset"]["raw"]["offsets"][0]["offset"];
        if all {
            *stored = json!({"lsn": far.0, "lsn_proc": far.0});
            snapshot["offset"]["position"]["lsn"] = json!(far.to_string());
        } else {
            stored["lsn_proc"] = json!(far.0);
        }
    });
    broken(vec![(RESUME.to_owned(), edit)], "positions-consistent")
}

/// The offset is one of the old server's.
fn swapped_identifiers(original: &Original) -> Option<Planted> {
    original.run.snapshot("at-resume").ok()??.offset?;
    let old = original.run.snapshot("cut").ok()??.server.position.system_identifier;
    let edit: Edit = Box::new(move |snapshot| {
        snapshot["offset"]["position"]["system_identifier"] = json!(old);
    });
    broken(vec![(RESUME.to_owned(), edit)], "positions-consistent")
}

/// The drain says that it arrived, and the topic does not have it.
fn lost_marker(original: &Original) -> Option<Planted> {
    let topic = format!("{}.message", original.prefix);
    let mut events = original.events.clone();
    events.remove(events.iter().rposition(|event| *event.topic == *topic)?);
    let file = format!("{}/drain.json", step_folder(&original.run, "drain-again")?);
    unknown(Spoil { events: Some(events), ..Spoil::default() }, "still-flowing", &file, true)
}

/// What the data generator would have counted if it had not learned the fate of a transaction.
pub(super) fn one_more_unknown(
    original: &Original,
    ledger: &[Entry],
    tx: &str,
) -> Option<Vec<(String, Edit)>> {
    let phase = ledger.iter().find_map(|entry| match entry {
        Entry::Invoke { tx: of, phase, .. } if of == tx => Some(*phase),
        _ => None,
    });
    let touched = ledger.iter().find_map(|entry| match entry {
        Entry::Returned { tx: of, counts, .. } if of == tx => Some(counts.iter().filter(|n| **n > 0).count()),
        _ => None,
    })?;
    let list = summaries::read(&original.run).ok()?;
    let (file, ..) = list.into_iter().rfind(|(_, _, summary)| Some(summary.phase) == phase)?;
    let edit: Edit = Box::new(move |summary| {
        let add = |value: &mut Value, n: i64| *value = json!(value.as_i64().unwrap_or(0) + n);
        add(&mut summary["transactions"]["acknowledged"], -1);
        add(&mut summary["transactions"]["unknown"], 1);
        // Only their sum is held against the ledger.
        add(&mut summary["acknowledged"]["insert"], -(touched as i64));
    });
    Some(vec![(file, edit)])
}
