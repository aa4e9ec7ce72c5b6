//! Evidence that contradicts itself, or events that contradict their operation: never held.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use artifacts::findings::Verdict;
use artifacts::ledger::Entry;
use artifacts::row::{Digest, Fingerprint, Tables};
use artifacts::snapshot::{Bounds, TableState};
use serde_json::{Value, json};
use support::judge::Judged;
use support::sim::OLD;
use support::{Plan, Rehearsal, story::rehearse};

fn spoiled(spoil: impl FnOnce(&mut Rehearsal)) -> Judged {
    let dir = tempfile::tempdir().unwrap();
    let mut rehearsal = rehearse(&Plan { odd_fates: false, ..Plan::default() });
    spoil(&mut rehearsal);
    Judged::of(&rehearsal, dir.path())
}

/// Asserts that a check has the verdict and says all parts.
fn says(judged: &Judged, check: &str, verdict: Verdict, parts: &[&str]) {
    assert_eq!(judged.findings.verdict, verdict, "{:#?}", judged.findings);
    assert_eq!(judged.check(check).verdict, verdict, "{:#?}", judged.findings);
    let text = judged.text(check);
    parts.iter().for_each(|part| assert!(text.contains(part), "'{part}' is not in {text}"));
}

fn edit(run: &mut Rehearsal, op: &str, change: impl FnOnce(&mut Value)) {
    run.records.iter_mut().rfind(|record| record.op() == op).unwrap().edit(change);
}

#[test]
fn the_row_before_an_update_is_the_one_of_the_version_before() {
    let spoils: [fn(&mut Value); 3] = [
        |event| event["before"] = Value::Null,
        |event| event["before"] = json!({"id": event["after"]["id"]}),
        |event| event["before"]["updated_at"] = json!("2020-01-01T00:00:00Z"),
    ];
    for spoil in spoils {
        let judged = spoiled(|run| edit(run, "u", spoil));
        assert_eq!(judged.checks(Verdict::Broken), ["nothing-altered"], "{:#?}", judged.findings);
        assert_eq!(judged.violations.len(), 1);
        assert!(judged.violations[0].expected.as_ref().unwrap().get("before").is_some());
    }
}

#[test]
fn an_event_must_agree_with_its_operation() {
    let altered = |op: &str, change: fn(&mut Value)| {
        says(&spoiled(|run| edit(run, op, change)), "nothing-altered", Verdict::Broken, &[]);
    };
    altered("c", |event| event["op"] = json!("r"));
    altered("c", |event| event["before"] = event["after"].clone());
    altered("d", |event| event["after"] = event["before"].clone());
}

#[test]
fn a_topic_that_nobody_read_to_its_end_proves_nothing() {
    let judged = spoiled(|run| {
        let more = Bounds { start: 0, end: 100_000 };
        run.topics_after.entry("cdc.public.orders".into()).or_default().insert(0, more);
    });
    let parts = ["had 100000 records in snapshots/after.json"];
    says(&judged, "nothing-missing", Verdict::Unknown, &parts);
    let dir = tempfile::tempdir().unwrap();
    let run = Rehearsal { seal: false, ..rehearse(&Plan::default()) }.write(&dir.path().join("run"));
    let mut collected = run.collected().unwrap().unwrap();
    collected.topics.clear();
    run.write("collected.json", &collected).unwrap();
    let judged = Judged::run(&run, &report::Options::default());
    says(&judged, "nothing-missing", Verdict::Unknown, &["is not in collected.json"]);
}

#[test]
fn a_ledger_without_a_table_of_the_run_proves_nothing() {
    let judged = spoiled(|run| run.run.names.topics.push("cdc.public.third".into()));
    says(&judged, "nothing-missing", Verdict::Unknown, &["cdc.public.third is a topic of the run"]);
    let judged = spoiled(|run| {
        run.ledger.truncate(1);
        let Entry::Header { tables, .. } = &mut run.ledger[0] else { panic!() };
        *tables = Tables::new();
        run.records.clear();
        run.run.names.topics.clear();
    });
    assert!(judged.text("nothing-missing").contains("the ledger names no table"));
    assert_eq!(judged.check("nothing-missing").verdict, Verdict::Unknown);
}

#[test]
fn a_transaction_invoked_twice_makes_the_ledger_corrupt() {
    let judged = spoiled(|run| {
        let i = run.ledger.iter().position(|entry| matches!(entry, Entry::Invoke { .. })).unwrap();
        run.ledger.insert(i, run.ledger[i].clone());
    });
    says(&judged, "nothing-missing", Verdict::Unknown, &["is invoked twice"]);
}

#[test]
fn an_audit_that_was_asked_for_must_be_there() {
    let judged = spoiled(|run| run.run.audit = true);
    says(&judged, "nothing-missing", Verdict::Unknown, &["triggers audit the tables"]);
}

#[test]
fn a_snapshot_of_another_moment_or_server_proves_nothing() {
    let judged = spoiled(|run| {
        let cut = run.snapshots["cut"].clone();
        run.snapshots.insert("restored".into(), cut);
    });
    says(&judged, "database-carried-over", Verdict::Unknown, &["holds the snapshot 'cut'"]);
    let judged = spoiled(|run| {
        let server = run.snapshots["cut"].server.clone();
        run.snapshots.get_mut("restored").unwrap().server = server;
    });
    let parts = ["taken of the old server, PostgreSQL 15, not of the new one, PostgreSQL 16"];
    says(&judged, "database-carried-over", Verdict::Unknown, &parts);
}

#[test]
fn every_captured_table_is_compared_with_its_copy() {
    let judged = spoiled(|run| {
        for name in ["cut", "restored"] {
            run.snapshots.get_mut(name).unwrap().tables.remove("public.orders");
        }
    });
    says(&judged, "database-carried-over", Verdict::Unknown, &["public.orders is not in snapshots/cut.json"]);
}

#[test]
fn slot_and_publication_are_the_ones_of_the_run() {
    for (column, value) in
        [("slot_name", json!("other")), ("slot_type", json!("physical")), ("temporary", json!(true))]
    {
        let judged = spoiled(|run| {
            let slot = run.snapshots.get_mut("after").unwrap().slot.as_mut().unwrap();
            slot.insert(column.into(), value);
        });
        says(&judged, "replication-ready", Verdict::Broken, &[&format!("after: the slot's {column} is")]);
    }
    let publication = |change: fn(&mut Value)| {
        spoiled(|run| change(run.snapshots.get_mut("after").unwrap().publication.as_mut().unwrap()))
    };
    let judged = publication(|p| p["name"] = json!("other"));
    says(&judged, "replication-ready", Verdict::Broken, &["publication is other, not debezium_publication"]);
    let judged = publication(|p| p["tables"] = Value::Null);
    says(&judged, "replication-ready", Verdict::Unknown, &["the publication does not say its 'tables'"]);
}

#[test]
fn positions_and_marker_are_of_the_server_at_the_end() {
    let judged = spoiled(|run| {
        let at = run.snapshots.get_mut("at-resume").unwrap();
        at.server.position.system_identifier = "7".into();
        at.offset.as_mut().unwrap().position.system_identifier = "7".into();
    });
    says(&judged, "positions-consistent", Verdict::Unknown, &["the connector resumed at"]);
    let judged = spoiled(|run| {
        let at = run.snapshots.get_mut("at-resume").unwrap();
        at.offset.as_mut().unwrap().raw = json!({"offsets": []});
    });
    says(&judged, "positions-consistent", Verdict::Unknown, &["nothing in it is"]);
    let judged = spoiled(|run| run.drain_again.as_mut().unwrap().marker.system_identifier = OLD.into());
    says(&judged, "still-flowing", Verdict::Unknown, &["and the server at the end is at"]);
}

#[test]
fn a_key_that_the_database_holds_twice_is_a_row_too_many() {
    let judged = spoiled(|run| {
        run.write_rows_twice = true;
        let rows = &run.rows_after["public.orders"];
        let mut sum = Fingerprint::default();
        let twice: Vec<Digest> = rows.values().chain(rows.values().next()).copied().collect();
        twice.iter().for_each(|row| sum.add(*row));
        let state = TableState { rows: sum.rows, fingerprint: sum.to_string() };
        run.snapshots.get_mut("after").unwrap().tables.insert("public.orders".into(), state);
    });
    says(&judged, "tables-converge", Verdict::Broken, &["public.orders: the topics fold to"]);
}

#[test]
fn a_tombstone_alone_is_not_called_a_change() {
    let judged = spoiled(|run| {
        let i = run.records.iter().rposition(|record| record.op() == "tombstone").unwrap();
        run.records.remove(i);
    });
    let parts = ["0 changes and 1 tombstone are in no topic: 1 gone"];
    says(&judged, "nothing-missing", Verdict::Broken, &parts);
}
