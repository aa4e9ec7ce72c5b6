//! A run that is interrupted or killed at every step, and components that are killed in some of them:
//! `--resume` goes on with the same run.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use artifacts::RunDir;
use artifacts::events::{EventKind, StepResult};
use artifacts::findings::Verdict;

use crate::support::{Running, STACK, connect, expect, findings, not_held, program, run_of, stack};

/// Where the program dies, one after another in one run. Every step is here.
const POINTS: [&str; 36] = [
    "up:started",
    "up:end",
    "deploy-connector:end",
    "start-generator:started",
    "capture-before:end",
    "stop-generator:end",
    "fence-writers:fenced",
    "fence-writers:end",
    "drain:marked",
    "drain:end",
    "stop-connector:start",
    "stop-connector:end",
    "capture-cut:end",
    "backup:end",
    "upgrade-database:start",
    "upgrade-database:end",
    "capture-restored:end",
    "recreate-slot:published",
    "recreate-slot:end",
    "repoint-connector:end",
    "rebase-offsets:patched",
    "rebase-offsets:end",
    "resume-connector:resumed",
    "resume-connector:end",
    "open-writers:end",
    "restart-generator:started",
    "stop-generator-again:end",
    "fence-again:end",
    "drain-again:marked",
    "drain-again:end",
    "capture-after:end",
    "collect:consumed",
    "collect:end",
    "collect:seal",
    "verify:end",
    "report:start",
];

#[test]
fn killed_in_every_step_and_held() {
    let mut words = format!("upgrade --option b --changes 800 --name {STACK}");
    for point in POINTS {
        killed(&words, point);
        words = resume();
    }
    held();
    expect(2, &resume());
}

/// A component, and where it is killed after the program has died there.
const KILLS: [(&str, &str); 9] = [
    ("capture-before:end", "kafka"),
    ("fence-writers:end", "postgres-old"),
    ("drain:marked", "connect"),
    ("stop-connector:end", "kafka"),
    ("backup:end", "postgres-old"),
    ("upgrade-database:end", "postgres-new"),
    ("rebase-offsets:end", "connect"),
    ("resume-connector:end", "kafka"),
    ("fence-again:end", "connect"),
];

/// A connector delivers at least once: what a killed Kafka or worker had not confirmed comes again, and the
/// verdict would say so. Everything else is held.
#[test]
fn each_component_killed_in_steps() {
    components_killed("", &KILLS);
}

/// Those that only some stacks have.
#[test]
fn zookeeper_and_the_registry_killed_in_steps() {
    let kills = [
        ("capture-before:end", "zookeeper"),
        ("drain:marked", "schema-registry"),
        ("resume-connector:end", "zookeeper"),
    ];
    components_killed("--kafka zookeeper --format avro", &kills);
}

fn components_killed(flags: &str, kills: &[(&str, &str)]) {
    let mut words = format!("upgrade --option b {flags} --changes 800 --allow-repeats --name {STACK}");
    for (point, service) in kills {
        killed(&words, point);
        kill(service);
        words = resume();
    }
    held();
}

/// What a worker has kept that died is not started beside the next rehearsal's connector: it would read the same slot.
#[test]
fn a_connector_of_a_killed_worker_does_not_come_back() {
    expect(0, &format!("up --name {STACK}"));
    expect(0, &format!("deploy-connector --name {STACK}"));
    // Kafka as well: a worker that waits for it answers long before it has read its topics.
    ["connect", "kafka"].into_iter().for_each(kill);
    expect(0, &format!("up --name {STACK}"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(connect(STACK).connectors()).unwrap(), Vec::<String>::new());
}

/// Ends a component as a crash would.
fn kill(service: &str) {
    let pid = stack(STACK).service(service).and_then(|s| s.pid).unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    while stack(STACK).service(service).is_some_and(|s| s.alive) {}
}

/// What has just been said when Ctrl-C is typed: the step behind it is under way.
const SAID: [&str; 9] = [
    "evidence in runs/",
    " deploy-connector ",
    " capture-before ",
    " fence-writers ",
    " capture-cut ",
    " backup ",
    " rebase-offsets ",
    " open-writers ",
    " capture-after ",
];

#[test]
fn ctrl_c_ends_within_two_seconds_and_nothing_is_lost() {
    let mut words = format!("upgrade --option b --changes 800 --name {STACK}");
    for said in SAID {
        let mut running = Running::start(&words);
        running.until(said);
        running.signal("INT");
        let start = Instant::now();
        assert_eq!(running.child.wait().unwrap().code(), Some(130), "after {said}");
        assert!(start.elapsed() < Duration::from_secs(2), "after {said}: {:?}", start.elapsed());
        words = resume();
    }
    let events = held().events().unwrap();
    let interrupted = events
        .iter()
        .filter(|e| matches!(e.kind, EventKind::StepFinished { result: StepResult::Interrupted, .. }));
    assert_eq!(interrupted.count(), SAID.len(), "each is in the evidence");
}

/// The program dies while pg_upgrade fills the new cluster, and is interrupted there once more.
#[test]
fn within_pg_upgrade() {
    let mut words = format!("upgrade --option a --changes 400 --name {STACK}");
    let dumps = stack(STACK).state_dir().join("postgres/new/data/pg_upgrade_output.d");
    for (signal, code) in [("KILL", None), ("INT", Some(130))] {
        let mut running = Running::start(&words);
        running.until("pg_upgrade ...");
        while !has_dump(&dumps) {
            assert!(running.child.try_wait().unwrap().is_none(), "it ended before a dump was there");
        }
        running.signal(signal);
        assert_eq!(running.child.wait().unwrap().code(), code);
        words = resume();
    }
    held();
}

/// `<time>/dump/pg_upgrade_dump_<oid>.custom`
fn has_dump(output: &Path) -> bool {
    let times = std::fs::read_dir(output).into_iter().flatten().flatten();
    let mut dumps = times.flat_map(|time| std::fs::read_dir(time.path().join("dump")).into_iter().flatten());
    dumps.any(|dump| dump.is_ok_and(|dump| dump.path().extension().is_some_and(|end| end == "custom")))
}

fn resume() -> String {
    format!("upgrade --resume --name {STACK}")
}

/// The program dies at the point.
fn killed(words: &str, point: &str) {
    let output =
        Command::new(program()).args(words.split_whitespace()).env("CRASH_AT", point).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), None, "{point} was not reached: {told}");
}

/// Goes on to the end.
fn held() -> RunDir {
    let run = run_of(&expect(0, &resume()));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    run
}
