//! How far missing changes got, how repeats came about, and transactions of unknown fate.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use artifacts::findings::{Verdict, ViolationKind};
use artifacts::ledger::{Entry, Op, Phase};
use serde_json::json;
use support::judge::{Judged, judge};
use support::story::state;
use support::{Plan, Record, Rehearsal};

fn even(rebase: bool) -> Plan {
    Plan { odd_fates: false, rebase, ..Plan::default() }
}

/// Stages of the missing changes.
fn missing(judged: &Judged) -> BTreeSet<Option<String>> {
    judged.stages(ViolationKind::Missing)
}

fn stage(name: &str) -> BTreeSet<Option<String>> {
    [Some(name.to_owned())].into()
}

/// An insert before the cut whose row nothing touches afterwards, without its event.
fn lose_an_insert(run: &mut Rehearsal) -> Record {
    let touched = |record: &Record| {
        run.records.iter().filter(|r| (&r.table, r.row_key) == (&record.table, record.row_key)).count()
    };
    let lonely =
        |record: &Record| record.phase == Phase::Before && record.op() == "c" && touched(record) == 1;
    let i = run.records.iter().position(lonely).unwrap();
    run.records.remove(i)
}

#[test]
fn a_row_that_was_neither_delivered_nor_copied_is_lost_by_the_copy() {
    let judged = judge(&even(true), |run| {
        let lost = lose_an_insert(run);
        run.rows_after.get_mut(&lost.table).unwrap().remove(&lost.row_key);
        let state = state(run.rows_after[&lost.table].values());
        run.snapshots.get_mut("after").unwrap().tables.insert(lost.table, state);
    });
    assert_eq!(missing(&judged), stage("lost-by-copy"), "{:#?}", judged.violations);
    assert!(judged.check("nothing-missing").remedy.as_ref().unwrap().contains("fence"));
}

#[test]
fn a_row_that_was_copied_and_not_delivered_is_gone_or_recoverable() {
    let judged = judge(&even(true), |run| drop(lose_an_insert(run)));
    assert_eq!(missing(&judged), stage("gone"));
    let judged = judge(&even(true), |run| {
        let lost = lose_an_insert(run);
        let value: serde_json::Value = serde_json::from_str(lost.value.as_ref().unwrap()).unwrap();
        let xid = value["source"]["txId"].as_u64().unwrap() as u32;
        run.snapshots.get_mut("cut").unwrap().slot_pending = Some(vec![xid, 1]);
    });
    assert_eq!(missing(&judged), stage("recoverable"));
}

/// The key of a row, and where its records are.
fn history(run: &Rehearsal, fits: impl Fn(&[&Record]) -> bool) -> Vec<usize> {
    let of = |record: &Record| {
        let same = |i: &usize| {
            let other = &run.records[*i];
            (&other.table, other.row_key) == (&record.table, record.row_key)
        };
        (0..run.records.len()).filter(same).collect::<Vec<_>>()
    };
    let all = run.records.iter().filter(|record| !record.table.is_empty()).map(of);
    let records = |at: &Vec<usize>| at.iter().map(|i| &run.records[*i]).collect::<Vec<_>>();
    all.into_iter().find(|at| fits(&records(at))).unwrap()
}

/// The row that a change left.
fn left(run: &Rehearsal, change_id: Option<u64>) -> artifacts::row::Digest {
    let place = run.ledger.iter().find_map(|entry| match entry {
        Entry::Invoke { tx, changes, .. } => {
            Some((tx, changes.iter().position(|change| Some(change.id) == change_id)?))
        }
        _ => None,
    });
    let (name, i) = place.unwrap();
    let row = run.ledger.iter().find_map(|entry| match entry {
        Entry::Returned { tx, rows, .. } if tx == name => rows[i],
        _ => None,
    });
    row.unwrap()
}

/// Makes the new database hold a row as a change left it.
fn holds(run: &mut Rehearsal, table: &str, key: i64, change_id: Option<u64>) {
    let row = left(run, change_id);
    let rows = run.rows_after.get_mut(table).unwrap();
    rows.insert(key, row);
    let state = state(rows.values());
    run.snapshots.get_mut("after").unwrap().tables.insert(table.to_owned(), state);
}

fn ops(records: &[&Record]) -> Vec<(Phase, String)> {
    records.iter().map(|record| (record.phase, record.op())).collect()
}

#[test]
fn what_was_changed_or_deleted_after_the_copy_had_been_copied() {
    for op in ["u", "d"] {
        let judged = judge(&Plan { transactions: 400, ..even(true) }, |run| {
            let at = history(run, |records| {
                let ops = ops(records);
                let next = ops.get(1).is_some_and(|next| *next == (Phase::After, op.to_owned()));
                ops[0] == (Phase::Before, "c".to_owned()) && next
            });
            run.records.remove(at[0]);
        });
        assert_eq!(missing(&judged), stage("gone"), "{op}: {:#?}", judged.violations);
    }
}

#[test]
fn a_deletion_or_a_version_that_the_new_database_lacks_is_lost_by_the_copy() {
    for op in ["u", "d"] {
        let judged = judge(&Plan { transactions: 400, ..even(true) }, |run| {
            let at = history(run, |records| {
                let before = records.iter().all(|record| record.phase == Phase::Before);
                let changes: Vec<&&Record> =
                    records.iter().filter(|record| record.op() != "tombstone").collect();
                let [.., first, last] = changes.as_slice() else { return false };
                before && last.op() == op && matches!(first.op().as_str(), "c" | "u")
            });
            let kept: Vec<usize> =
                at.iter().copied().filter(|i| matches!(run.records[*i].op().as_str(), "c" | "u")).collect();
            let kept = kept[kept.len() - 1 - usize::from(op == "u")];
            let record = run.records[kept].clone();
            holds(run, &record.table, record.row_key, record.change_id);
            at.iter().rev().filter(|i| **i > kept).for_each(|i| drop(run.records.remove(*i)));
        });
        assert!(missing(&judged).contains(&Some("lost-by-copy".into())), "{op}: {:#?}", judged.violations);
        assert!(!missing(&judged).contains(&Some("gone".into())), "{op}: {:#?}", judged.violations);
    }
}

/// The copy lost a version, and the next writer made it again.
#[test]
fn a_version_that_was_made_again_after_the_copy_was_not_copied() {
    let judged = judge(&Plan { transactions: 400, ..even(true) }, |run| {
        let at = history(run, |records| {
            let (before, after) = ((Phase::Before, "u".to_owned()), (Phase::After, "u".to_owned()));
            ops(records).starts_with(&[(Phase::Before, "c".to_owned()), before, after])
        });
        let again = run.records[at[2]].change_id;
        for entry in &mut run.ledger {
            let Entry::Invoke { changes, .. } = entry else { continue };
            changes.iter_mut().filter(|change| Some(change.id) == again).for_each(|change| change.ver -= 1);
        }
        run.records.remove(at[1]);
    });
    assert_eq!(missing(&judged), stage("lost-by-copy"), "{:#?}", judged.violations);
}

#[test]
fn seed_rows_that_nobody_reads_are_dropped_by_configuration() {
    let without_snapshot = |mode: &str| {
        let judged = judge(&even(true), |run| {
            run.records.retain(|record| record.op() != "r");
            for snapshot in run.snapshots.values_mut() {
                let Some(connector) = &mut snapshot.connector else { continue };
                connector.config.insert("snapshot.mode".into(), mode.into());
            }
        });
        missing(&judged)
    };
    assert_eq!(without_snapshot("no_data"), stage("dropped-by-config"));
    assert_eq!(without_snapshot("initial"), stage("gone"));
    let judged = judge(&even(true), |run| {
        let lost = run.records.iter().rposition(|r| r.op() == "c" && r.change_id > Some(0)).unwrap();
        run.records.remove(lost);
        for snapshot in run.snapshots.values_mut() {
            let Some(connector) = &mut snapshot.connector else { continue };
            connector.config.insert("snapshot.mode".into(), "no_data".into());
        }
    });
    assert_eq!(missing(&judged), stage("gone"), "no snapshot had to bring it");
}

/// What lacks before the cut is in the old server's slot: rebasing on the new one would lose it.
#[test]
fn what_helps_depends_on_the_slot_that_holds_the_change() {
    let keep = |run: &mut Rehearsal, phase| {
        let lost =
            run.records.iter().position(|r| r.phase == phase && r.op() == "c" && r.change_id > Some(0));
        let value = run.records.remove(lost.unwrap()).value.unwrap();
        let value: serde_json::Value = serde_json::from_str(&value).unwrap();
        let name = if phase == Phase::Before { "cut" } else { "after" };
        let xid = value["source"]["txId"].as_u64().unwrap() as u32;
        run.snapshots.get_mut(name).unwrap().slot_pending = Some(vec![xid]);
    };
    let remedy = |judged: &Judged| judged.check("nothing-missing").remedy.clone().unwrap();
    let old = judge(&even(true), |run| {
        run.run.safeguards.left_out = vec!["drain".into()];
        keep(run, Phase::Before);
    });
    assert_eq!(missing(&old), stage("recoverable"), "{:#?}", old.violations);
    let text = remedy(&old);
    assert!(text.starts_with("rehearse again with drain: cargo xtask upgrade --option b; "), "{text}");
    assert!(text.contains("start the old server") && !text.contains("PATCH"), "{text}");
    let new = judge(&even(true), |run| keep(run, Phase::After));
    let text = remedy(&new);
    assert!(text.contains("PATCH its offset to the new slot") && !text.contains("old server"), "{text}");
    let both = remedy(&judge(&even(true), |run| {
        keep(run, Phase::Before);
        keep(run, Phase::After);
    }));
    assert!(both.find("start the old server").unwrap() < both.find("PATCH").unwrap(), "{both}");
    let linked = judge(&even(true), |run| {
        run.run.transfer = Some("link".into());
        keep(run, Phase::Before);
    });
    assert_eq!(missing(&linked), stage("gone"), "a linked old server cannot be started");
}

#[test]
fn the_slot_tells_without_a_list_of_what_it_holds() {
    let judged = judge(&even(false), |run| run.snapshots.get_mut("after").unwrap().slot_pending = None);
    assert_eq!(missing(&judged), stage("recoverable"));
    let judged = judge(&even(false), |run| {
        let after = run.snapshots.get_mut("after").unwrap();
        after.slot_pending = None;
        after.slot.as_mut().unwrap().insert("confirmed_flush_lsn".into(), json!("F/0"));
    });
    assert_eq!(missing(&judged), [None].into(), "confirmed above a lower bound tells nothing");
    let judged = judge(&even(false), |run| run.snapshots.get_mut("after").unwrap().slot = None);
    assert_eq!(missing(&judged), stage("gone"));
}

#[test]
fn what_configuration_leaves_out_is_dropped() {
    let without_orders = |run: &mut Rehearsal| {
        let of_orders = |r: &Record| r.table == "public.orders" && r.phase == Phase::After;
        run.records.retain(|record| !of_orders(record));
    };
    let judged = judge(&even(true), |run| {
        without_orders(run);
        let connector = run.snapshots.get_mut("after").unwrap().connector.as_mut().unwrap();
        connector.config.insert("table.include.list".into(), "public\\.customers".into());
    });
    assert_eq!(missing(&judged), stage("dropped-by-config"));
    let judged = judge(&even(true), |run| {
        without_orders(run);
        run.snapshots.get_mut("after").unwrap().publication.as_mut().unwrap()["tables"] =
            json!(["public.customers"]);
    });
    assert_eq!(missing(&judged), stage("dropped-by-config"));
    let judged = judge(&even(true), |run| {
        run.records.retain(|r| !(r.phase == Phase::After && matches!(r.op().as_str(), "d" | "tombstone")));
        let connector = run.snapshots.get_mut("after").unwrap().connector.as_mut().unwrap();
        connector.config.insert("skipped.operations".into(), "t, d".into());
    });
    assert_eq!(missing(&judged), stage("dropped-by-config"));
    let all_deletes = judged.violations.iter().filter(|v| v.kind == ViolationKind::Missing);
    assert!(all_deletes.into_iter().all(|v| v.op == Some(Op::Delete)));
}

#[test]
fn tombstones_can_be_switched_off() {
    let judged = judge(&even(true), |run| {
        run.records.retain(|record| record.op() != "tombstone");
        for snapshot in run.snapshots.values_mut() {
            let Some(connector) = &mut snapshot.connector else { continue };
            connector.config.insert("tombstones.on.delete".into(), "false".into());
        }
    });
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
}

/// Takes the fate from a transaction of several changes after which nothing touches their rows;
/// the change ids.
fn make_unknown(run: &mut Rehearsal) -> Vec<u64> {
    let last = |id: u64| {
        let Some(record) = run.records.iter().find(|record| record.change_id == Some(id)) else {
            return false;
        };
        let same = |r: &&Record| (&r.table, r.row_key) == (&record.table, record.row_key);
        run.records.iter().rfind(same).is_some_and(|last| last.change_id == Some(id))
    };
    let fits = |entry: &Entry| match entry {
        Entry::Invoke { tx, changes, phase: Phase::After, .. } if changes.len() > 1 => {
            let ids: Vec<u64> = changes.iter().map(|c| c.id).collect();
            ids.iter().all(|id| last(*id)).then(|| (tx.clone(), ids))
        }
        _ => None,
    };
    let (tx, ids) = run.ledger.iter().find_map(fits).unwrap();
    run.ledger.retain(|entry| !matches!(entry, Entry::Ok { tx: ok, .. } if *ok == tx));
    ids
}

#[test]
fn an_unknown_transaction_is_all_or_none() {
    let plan = Plan { transactions: 90, ..even(true) };
    let of = |record: &Record, ids: &[u64]| record.change_id.is_some_and(|id| ids.contains(&id));
    let judged = judge(&plan, |run| drop(make_unknown(run)));
    assert_eq!(judged.findings.verdict, Verdict::Held, "all of it: {:#?}", judged.findings);
    let judged = judge(&plan, |run| {
        let ids = make_unknown(run);
        run.records.retain(|record| !of(record, &ids));
    });
    assert!(missing(&judged).is_empty(), "none of it: {:#?}", judged.violations);
    let mut ids = Vec::new();
    let judged = judge(&plan, |run| {
        ids = make_unknown(run);
        run.records.retain(|record| !of(record, &ids[..1]));
    });
    let named: Vec<_> = judged.violations.iter().filter(|v| v.kind == ViolationKind::Missing).collect();
    assert_eq!(named.len(), 1, "a part of it: {named:#?}");
    assert_eq!(named[0].change_id, Some(ids[0]));
    assert_eq!(judged.findings.counts.total.missing, 0, "nobody acknowledged it");
    assert_eq!(judged.findings.counts.total.unknown_missing, 1);
}
