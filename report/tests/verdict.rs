//! The verdict over whole run directories: held, broken as planted, unknown when there is too
//! little evidence.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use artifacts::collected::ReadTo;
use artifacts::drain::Settled;
use artifacts::findings::{Verdict, ViolationKind};
use artifacts::ledger::{Entry, Phase};
use artifacts::position::Lsn;
use serde_json::json;
use support::judge::{Judged, acknowledged, only_broken, spoiled, unknown};
use support::sim::{NEW, OLD};
use support::{Plan, Rehearsal, story::rehearse};

const OF_KEYS: [&str; 6] = [
    "nothing-missing",
    "nothing-repeated",
    "order-kept",
    "nothing-invented",
    "nothing-altered",
    "tables-converge",
];

#[test]
fn a_held_run_is_held_by_all_ten_checks() {
    let dir = tempfile::tempdir().unwrap();
    let run = support::held_run(&dir.path().join("run"));
    let judged = Judged::run(&run, &report::Options::default());
    assert_eq!(judged.checks(Verdict::Held).len(), 10, "{:#?}", judged.findings);
    assert_eq!(judged.findings.verdict, Verdict::Held);
    assert!(judged.violations.is_empty());
    for check in &judged.findings.checks {
        assert!(check.compared > 0 && check.remedy.is_none() && !check.evidence.is_empty(), "{check:#?}");
    }
    assert!(judged.text("still-flowing").contains("RUNNING in all 6 looks"));
    assert_eq!(artifacts::seal::differences(run.root()).unwrap(), Vec::<String>::new());
    let left: Vec<_> = std::fs::read_dir(run.root()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with("tmp")), "{left:?}");
}

#[test]
fn without_rebase_all_changes_after_the_upgrade_are_missing_and_recoverable() {
    let dir = tempfile::tempdir().unwrap();
    let rehearsal = rehearse(&Plan { rebase: false, odd_fates: false, ..Plan::default() });
    let judged = Judged::of(&rehearsal, dir.path());
    let broken = ["nothing-missing", "tables-converge", "positions-consistent", "still-flowing"];
    assert_eq!(judged.checks(Verdict::Broken), broken);
    let of_kind = |v: &&artifacts::findings::Violation| v.kind == ViolationKind::Missing;
    let missing: BTreeSet<u64> =
        judged.violations.iter().filter(of_kind).filter_map(|v| v.change_id).collect();
    let after = acknowledged(&rehearsal.ledger).into_iter().filter(|(_, phase)| *phase == Phase::After);
    assert_eq!(missing, after.map(|(id, _)| id).collect());
    assert_eq!(judged.stages(ViolationKind::Missing), [Some("recoverable".into())].into());
    let counts = &judged.findings.counts;
    assert_eq!(counts.by_phase["after"].missing, counts.by_phase["after"].acknowledged);
    assert_eq!(counts.by_phase["before"].missing, 0);
    let text = judged.text("nothing-missing");
    assert!(text.contains("connector and task were RUNNING in all 6 looks"), "{text}");
    assert!(judged.text("still-flowing").contains("did not arrive"));
    let text = judged.text("positions-consistent");
    [OLD, NEW, "0/1885148"].iter().for_each(|part| assert!(text.contains(part), "{text}"));
    assert!(judged.check("positions-consistent").remedy.as_ref().unwrap().contains("rebase-offsets"));
}

#[test]
fn an_idle_rehearsal_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let judged = Judged::of(&rehearse(&Plan { idle: true, ..Plan::default() }), dir.path());
    let unproven: Vec<&str> = OF_KEYS.into_iter().chain(["still-flowing"]).collect();
    unknown(&judged, &unproven, &["too little was seen", "insert of public.customers before the cut"]);
}

#[test]
fn an_offset_is_of_the_old_server_whatever_the_snapshot_says() {
    let judged = spoiled(|run| {
        let cut = run.snapshots["cut"].offset.clone().unwrap();
        let offset = run.snapshots.get_mut("at-resume").unwrap().offset.as_mut().unwrap();
        (offset.raw, offset.position.lsn) = (cut.raw, cut.position.lsn);
        assert_eq!(offset.position.system_identifier, NEW);
    });
    only_broken(&judged, "positions-consistent", &["another history", OLD, NEW, "word for word"]);
}

#[test]
fn an_offset_outside_of_slot_and_wal_is_named_by_its_field() {
    let judged = spoiled(|run| {
        let offset = run.snapshots.get_mut("at-resume").unwrap().offset.as_mut().unwrap();
        offset.raw["offsets"][0]["offset"]["lsn_proc"] = json!(0x37EF_FFC0);
    });
    only_broken(&judged, "positions-consistent", &["stored lsn_proc 0/37EFFFC0 was outside", "restart_lsn"]);
    let judged = spoiled(|run| {
        let offset = run.snapshots.get_mut("at-resume").unwrap().offset.as_mut().unwrap();
        offset.position.lsn = Lsn(1);
    });
    only_broken(&judged, "positions-consistent", &["stored lsn 0/1 was outside"]);
}

#[test]
fn what_the_copy_changed_is_named() {
    let judged = spoiled(|run| {
        let restored = run.snapshots.get_mut("restored").unwrap();
        *restored.sequences.get_mut("public.orders_id_seq").unwrap() = 1;
        restored.roles.remove("cdc_writer");
        restored.roles.insert("another".into(), "login".into());
        restored.tables.get_mut("public.customers").unwrap().rows += 1;
    });
    let parts = [
        "3 differences",
        "sequence public.orders_id_seq:",
        "role cdc_writer: login at the cut, not in the new database",
        "table public.customers",
        "/sequences/public.orders_id_seq",
    ];
    only_broken(&judged, "database-carried-over", &parts);
}

#[test]
fn what_the_connector_lacks_is_named() {
    let judged = spoiled(|run| {
        let at = run.snapshots.get_mut("at-resume").unwrap();
        at.slot.as_mut().unwrap().insert("wal_status".into(), json!("lost"));
        at.replica_identity.insert("public.orders".into(), "d".into());
        let after = run.snapshots.get_mut("after").unwrap();
        after.settings.insert("wal_level".into(), "replica".into());
        after.publication.as_mut().unwrap()["tables"] = json!(["public.customers"]);
    });
    let parts = [
        "at-resume: the slot's wal_status is lost, not reserved or extended",
        "at-resume: replica identity of public.orders is d, not f (full)",
        "after: wal_level is replica, not logical",
        "after: public.orders is not published",
    ];
    only_broken(&judged, "replication-ready", &parts);
    let judged = spoiled(|run| run.snapshots.get_mut("after").unwrap().slot = None);
    only_broken(&judged, "replication-ready", &["after: slot is not there, not debezium_slot"]);
    let judged = spoiled(|run| {
        let after = run.snapshots.get_mut("after").unwrap();
        after.slot = None;
        after.unobserved.insert("/slot".into(), "timeout".into());
    });
    unknown(&judged, &["replication-ready"], &["slot was not observed: timeout"]);
}

#[test]
fn a_marker_must_arrive_and_be_found_again() {
    let judged = spoiled(|run| {
        run.collected.as_mut().unwrap().settled = Some(Settled::Idle);
        let drain = run.drain_again.as_mut().unwrap();
        (drain.settled, drain.arrived) = (Settled::Idle, None);
    });
    only_broken(&judged, "still-flowing", &["the last marker did not arrive", "RUNNING in all 6 looks"]);
    let judged = spoiled(|run| run.drain_again.as_mut().unwrap().nonce = "another".into());
    unknown(&judged, &["still-flowing"], &["consumed.jsonl.zst does not have it there"]);
    let judged = spoiled(|run| run.drain_again = None);
    unknown(&judged, &["still-flowing"], &["drain-again left no drain.json"]);
}

#[test]
fn nothing_that_could_be_changed_is_broken() {
    let judged = spoiled(|run| {
        let after: BTreeSet<String> = run
            .ledger
            .iter()
            .filter_map(|entry| match entry {
                Entry::Invoke { tx, phase: Phase::After, .. } => Some(tx.clone()),
                _ => None,
            })
            .collect();
        for entry in &mut run.ledger {
            if let Entry::Ok { tx, t } = entry
                && after.contains(tx)
            {
                let (tx, t, error) = (tx.clone(), *t, "read-only".to_owned());
                *entry = Entry::Fail { tx, t, sqlstate: Some("25006".into()), error };
            }
        }
    });
    assert!(judged.text("still-flowing").contains("no change could be made after the upgrade"));
    assert_eq!(judged.check("still-flowing").verdict, Verdict::Broken);
}

#[test]
fn missing_is_not_said_before_delivery_has_settled() {
    let judged = spoiled(|run| {
        run.collected.as_mut().unwrap().settled = Some(Settled::No);
        let last = run.records.iter().rposition(|record| record.op() == "u").unwrap();
        run.records.remove(last);
    });
    let unproven = ["nothing-missing", "tables-converge", "still-flowing"];
    unknown(&judged, &unproven, &["still moving at the deadline", "not-yet"]);
    let total = judged.findings.counts.total;
    assert_eq!((total.missing, total.undecided), (0, 1));
}

#[test]
fn each_kind_of_what_is_missing_has_its_own_number() {
    let judged = spoiled(|run| {
        for op in ["r", "c", "tombstone"] {
            let i = run.records.iter().rposition(|record| record.op() == op).unwrap();
            run.records.remove(i);
        }
    });
    let total = judged.findings.counts.total;
    let apart = (total.missing, total.seed_rows_missing, total.tombstones_missing, total.unknown_missing);
    assert_eq!(apart, (1, 1, 1, 0), "{:#?}", judged.findings);
    assert_eq!(total.seed_rows, 24);
}

#[test]
fn what_was_not_read_is_unknown() {
    let judged = spoiled(|run| {
        let topics = &mut run.collected.as_mut().unwrap().topics;
        let to = ReadTo { start: 0, end: 100_000, read: 99_999 };
        topics.entry("cdc.public.orders".into()).or_default().insert(0, to);
    });
    unknown(&judged, &OF_KEYS, &["cdc.public.orders partition 0 holds 0 to 100000, read up to 99999"]);
    let judged = spoiled(|run| run.collected = None);
    let unproven: Vec<&str> = OF_KEYS.into_iter().chain(["still-flowing"]).collect();
    unknown(&judged, &unproven, &["collected.json was not written"]);
}

#[test]
fn repeats_can_be_tolerated() {
    let repeat = |run: &mut Rehearsal| {
        let update = run.records.iter().find(|record| record.op() == "u").unwrap().clone();
        // A row that was deleted since stays deleted.
        let mut deleted = run.records.iter().find(|record| record.op() == "d").unwrap().clone();
        deleted.edit(|value| value["ts_ns"] = json!(1));
        let tombstone = support::Record { value: None, ..deleted.clone() };
        run.records.extend([deleted, tombstone]);
        drop(update);
    };
    let judged = spoiled(|run| {
        repeat(run);
        run.run.allow_repeats = true;
    });
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
    assert_eq!(judged.findings.counts.total.repeated, 2);
    assert!(judged.text("nothing-repeated").contains("tolerated by --allow-repeats: 2 re-delivery"));
    only_broken(&spoiled(repeat), "nothing-repeated", &["2 re-delivery"]);
}

#[test]
fn without_a_list_of_rows_the_fingerprint_speaks() {
    let judged = spoiled(|run| run.write_rows = false);
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
    let judged = spoiled(|run| {
        run.write_rows = false;
        run.snapshots.get_mut("after").unwrap().tables.get_mut("public.orders").unwrap().rows += 1;
    });
    only_broken(&judged, "tables-converge", &["public.orders: the topics fold to", "snapshots/after.json"]);
    let judged = spoiled(|run| {
        run.rows_after.get_mut("public.orders").unwrap().pop_last();
    });
    unknown(&judged, &["tables-converge"], &["the list of rows of public.orders has"]);
    assert!(judged.violations.is_empty(), "the list is not believed: {:#?}", judged.violations);
}

#[test]
fn only_topics_of_the_run_are_looked_at() {
    let foreign = |topic: &str| {
        let topic = topic.to_owned();
        move |run: &mut Rehearsal| {
            let record = run.records[0].clone();
            run.records.push(support::Record { topic, ..record });
        }
    };
    let judged = spoiled(foreign("other.public.orders"));
    assert_eq!(judged.findings.verdict, Verdict::Held);
    let judged = spoiled(foreign("cdc.transaction"));
    assert_eq!(judged.findings.verdict, Verdict::Held);
    let judged = spoiled(foreign("cdc.public.audit"));
    only_broken(
        &judged,
        "nothing-invented",
        &["public.audit", "topic cdc.public.audit partition 0 offset 0"],
    );
}

#[test]
fn the_audit_must_agree_with_the_ledger() {
    let audited = |wrong: u64| {
        spoiled(move |run| {
            let mut audit: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
            let known = acknowledged(&run.ledger);
            for entry in &run.ledger {
                match entry {
                    Entry::Seed { table, ver, .. } => {
                        *count(&mut audit, table, "c") += 1;
                        *count(&mut audit, table, "u") += u64::from(ver - 1);
                    }
                    Entry::Invoke { changes, .. } => {
                        let done = changes.iter().filter(|change| known.contains_key(&change.id));
                        done.for_each(|c| *count(&mut audit, &c.table, &c.op.to_string()) += 1);
                    }
                    _ => {}
                }
            }
            *count(&mut audit, "public.orders", "u") += wrong;
            run.snapshots.get_mut("after").unwrap().audit = Some(audit);
        })
    };
    let judged = audited(0);
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
    assert!(judged.text("nothing-missing").contains("as the ledger does"));
    unknown(&audited(1), &OF_KEYS, &["of operation u on public.orders", "/audit/public.orders/u"]);
}

fn count<'a>(audit: &'a mut BTreeMap<String, BTreeMap<String, u64>>, table: &str, op: &str) -> &'a mut u64 {
    audit.entry(table.to_owned()).or_default().entry(op.to_owned()).or_default()
}

#[test]
fn the_chain_of_versions_needs_no_ledger() {
    let update = |run: &Rehearsal| {
        let touched = |record: &support::Record| {
            run.records.iter().filter(|r| (&r.table, r.row_key) == (&record.table, record.row_key)).count()
        };
        run.records.iter().rposition(|record| record.op() == "u" && touched(record) > 1).unwrap()
    };
    let judged = spoiled(|run| {
        let i = update(run);
        run.records[i].edit(|event| event["before"]["ver"] = json!(77));
    });
    only_broken(&judged, "order-kept", &["is out of order"]);
    assert_eq!(judged.violations[0].actual, Some(json!({"before_ver": 77})));
    let judged = spoiled(|run| {
        let i = update(run);
        run.records[i].partition = 1;
    });
    only_broken(&judged, "order-kept", &["partition 1 offset 0"]);
}

#[test]
fn a_second_snapshot_repeats_every_row() {
    let mut rows = 0;
    let judged = spoiled(|run| {
        let last = |i: usize| {
            let record = &run.records[i];
            let same = |r: &&support::Record| (&r.table, r.row_key) == (&record.table, record.row_key);
            let alive = record.change_id.is_some() && !matches!(record.op().as_str(), "d" | "tombstone");
            alive && run.records[i + 1..].iter().find(same).is_none()
        };
        let again: Vec<usize> = (0..run.records.len()).filter(|i| last(*i)).collect();
        rows = again.len();
        for i in again {
            let mut record = run.records[i].clone();
            record.phase = Phase::After;
            record.edit(|event| {
                event["op"] = json!("r");
                event["before"] = serde_json::Value::Null;
                event["source"]["snapshot"] = json!("true");
            });
            run.records.push(record);
        }
    });
    only_broken(&judged, "nothing-repeated", &[&format!("{rows} re-snapshot")]);
    assert_eq!(judged.findings.counts.total.repeated, rows as u64);
}
