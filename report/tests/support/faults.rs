//! Faults to plant into a rehearsal, each with the violations that it must cause and no others.

use std::collections::{BTreeMap, BTreeSet};

use artifacts::findings::ViolationKind;
use artifacts::ledger::{Entry, Op, Phase};
use artifacts::row::LEFT_OUT;
use serde_json::json;

use super::sim::Dice;
use super::{Record, Rehearsal, judge};

/// What a violation must say: kind, table, key and version, with the stage of a repeat.
pub type Named = (ViolationKind, String, i64, Option<u32>, Option<&'static str>);

/// What to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An event never arrives; a delete neither with its tombstone.
    Drop,
    /// A tombstone never arrives.
    DropTombstone,
    /// An event arrives once more, as it was.
    Repeat,
    /// A change is executed again: same row, other position.
    Execute,
    /// Two events of a key change places.
    Swap,
    /// A text column differs.
    AlterText,
    /// An update leaves out the wide value that it has changed.
    LeaveOut,
    /// The version differs.
    AlterVersion,
    /// The change id differs.
    AlterChangeId,
    /// An insert that nobody made.
    InventInsert,
    /// An update that nobody made.
    InventUpdate,
    /// A tombstone of a row that nobody deleted.
    InventTombstone,
}

/// All of them.
pub const FAULTS: [Fault; 12] = [
    Fault::Drop,
    Fault::DropTombstone,
    Fault::Repeat,
    Fault::Execute,
    Fault::Swap,
    Fault::AlterText,
    Fault::LeaveOut,
    Fault::AlterVersion,
    Fault::AlterChangeId,
    Fault::InventInsert,
    Fault::InventUpdate,
    Fault::InventTombstone,
];

/// Plants a fault at a key that has none yet; nothing when no record fits.
pub fn plant(
    rehearsal: &mut Rehearsal,
    fault: Fault,
    dice: &mut Dice,
    used: &mut BTreeSet<(String, i64)>,
) -> Option<Named> {
    let known = judge::acknowledged(&rehearsal.ledger);
    let deleted = deleted(&rehearsal.ledger);
    let fits = |record: &Record| {
        let op = record.op();
        let acknowledged = record.change_id.is_some_and(|id| known.contains_key(&id));
        !used.contains(&at(record))
            && match fault {
                Fault::DropTombstone => acknowledged && op == "tombstone",
                Fault::InventUpdate | Fault::InventTombstone => {
                    matches!(op.as_str(), "c" | "u") && !deleted.contains(&at(record))
                }
                Fault::Repeat => acknowledged && op != "tombstone",
                // Without FULL, a deletion has its key only.
                Fault::AlterText => {
                    acknowledged && op != "tombstone" && (op != "d" || record.table != "public.documents")
                }
                Fault::Drop => acknowledged && matches!(op.as_str(), "c" | "u" | "d"),
                _ => acknowledged && matches!(op.as_str(), "c" | "u"),
            }
    };
    let mut candidates: Vec<usize> =
        (0..rehearsal.records.len()).filter(|i| fits(&rehearsal.records[*i])).collect();
    if fault == Fault::LeaveOut {
        candidates.retain(|i| rewrites_body(&rehearsal.records, *i));
    }
    if fault == Fault::Swap {
        candidates.retain(|i| next_of(rehearsal, *i).is_some());
    }
    let i = *candidates.get(dice.below(candidates.len() as u64) as usize)?;
    let record = rehearsal.records[i].clone();
    used.insert(at(&record));
    let named = spoil(rehearsal, fault, i, &record);
    used.insert((named.1.clone(), named.2));
    Some(named)
}

/// Keys that somebody deletes, whatever becomes of it.
fn deleted(ledger: &[Entry]) -> BTreeSet<(String, i64)> {
    let changes = ledger.iter().filter_map(|entry| match entry {
        Entry::Invoke { changes, .. } => Some(changes),
        _ => None,
    });
    let deletes = changes.flatten().filter(|change| change.op == Op::Delete);
    deletes.filter_map(|change| Some((change.table.clone(), change.key?))).collect()
}

fn at(record: &Record) -> (String, i64) {
    (record.table.clone(), record.row_key)
}

/// The next record of the same key, if it is an update.
fn next_of(rehearsal: &Rehearsal, i: usize) -> Option<usize> {
    let records = &rehearsal.records;
    let next = (i + 1..records.len()).find(|n| at(&records[*n]) == at(&records[i]))?;
    (records[next].op() == "u").then_some(next)
}

fn ver(record: &Record) -> Option<u32> {
    let value: serde_json::Value = serde_json::from_str(record.value.as_deref()?).unwrap();
    value["after"]["ver"].as_u64().map(|n| n as u32)
}

fn text_column(table: &str) -> &'static str {
    match table {
        "public.orders" => "payload",
        "public.customers" => "email",
        _ => "title",
    }
}

/// Whether it is an update that brings a new body, and no other one leaves that out.
fn rewrites_body(records: &[Record], i: usize) -> bool {
    let leaves_out = |record: &Record| record.value.as_ref().is_some_and(|text| text.contains(LEFT_OUT));
    let body = |record: &Record| {
        let value: serde_json::Value = serde_json::from_str(record.value.as_deref()?).unwrap();
        value["after"]["body"].as_str().map(str::to_owned)
    };
    let of_key = |record: &&Record| at(record) == at(&records[i]);
    let next = records[i + 1..].iter().find(of_key);
    let rewrites = records[i].op() == "u" && body(&records[i]).is_some() && !leaves_out(&records[i]);
    rewrites && !next.is_some_and(leaves_out)
}

/// A deletion does not always say which version goes: the last one of the key.
fn deleted_ver(rehearsal: &Rehearsal, of: &Record) -> Option<u32> {
    rehearsal.records.iter().filter(|record| at(record) == at(of)).filter_map(ver).max()
}

/// Makes a record one that comes again in one of the ways in which that happens: which one.
fn again(record: &mut Record, fault: Fault, i: usize) -> &'static str {
    match (fault, record.op().as_str()) {
        (Fault::Execute, _) => {
            record.edit(|value| value["source"]["lsn"] = json!(9_999_999_999_u64));
            "double-execution"
        }
        (_, "r") => "re-snapshot",
        _ if i.is_multiple_of(2) => "producer-retry",
        _ => {
            record.edit(|value| value["ts_ns"] = json!(value["ts_ns"].as_u64().unwrap() + 1));
            "re-delivery"
        }
    }
}

fn spoil(rehearsal: &mut Rehearsal, fault: Fault, i: usize, record: &Record) -> Named {
    let named = |kind, ver, stage| (kind, record.table.clone(), record.row_key, ver, stage);
    let mut extra = Record { phase: Phase::After, ..record.clone() };
    match fault {
        Fault::Drop | Fault::DropTombstone => {
            rehearsal.records.remove(i);
            if record.op() == "d" {
                rehearsal.records.remove(i); // Its tombstone.
            }
            let ver = ver(record).or_else(|| deleted_ver(rehearsal, record));
            named(ViolationKind::Missing, ver, None)
        }
        Fault::Repeat | Fault::Execute => {
            let stage = again(&mut extra, fault, i);
            rehearsal.records.push(extra);
            let ver = ver(record).or_else(|| deleted_ver(rehearsal, record));
            named(ViolationKind::Repeated, ver, Some(stage))
        }
        Fault::Swap => {
            let next = next_of(rehearsal, i).unwrap();
            let (first, second) = (rehearsal.records[i].value.clone(), rehearsal.records[next].value.clone());
            (rehearsal.records[i].value, rehearsal.records[next].value) = (second, first);
            named(ViolationKind::Reordered, ver(record), None)
        }
        Fault::AlterText | Fault::LeaveOut | Fault::AlterVersion | Fault::AlterChangeId => {
            let image = if record.op() == "d" { "before" } else { "after" };
            let (column, value) = match fault {
                Fault::AlterText => (text_column(&record.table), json!("altered")),
                Fault::LeaveOut => ("body", json!(LEFT_OUT)),
                Fault::AlterVersion => ("ver", json!(999)),
                _ => ("change_id", json!(99_999_999)),
            };
            rehearsal.records[i].edit(|event| event[image][column] = value);
            let ver = ver(&rehearsal.records[i]).or_else(|| deleted_ver(rehearsal, record));
            named(ViolationKind::Altered, ver, None)
        }
        Fault::InventInsert => {
            extra.row_key = 5_000_000 + record.row_key;
            extra.key = Some(json!({ "id": extra.row_key }).to_string());
            let key = extra.row_key;
            extra.edit(|event| {
                event["op"] = json!("c");
                event["after"]["id"] = json!(key);
            });
            let ver = ver(&extra);
            rehearsal.records.push(extra);
            (ViolationKind::Unexpected, record.table.clone(), key, ver, None)
        }
        Fault::InventUpdate => {
            extra.edit(|event| {
                event["op"] = json!("u");
                event["after"]["ver"] = json!(900);
                event["after"]["change_id"] = json!(88_888_888);
            });
            rehearsal.records.push(extra);
            named(ViolationKind::Unexpected, Some(900), None)
        }
        Fault::InventTombstone => {
            extra.value = None;
            rehearsal.records.push(extra);
            named(ViolationKind::Unexpected, None, None)
        }
    }
}

/// The violations that planted faults and their consequences for the tables must cause.
pub fn expected(
    rehearsal: &Rehearsal,
    planted: &[Named],
) -> BTreeMap<ViolationKind, BTreeSet<(String, i64)>> {
    let mut expected: BTreeMap<ViolationKind, BTreeSet<(String, i64)>> = BTreeMap::new();
    for (kind, table, key, ..) in planted {
        expected.entry(*kind).or_default().insert((table.clone(), *key));
    }
    let diverged = judge::diverged(rehearsal);
    if !diverged.is_empty() {
        expected.insert(ViolationKind::Diverged, diverged);
    }
    expected
}
