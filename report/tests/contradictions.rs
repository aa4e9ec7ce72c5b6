//! Evidence that contradicts itself, or events that contradict their operation: never held.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use artifacts::findings::Verdict;
use artifacts::ledger::{Entry, Fate, Op, Phase};
use artifacts::row::Tables;
use artifacts::snapshot::Bounds;
use serde_json::{Value, json};
use support::judge::{Judged, says, spoiled};
use support::sim::OLD;
use support::story::{rehearse, state};
use support::{Plan, Rehearsal};

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
        let state = state(rows.values().chain(rows.values().next()));
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

#[test]
fn a_ledger_that_lost_a_line_proves_nothing() {
    let lose = |fits: fn(&Entry) -> bool| {
        spoiled(move |run| {
            run.summaries = Some(run.summarise());
            let i = run.ledger.iter().rposition(fits).unwrap();
            run.ledger.remove(i);
        })
    };
    let judged = lose(|entry| matches!(entry, Entry::Ok { .. }));
    let parts = ["acknowledged transactions after the cut", "steps/18-restart-generator/summary.json"];
    says(&judged, "nothing-missing", Verdict::Unknown, &parts);
    // A generator that was begun again counts from zero: the ledger may have more, not less.
    let begun_again = |run: &mut Rehearsal| {
        let again = run.events.iter().find(|e| e.step.as_deref() == Some("restart-generator")).cloned();
        run.events.extend(again);
        run.summaries = Some(run.summarise());
    };
    let judged = spoiled(|run| {
        begun_again(run);
        for summary in run.summaries.as_mut().unwrap().values_mut().skip(1) {
            summary.transactions.acknowledged -= 1;
        }
    });
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
    let judged = spoiled(|run| {
        begun_again(run);
        for summary in run.summaries.as_mut().unwrap().values_mut().skip(1) {
            summary.acknowledged.delete += 1;
        }
    });
    says(&judged, "nothing-missing", Verdict::Unknown, &["acknowledged changes after the cut"]);
}

#[test]
fn the_cut_is_where_the_drain_saw_the_topics_end() {
    let moved = |file: &'static str, spoil: fn(&mut Rehearsal)| {
        let judged = spoiled(spoil);
        let parts = ["collected.json cuts cdc.public.orders at {0: ", file, "nobody knows what is before"];
        says(&judged, "nothing-missing", Verdict::Unknown, &parts);
    };
    moved("steps/07-drain/drain.json saw it end at {0: 1}", |run| {
        let mut ends = run.before();
        ends.insert("cdc.public.orders".into(), [(0, 1)].into());
        run.first_drain.as_mut().unwrap().ends = ends;
    });
    moved("snapshots/cut.json saw it end at {0: 7}", |run| {
        run.first_drain = None;
        let topics = &mut run.snapshots.get_mut("cut").unwrap().topics;
        topics.insert("cdc.public.orders".into(), [(0, Bounds { start: 0, end: 7 })].into());
    });
    let judged = spoiled(|run| run.first_drain = None);
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
}

/// A transaction whose `returned` is not in the ledger, and which was delivered.
#[test]
fn a_change_that_never_returned_and_was_delivered_is_not_invented() {
    for op in [Op::Create, Op::Update, Op::Delete] {
        let without = |settled: bool| {
            spoiled(|run| {
                let only = |entry: &Entry| match entry {
                    Entry::Invoke { tx, changes, phase: Phase::After, .. } => {
                        (changes.len() == 1 && changes[0].op == op).then(|| tx.clone())
                    }
                    _ => None,
                };
                let lost = run.ledger.iter().rev().find_map(only).unwrap();
                run.ledger.retain(|entry| !matches!(entry, Entry::Returned { tx, .. } if *tx == lost));
                let fate = run.ledger.iter_mut().find(|e| matches!(e, Entry::Ok { tx, .. } if *tx == lost));
                let (tx, t, error) = (lost.clone(), support::sim::start(), "connection reset".into());
                *fate.unwrap() = Entry::Info { tx, t, error };
                let by = "COMMIT was never sent".into();
                run.ledger.extend(settled.then_some(Entry::Settled { tx: lost, fate: Fate::Fail, by }));
            })
        };
        let judged = without(false);
        assert_eq!(judged.findings.verdict, Verdict::Held, "{op}: {:#?}", judged.findings);
        assert_eq!(judged.findings.counts.total.indeterminate, 1);
        let judged = without(true);
        says(&judged, "nothing-invented", Verdict::Unknown, &["COMMIT was never sent"]);
        assert!(judged.violations.is_empty(), "{op}: {:#?}", judged.violations);
    }
}

#[test]
fn an_event_names_the_transaction_that_wrote_it() {
    for op in ["c", "u", "d"] {
        let judged = spoiled(|run| edit(run, op, |event| event["source"]["txId"] = json!(7)));
        assert_eq!(judged.checks(Verdict::Broken), ["nothing-altered"], "{op}: {:#?}", judged.findings);
        assert_eq!(judged.violations[0].actual, Some(json!({"transaction": 7})), "{op}");
    }
    let judged = spoiled(|run| edit(run, "u", |event| event["source"]["txId"] = Value::Null));
    assert_eq!(judged.findings.verdict, Verdict::Held, "what an event does not say is not compared");
}
