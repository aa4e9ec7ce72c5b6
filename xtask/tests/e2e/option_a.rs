//! Option a, by pg_upgrade in place, and other pairs of versions.

use std::process::Output;

use artifacts::RunDir;
use artifacts::events::{EventKind, StepResult};
use artifacts::findings::Verdict;
use artifacts::snapshot::Snapshot;

use crate::support::{STACK, check, expect, findings, not_held, run_of};

fn held(words: &str) -> RunDir {
    let run = run_of(&expect(0, &format!("upgrade {words} --changes 400 --keep-up --name {STACK}")));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    run
}

fn snapshot(run: &RunDir, name: &str) -> Snapshot {
    run.snapshot(name).unwrap().unwrap()
}

/// The notes of a step.
fn notes(run: &RunDir, step: &str) -> String {
    let events = run.events().unwrap().into_iter().filter(|event| event.step.as_deref() == Some(step));
    let notes =
        events.filter_map(|event| if let EventKind::Note { text } = event.kind { Some(text) } else { None });
    notes.collect::<Vec<_>>().join("\n")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn in_place_with_linked_files_and_then_decommissioned() {
    let run = held("--option a --transfer link");
    let (cut, restored) = (snapshot(&run, "cut"), snapshot(&run, "restored"));
    assert_eq!((cut.server.version_num / 10_000, restored.server.version_num / 10_000), (15, 16));
    assert_ne!(cut.server.position.system_identifier, restored.server.position.system_identifier);
    assert!(restored.slot.is_none(), "15 carries no slot");
    assert!(notes(&run, "upgrade-database").contains("no replication slots, no columns of statistics"));
    let logs = run.path("steps/11-upgrade-database/pg_upgrade");
    for file in ["check/pg_upgrade_internal.log", "upgrade/pg_upgrade_internal.log"] {
        assert!(std::fs::metadata(logs.join(file)).unwrap().len() > 0, "{file}");
    }
    // The connector goes on where it was.
    let port = |name: &str| snapshot(&run, name).connector.unwrap().config["database.port"].clone();
    assert_eq!(port("before"), port("after"));
    let skipped = run.events().unwrap().into_iter().find_map(|event| match event.kind {
        EventKind::StepFinished { result: StepResult::Skipped, error, .. } => {
            Some((event.step.unwrap(), error.unwrap()))
        }
        _ => None,
    });
    let (step, why) = skipped.expect("one step is not needed");
    assert!(step == "repoint-connector" && why.starts_with("not needed: in place"), "{step}: {why}");

    assert!(said(&expect(2, &format!("decommission --name {STACK}"))).contains("--yes"));
    expect(0, &format!("decommission --yes --name {STACK}"));
    let again = said(&expect(5, &format!("decommission --yes --name {STACK}")));
    assert!(again.contains("removed already"), "{again}");
}

/// From 17 on pg_upgrade carries the slot, from 18 on the statistics.
#[test]
fn from_17_to_18_in_place() {
    let run = held("--option a --from 17 --to 18");
    let (cut, restored) = (snapshot(&run, "cut"), snapshot(&run, "restored"));
    assert_eq!((cut.server.version_num / 10_000, restored.server.version_num / 10_000), (17, 18));
    assert!(restored.slot.is_some(), "the slot came along");
    let notes = notes(&run, "upgrade-database");
    assert!(
        notes.contains("1 replication slots, ") && !notes.contains("no columns of statistics"),
        "{notes}"
    );
    // Its positions are of another history than the stored offset all the same.
    let (stored, resume) =
        (cut.offset.unwrap().position, snapshot(&run, "at-resume").offset.unwrap().position);
    assert!(resume.lsn > stored.lsn && resume.system_identifier != stored.system_identifier);
}

#[test]
fn from_15_to_18_into_a_new_instance() {
    let run = held("--option b --from 15 --to 18");
    let (cut, restored) = (snapshot(&run, "cut"), snapshot(&run, "restored"));
    assert_eq!((cut.server.version_num / 10_000, restored.server.version_num / 10_000), (15, 18));
    assert_eq!(cut.settings["data_checksums"], restored.settings["data_checksums"]);
    let builds = run.run().unwrap().builds;
    for (component, version) in [("postgresql-15", "15."), ("postgresql-18", "18.")] {
        let build = &builds[component][0];
        assert!(build.version.starts_with(version) && build.sha256.len() == 64, "{build:?}");
    }
}

/// Loud, and nothing is lost; but nothing flows either.
#[test]
fn in_place_without_rebase_the_task_fails_and_says_why() {
    let words = format!("upgrade --option a --without rebase-offsets --changes 400 --name {STACK}");
    let output = expect(1, &words);
    let (run, message) = (run_of(&output), "but this is no longer available on the server");
    assert!(said(&output).contains(message), "the console quotes the task");
    let stored = snapshot(&run, "cut").offset.unwrap().raw;
    assert!(stored.to_string().contains("lsn_proc"), "events were streamed: {stored}");
    let found = findings(&run);
    assert_eq!(check(&found, "positions-consistent").verdict, Verdict::Broken);
    assert_eq!(found.counts.total.missing, 0, "nothing was written that could be missing");
    let failed = run.events().unwrap().into_iter().find_map(|event| match event.kind {
        EventKind::StepFinished { result: StepResult::Failed, error, .. } => {
            Some((event.step.unwrap(), error.unwrap()))
        }
        _ => None,
    });
    let (step, error) = failed.expect("a step has failed");
    assert!(step == "resume-connector" && error.contains(message), "{step}: {error}");
    let html = std::fs::read_to_string(run.path("report.html")).unwrap();
    assert!(html.contains(message), "the report quotes the task");
}
