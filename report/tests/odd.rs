//! Changes that must leave nothing: rolled back, to a savepoint or as a whole.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use artifacts::findings::{Verdict, ViolationKind};
use artifacts::ledger::{Change, Entry, Op};
use serde_json::json;
use support::judge::{Judged, judge, spoiled};
use support::{Plan, Record, Rehearsal};

const TAKEN_BACK: u64 = 77_777_777;

/// The last update in the topics, and the change of the ledger that it delivers.
fn last_update(run: &Rehearsal) -> (usize, u64) {
    let at = run.records.iter().rposition(|record| record.op() == "u").unwrap();
    (at, run.records[at].change_id.unwrap())
}

/// Before the last update its transaction made the same one, and took it back to a savepoint.
fn take_back(run: &mut Rehearsal) -> usize {
    let (at, id) = last_update(run);
    let mut tx = None;
    for entry in &mut run.ledger {
        match entry {
            Entry::Invoke { tx: of, changes, .. } => {
                let Some(i) = changes.iter().position(|change| change.id == id) else { continue };
                changes.insert(i, Change { id: TAKEN_BACK, ..changes[i].clone() });
                tx = Some((of.clone(), i));
            }
            Entry::Returned { tx: of, keys, counts, rows, .. } => {
                let Some((_, i)) = tx.as_ref().filter(|(tx, _)| tx == of) else { continue };
                keys.insert(*i, None);
                counts.insert(*i, 0);
                rows.insert(*i, None);
            }
            _ => {}
        }
    }
    at
}

fn named(judged: &Judged, kind: ViolationKind) -> Vec<i64> {
    let of_kind = judged.violations.iter().filter(|violation| violation.kind == kind);
    of_kind.filter_map(|violation| violation.key).collect()
}

#[test]
fn what_a_savepoint_took_back_is_not_expected() {
    let judged = spoiled(|run| {
        take_back(run);
    });
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
}

#[test]
fn what_a_savepoint_took_back_must_not_arrive() {
    let mut key = 0;
    let judged = spoiled(|run| {
        let at = take_back(run);
        let mut extra: Record = run.records[at].clone();
        key = extra.row_key;
        extra.edit(|event| {
            event["after"]["change_id"] = json!(TAKEN_BACK);
            event["after"]["updated_at"] = json!("2001-01-01T00:00:00.000000Z");
        });
        run.records.insert(at, extra);
    });
    // It has the version of the one that stayed, so that it is taken for its first delivery.
    assert_eq!(judged.checks(Verdict::Broken), ["nothing-repeated", "nothing-altered"]);
    assert_eq!(named(&judged, ViolationKind::Altered), [key]);
    assert_eq!(named(&judged, ViolationKind::Repeated), [key]);
}

#[test]
fn nothing_of_a_transaction_that_was_rolled_back_may_arrive() {
    let mut invented = None;
    let judged = judge(&Plan { transactions: 300, ..Plan::default() }, |run| {
        let failed: Vec<String> = run
            .ledger
            .iter()
            .filter_map(|entry| if let Entry::Fail { tx, .. } = entry { Some(tx.clone()) } else { None })
            .collect();
        let inserts = run.ledger.iter().find_map(|entry| match entry {
            Entry::Invoke { tx, changes, .. } if failed.contains(tx) => {
                let i = changes.iter().position(|c| c.op == Op::Create && c.table == "public.orders")?;
                Some((tx.clone(), i, changes[i].id))
            }
            _ => None,
        });
        let (tx, i, id) = inserts.unwrap();
        let key = run.ledger.iter().find_map(|entry| match entry {
            Entry::Returned { tx: of, keys, .. } if *of == tx => keys[i],
            _ => None,
        });
        let key = key.unwrap();
        let is_insert = |record: &&Record| record.op() == "c" && record.table == "public.orders";
        let mut extra = run.records.iter().find(is_insert).unwrap().clone();
        (extra.row_key, extra.key) = (key, Some(json!({ "id": key }).to_string()));
        extra.edit(|event| {
            (event["after"]["id"], event["after"]["change_id"]) = (json!(key), json!(id));
        });
        run.records.push(extra);
        invented = Some(key);
    });
    assert_eq!(judged.checks(Verdict::Broken), ["nothing-invented", "tables-converge"]);
    assert_eq!(named(&judged, ViolationKind::Unexpected), [invented.unwrap()]);
}
