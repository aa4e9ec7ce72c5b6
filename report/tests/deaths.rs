//! What did not arrive because a component died, or a task failed, is told as that.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use artifacts::drain::Settled;
use artifacts::events::{Event, EventKind, StepResult};
use artifacts::findings::Verdict;
use artifacts::ledger::{Entry, Phase};
use serde_json::json;
use support::judge::{judge, says, spoiled};
use support::{Plan, Rehearsal};

/// A step that fails because a component has ended, at the end of the run.
fn died(run: &mut Rehearsal, step: &str, error: &str) {
    let is_last = |e: &&mut Event| e.step.as_deref() == Some(step) && finished(e);
    let event = run.events.iter_mut().rfind(is_last).unwrap();
    let error = Some(error.to_owned());
    event.kind = EventKind::StepFinished { result: StepResult::Failed, error, ms: 1, waited_ms: 1 };
}

fn finished(event: &Event) -> bool {
    matches!(event.kind, EventKind::StepFinished { .. })
}

const DEAD: &str =
    "marker arrived: kafka has ended, begin anew with: cargo xtask up; the end of its log:\nlog";

#[test]
fn a_component_that_died_breaks_nothing() {
    let idle = |run: &mut Rehearsal| {
        let lost = run.records.iter().rposition(|r| r.op() == "u").unwrap();
        run.records.remove(lost);
        run.collected.as_mut().unwrap().settled = Some(Settled::Idle);
        let drain = run.drain_again.as_mut().unwrap();
        (drain.settled, drain.arrived) = (Settled::Idle, None);
    };
    let alive = spoiled(idle);
    assert_eq!(alive.checks(Verdict::Broken), ["nothing-missing", "tables-converge", "still-flowing"]);
    let judged = spoiled(|run| {
        idle(run);
        died(run, "drain-again", DEAD);
    });
    let parts = ["kafka died: step drain-again failed at 2026-", "events.jsonl"];
    says(&judged, "still-flowing", Verdict::Unknown, &parts);
    says(&judged, "nothing-missing", Verdict::Unknown, &parts);
    assert!(!judged.text("still-flowing").contains("the end of its log:\nlog"), "a line is enough");
    let judged = spoiled(|run| {
        idle(run);
        run.collected.as_mut().unwrap().settled = None;
        run.drain_again = None;
        died(run, "drain-again", DEAD);
    });
    says(&judged, "nothing-missing", Verdict::Unknown, &parts);
    // No step noticed it, and Connect did not answer any more.
    let judged = spoiled(|run| {
        idle(run);
        let last = run.events.iter().position(|e| e.step.as_deref() == Some("capture-after")).unwrap();
        let looks = run.events[..last].iter_mut().rev().find_map(|event| match &mut event.kind {
            EventKind::Sample { connector, task, .. } => Some((connector, task)),
            _ => None,
        });
        let (connector, task) = looks.unwrap();
        (*connector, *task) = (None, None);
    });
    says(&judged, "still-flowing", Verdict::Unknown, &["Connect did not answer at the last look"]);
    // One that died before the cut explains nothing that happens after it.
    let judged = spoiled(|run| {
        idle(run);
        died(run, "fence-writers", DEAD);
    });
    assert_eq!(judged.check("still-flowing").verdict, Verdict::Broken);
}

#[test]
fn nobody_could_write_because_the_database_died() {
    let refuse = |run: &mut Rehearsal| {
        let mut after = false;
        for entry in &mut run.ledger {
            after |= matches!(entry, Entry::Invoke { phase: Phase::After, .. });
            if let (true, Entry::Ok { tx, t }) = (after, &*entry) {
                let (tx, t, sqlstate, error) = (tx.clone(), *t, None, "connection refused".into());
                *entry = Entry::Fail { tx, t, sqlstate, error };
            }
        }
    };
    assert_eq!(spoiled(refuse).check("still-flowing").verdict, Verdict::Broken);
    let judged = spoiled(|run| {
        refuse(run);
        died(run, "stop-generator-again", "changes made: postgres-new has ended; its log: x");
    });
    assert_eq!(judged.check("still-flowing").verdict, Verdict::Unknown);
    assert!(judged.text("still-flowing").contains("postgres-new died"));
}

#[test]
fn connect_delivers_again_what_it_had_not_noted_before_it_died() {
    let again = |run: &mut Rehearsal| {
        let last = run.records.iter().rfind(|r| r.op() == "c" && r.change_id.is_some()).unwrap().clone();
        let i = run.records.iter().rposition(|r| r.row_key == last.row_key && r.table == last.table).unwrap();
        let record = run.records[i].clone();
        run.records.push(record);
    };
    assert_eq!(spoiled(again).checks(Verdict::Broken), ["nothing-repeated"]);
    let judged = spoiled(|run| {
        again(run);
        died(run, "drain", "marker arrived: connect has ended, begin anew");
    });
    says(&judged, "nothing-repeated", Verdict::Unknown, &["connect died", "delivers again"]);
    // It does not write a change in another transaction, and it repeats nothing where there is no repeat.
    let judged = spoiled(|run| {
        again(run);
        run.records.last_mut().unwrap().edit(|value| value["source"]["txId"] = json!(4_000_000));
        died(run, "drain", "marker arrived: connect has ended, begin anew");
    });
    says(&judged, "nothing-repeated", Verdict::Broken, &["double-execution"]);
    let judged = spoiled(|run| died(run, "drain", "marker arrived: connect has ended, begin anew"));
    assert_eq!(judged.check("nothing-repeated").verdict, Verdict::Held);
}

#[test]
fn a_death_behind_the_last_marker_changes_nothing() {
    let judged = spoiled(|run| died(run, "capture-after", "rows read: connect has ended, begin anew"));
    assert_eq!(judged.check("still-flowing").verdict, Verdict::Held, "{:#?}", judged.findings);
}

#[test]
fn what_a_stale_offset_stopped_goes_on_from_the_new_slot() {
    let remedy = |rebase: bool| {
        let judged = judge(&Plan { rebase, odd_fates: false, ..Plan::default() }, |run| {
            run.collected.as_mut().unwrap().settled = Some(Settled::Idle);
            let drain = run.drain_again.as_mut().unwrap();
            (drain.settled, drain.arrived) = (Settled::Idle, None);
        });
        assert_eq!(judged.check("still-flowing").verdict, Verdict::Broken);
        judged.check("still-flowing").remedy.clone().unwrap()
    };
    assert!(remedy(true).contains("nothing is lost while the slot holds it"), "{}", remedy(true));
    assert!(remedy(false).contains("PATCH"), "{}", remedy(false));
}

/// With all safeguards a step that fails says nothing about the upgrade.
#[test]
fn nothing_was_written_behind_a_step_that_failed() {
    let nothing = |left_out: &[&str], error: &str| {
        let judged = spoiled(|run| {
            run.run.safeguards.left_out = left_out.iter().map(|name| (*name).to_owned()).collect();
            let begun =
                run.ledger.iter().position(|e| matches!(e, Entry::Invoke { phase: Phase::After, .. }));
            run.ledger.truncate(begun.unwrap());
            run.records.retain(|record| record.phase == Phase::Before || record.table.is_empty());
            died(run, "resume-connector", error);
        });
        judged.check("still-flowing").verdict
    };
    let (failed, dead) = ("task RUNNING: FAILED: x", "task RUNNING: connect has ended, begin anew");
    assert_eq!(nothing(&["rebase-offsets"], failed), Verdict::Broken);
    assert_eq!(nothing(&[], failed), Verdict::Unknown);
    assert_eq!(nothing(&["rebase-offsets"], dead), Verdict::Unknown);
}

#[test]
fn a_task_that_has_failed_is_quoted() {
    let message = "The connector is trying to read change stream starting at PostgresOffsetContext [lsn=LSN{0/1}], but \
                   this is no longer available on the server. Reconfigure the connector.";
    let judged = spoiled(|run| {
        run.collected.as_mut().unwrap().settled = Some(Settled::Idle);
        let drain = run.drain_again.as_mut().unwrap();
        (drain.settled, drain.arrived) = (Settled::Idle, None);
        let trace = format!(
            "org.x.ConnectException: stopped\n\tat a.b\nCaused by: io.debezium.E: {message}\n\tat c.d"
        );
        let connector = run.snapshots.get_mut("after").unwrap().connector.as_mut().unwrap();
        connector.status["tasks"] = json!([{"id": 0, "state": "FAILED", "trace": trace}]);
    });
    let parts = [
        "the task has FAILED: io.debezium.E: The connector is trying",
        "[…], but this is no longer available on the server.",
    ];
    says(&judged, "still-flowing", Verdict::Broken, &parts);
}

#[test]
fn more_changes_do_not_help_where_a_step_failed_before_them() {
    let judged = spoiled(|run| {
        run.run.safeguards.left_out = vec!["rebase-offsets".into()];
        let begun = run.ledger.iter().position(|e| matches!(e, Entry::Invoke { phase: Phase::After, .. }));
        run.ledger.truncate(begun.unwrap());
        run.records.retain(|record| record.phase == Phase::Before || record.table.is_empty());
        died(run, "resume-connector", "task RUNNING: FAILED: this is no longer available on the server");
    });
    let check = judged.check("nothing-missing");
    assert_eq!(check.verdict, Verdict::Unknown);
    assert!(check.summary.ends_with("because step resume-connector had failed"), "{}", check.summary);
    let remedy = "rehearse again with rebase-offsets: cargo xtask upgrade --option b";
    assert_eq!(check.remedy.as_deref(), Some(remedy));
    assert!(judged.text("still-flowing").contains("no longer available on the server"));
}
