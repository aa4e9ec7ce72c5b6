//! Property: of small histories with any faults planted on top of each other, the verifier names what a
//! reference names that is written for clarity: lists that are searched from one end to the other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use artifacts::findings::{Verdict, ViolationKind};
use artifacts::ledger::{Entry, Fate, Op};
use artifacts::row::{self, Digest, LEFT_OUT};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::judge::{self, Judged};
use support::sim::Dice;
use support::{Plan, Record, Rehearsal, story::rehearse};

/// Table and key.
type At = (String, i64);
/// Kind, table and key, version, operation.
type Named = (ViolationKind, At, Option<u32>, Option<Op>);

/// What a client did to a row, unless the server refused it.
#[derive(Debug)]
struct Change {
    at: At,
    op: Op,
    ver: u32,
    id: u64,
    tx: String,
    xid: Option<u64>,
    row: Option<Digest>,
    /// The server acknowledged it, or somebody found out later that it is there.
    known: bool,
    /// Its transaction got as far as COMMIT.
    sent: bool,
}

fn changes(ledger: &[Entry]) -> Vec<Change> {
    let mut all = Vec::new();
    for entry in ledger {
        match entry {
            Entry::Seed { table, key, ver, row } => all.push(Change {
                at: (table.clone(), *key),
                op: Op::Read,
                ver: *ver,
                id: 0,
                tx: String::new(),
                xid: None,
                row: Some(*row),
                known: true,
                sent: true,
            }),
            Entry::Invoke { tx, changes, .. } => {
                let known = ledger.iter().any(|e| match e {
                    Entry::Ok { tx: of, .. } | Entry::Settled { tx: of, fate: Fate::Ok, .. } => of == tx,
                    _ => false,
                });
                let refused = ledger.iter().any(|e| match e {
                    Entry::Fail { tx: of, .. } | Entry::Settled { tx: of, fate: Fate::Fail, .. } => of == tx,
                    _ => false,
                });
                let returned = ledger.iter().find_map(|e| match e {
                    Entry::Returned { tx: of, xid, keys, counts, rows } if of == tx => {
                        Some((xid.parse().unwrap(), keys, counts, rows))
                    }
                    _ => None,
                });
                for (i, change) in changes.iter().enumerate() {
                    let touched = returned.as_ref().is_none_or(|(_, _, counts, _)| counts[i] > 0);
                    let key = returned.as_ref().and_then(|(_, keys, ..)| keys[i]).or(change.key);
                    let Some(key) = key.filter(|_| touched && !refused) else { continue };
                    all.push(Change {
                        at: (change.table.clone(), key),
                        op: change.op,
                        ver: change.ver,
                        id: change.id,
                        tx: tx.clone(),
                        xid: returned.as_ref().map(|(xid, ..)| *xid),
                        row: returned.as_ref().and_then(|(.., rows)| rows[i]),
                        known,
                        sent: returned.is_some(),
                    });
                }
            }
            _ => {}
        }
    }
    all
}

/// A record of a table.
#[derive(Debug)]
struct Event {
    at: At,
    op: Op,
    value: Value,
    /// Index of the change that it delivers.
    of: Option<usize>,
    /// Nothing delivered that before it.
    first: bool,
}

impl Event {
    /// The row; of a deletion without FULL there is only the key.
    fn image(&self) -> &Value {
        match self.op {
            Op::Delete if self.at.0 == "public.documents" => &Value::Null,
            Op::Delete => &self.value["before"],
            _ => &self.value["after"],
        }
    }

    fn ver(&self) -> Option<u32> {
        self.image()["ver"].as_u64().map(|ver| ver as u32)
    }
}

fn events(records: &[Record], changes: &[Change]) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut in_order: Vec<&Record> = records.iter().filter(|record| !record.table.is_empty()).collect();
    in_order.sort_by_key(|record| record.partition);
    for record in in_order {
        let op = serde_json::from_value(json!(record.op())).unwrap();
        let value = record.value.as_deref().map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
        let at = (record.table.clone(), record.row_key);
        let mut event = Event { at, op, value, of: None, first: false };
        event.of = delivers(&event, &events, changes);
        let before = events.iter().filter(|other| other.of.is_some() && other.of == event.of);
        let tombstone = op == Op::Tombstone;
        let again = before.into_iter().any(|other| (other.op == Op::Tombstone) == tombstone);
        event.first = event.of.is_some_and(|of| !again && (tombstone || !covered(of, &events, changes)));
        events.push(event);
    }
    events
}

/// The change that an event delivers: inserts and updates carry its id, a deletion its transaction.
fn delivers(event: &Event, before: &[Event], changes: &[Change]) -> Option<usize> {
    let of_key: Vec<usize> = (0..changes.len()).filter(|i| changes[*i].at == event.at).collect();
    let deletes: Vec<usize> = of_key.iter().copied().filter(|i| changes[*i].op == Op::Delete).collect();
    match event.op {
        Op::Delete => {
            let xid = event.value["source"]["txId"].as_u64();
            deletes.iter().copied().find(|i| changes[*i].xid == xid)
        }
        Op::Tombstone => {
            let deleted = |i: &usize| before.iter().any(|e| e.op == Op::Delete && e.of == Some(*i));
            let known = |i: &usize| changes[*i].known;
            let mut deletes = deletes.iter().copied();
            deletes.clone().find(deleted).or(deletes.clone().find(known)).or(deletes.next())
        }
        op => {
            let id = event.value["after"]["change_id"].as_u64();
            let same = |i: &usize| {
                let change = &changes[*i];
                Some(change.id) == id && change.op != Op::Delete && (op == Op::Read || op == change.op)
            };
            of_key.into_iter().find(same)
        }
    }
}

/// A snapshot that opens the history of a key stands for the versions before the one that it read.
fn covered(of: usize, events: &[Event], changes: &[Change]) -> bool {
    let change = &changes[of];
    let opens = events.iter().find(|event| event.at == change.at && event.of.is_some());
    let read = opens.filter(|event| event.op == Op::Read).and_then(|event| event.of);
    change.op != Op::Delete
        && is_proven(change, changes)
        && read.is_some_and(|read| change.ver < changes[read].ver)
}

/// Its version was there: acknowledged, or nobody else can have made what a later acknowledged change found.
fn is_proven(change: &Change, changes: &[Change]) -> bool {
    let others = || changes.iter().filter(|other| other.at == change.at && other.id != change.id);
    let rival = others().any(|other| other.op != Op::Delete && other.ver == change.ver);
    let found = others().any(|other| {
        other.known && (other.ver > change.ver || (other.op == Op::Delete && other.ver == change.ver))
    });
    change.known || (change.op != Op::Delete && !rival && found)
}

fn missing(changes: &[Change], events: &[Event]) -> Vec<Named> {
    let arrived = |of: usize, tombstone: bool| {
        events.iter().any(|event| event.of == Some(of) && (event.op == Op::Tombstone) == tombstone)
    };
    let there = |i: usize| arrived(i, false) || covered(i, events, changes);
    // All or none of a transaction whose fate nobody knows.
    let of_tx = |of: usize| (0..changes.len()).filter(move |i| changes[*i].tx == changes[of].tx);
    let committed = |i: usize| {
        let seen = |i: usize| is_proven(&changes[i], changes) || arrived(i, false) || arrived(i, true);
        is_proven(&changes[i], changes) || (changes[i].sent && of_tx(i).any(seen))
    };
    let mut missing = Vec::new();
    for (i, change) in changes.iter().enumerate() {
        let named = |op| (ViolationKind::Missing, change.at.clone(), Some(change.ver), Some(op));
        if !there(i) && committed(i) {
            missing.push(named(change.op));
        } else if change.op == Op::Delete && there(i) && !arrived(i, true) {
            missing.push(named(Op::Tombstone));
        }
    }
    missing
}

fn of_events(changes: &[Change], events: &[Event]) -> Vec<Named> {
    let mut named = Vec::new();
    for (i, event) in events.iter().enumerate() {
        let mut add = |kind, ver| named.push((kind, event.at.clone(), ver, Some(event.op)));
        let Some(of) = event.of else {
            add(ViolationKind::Unexpected, event.ver());
            continue;
        };
        let ver = event.ver().or(Some(changes[of].ver));
        if !event.first {
            add(ViolationKind::Repeated, ver);
        } else if events[..i]
            .iter()
            .any(|e| e.at == event.at && e.first && rank(e, changes) > rank(event, changes))
        {
            add(ViolationKind::Reordered, ver);
        }
        if changes[of].row.is_some()
            && digest(event, changes, events).is_some_and(|row| Some(row) != changes[of].row)
        {
            add(ViolationKind::Altered, ver);
        }
    }
    named
}

/// Where an event comes among those of its key.
fn rank(event: &Event, changes: &[Change]) -> (Option<u32>, Option<Op>) {
    let kind = Some(event.op).filter(|op| matches!(op, Op::Delete | Op::Tombstone));
    (event.of.map(|of| changes[of].ver), kind)
}

/// Of the row in an event; none where it has none, or leaves out what nobody knows.
fn digest(event: &Event, changes: &[Change], events: &[Event]) -> Option<Digest> {
    let mut row = event.image().as_object()?.clone();
    if row.get("body").is_some_and(|body| body == LEFT_OUT) {
        let body = body(&event.at, changes[event.of?].ver.checked_sub(1)?, changes, events)?;
        row.insert("body".to_owned(), body);
    }
    row::digest(&row::tables()[&event.at.0], &row).ok()
}

/// The wide value of a version, as events brought it.
fn body(at: &At, ver: u32, changes: &[Change], events: &[Event]) -> Option<Value> {
    let of_ver = |e: &&Event| e.at == *at && e.of.is_some_and(|of| changes[of].ver == ver);
    let told: Vec<&Value> = events.iter().filter(of_ver).map(|event| &event.value["after"]["body"]).collect();
    match told.iter().find(|body| body.is_string() && **body != LEFT_OUT) {
        Some(body) => Some((*body).clone()),
        None if told.iter().any(|body| body.is_string()) => body_before(at, ver, changes, events),
        None => None,
    }
}

fn body_before(at: &At, ver: u32, changes: &[Change], events: &[Event]) -> Option<Value> {
    body(at, ver.checked_sub(1)?, changes, events)
}

/// Spoils a record of a table, whatever was done to it before.
fn spoil(rehearsal: &mut Rehearsal, fault: u8, dice: &mut Dice) {
    let rows: Vec<usize> =
        (0..rehearsal.records.len()).filter(|i| !rehearsal.records[*i].table.is_empty()).collect();
    let i = rows[dice.below(rows.len() as u64) as usize];
    let mut record = rehearsal.records[i].clone();
    let same = |other: &Record| other.table == record.table && other.row_key == record.row_key;
    let next = (i + 1..rehearsal.records.len()).find(|n| same(&rehearsal.records[*n]));
    let anywhere = i + dice.below((rehearsal.records.len() - i) as u64) as usize;
    let (op, full) = (record.op(), record.table != "public.documents");
    match (fault, next) {
        (0, _) => drop(rehearsal.records.remove(i)),
        (1, _) => {
            record.phase = rehearsal.records[anywhere].phase;
            rehearsal.records.insert(anywhere + 1, record);
        }
        (2, Some(next)) => {
            let value = std::mem::replace(&mut rehearsal.records[next].value, record.value);
            rehearsal.records[i].value = value;
        }
        (3, _) if full && op != "tombstone" => {
            let (image, column) = (if op == "d" { "before" } else { "after" }, "updated_at");
            rehearsal.records[i].edit(|event| event[image][column] = json!("1999-12-31T23:59:59.000000Z"));
        }
        (4, _) if full && matches!(op.as_str(), "c" | "u") => {
            record.edit(|event| {
                (event["op"], event["before"]) = (json!("r"), Value::Null);
                event["source"]["snapshot"] = json!("true");
            });
            rehearsal.records.insert(i + 1, record);
        }
        (5, _) if matches!(op.as_str(), "c" | "u") => {
            record.edit(|event| {
                event["after"]["ver"] = json!(900);
                event["after"]["change_id"] = json!(88_888_888);
            });
            rehearsal.records.insert(i + 1, record);
        }
        (6, _) => {
            record.value = None;
            rehearsal.records.insert(i + 1, record);
        }
        _ => {}
    }
}

/// `PROPTEST_CASES`, else few enough for every day.
fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { default } else { ProptestConfig { cases: 64, ..default } }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_verifier_names_what_the_reference_names(
        seed in any::<u64>(),
        (transactions, seed_rows, before_snapshot) in (6..40u64, 1..5i64, 0..8u64),
        (partitions, odd_in) in (1..3i32, 8..30u64),
        faults in proptest::collection::vec(0..7u8, 0..12),
        dice in any::<u64>(),
    ) {
        let plan = Plan { seed, transactions, seed_rows, before_snapshot, partitions, odd_in, ..Plan::default() };
        let (mut rehearsal, mut dice) = (rehearse(&plan), Dice(dice));
        faults.iter().for_each(|fault| spoil(&mut rehearsal, *fault, &mut dice));
        let changes = changes(&rehearsal.ledger);
        let events = events(&rehearsal.records, &changes);
        let mut expected = [missing(&changes, &events), of_events(&changes, &events)].concat();
        let diverged = judge::diverged(&rehearsal).into_iter();
        expected.extend(diverged.map(|at| (ViolationKind::Diverged, at, None, None)));
        expected.sort();

        let dir = tempfile::tempdir().unwrap();
        let judged = Judged::of(&rehearsal, dir.path());
        let mut named: Vec<Named> = judged.violations.iter().map(|v| {
            let details = if v.kind == ViolationKind::Diverged { (None, None) } else { (v.ver, v.op) };
            (v.kind, (v.table.clone(), v.key.unwrap()), details.0, details.1)
        }).collect();
        named.sort();
        prop_assert_eq!(&named, &expected, "{:#?}", judged.violations);
        let broken: BTreeSet<&str> = judged.violations.iter().map(|v| v.check.as_str()).collect();
        prop_assert_eq!(judged.checks(Verdict::Broken).into_iter().collect::<BTreeSet<_>>(), broken);
    }
}
