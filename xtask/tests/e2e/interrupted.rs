//! A run that is killed at every step, and components that are killed in three of them: `--resume` goes
//! on with the same run.

use std::process::Command;

use artifacts::findings::Verdict;
use stack::{Options, Stack};

use crate::support::{STACK, expect, findings, not_held, program, run_of};

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
    let resume = format!("upgrade --resume --name {STACK}");
    let mut words = format!("upgrade --option b --changes 800 --name {STACK}");
    for point in POINTS {
        let output =
            Command::new(program()).args(words.split_whitespace()).env("CRASH_AT", point).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), None, "{point} was not reached: {told}");
        words.clone_from(&resume);
    }
    let run = run_of(&expect(0, &resume));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    expect(2, &resume);
}

/// The program dies at the point, then the component is killed as well.
fn killed(words: &str, point: &str, service: &str) {
    let output =
        Command::new(program()).args(words.split_whitespace()).env("CRASH_AT", point).output().unwrap();
    assert_eq!(output.status.code(), None, "{}", String::from_utf8_lossy(&output.stderr));
    let stack = Stack::open(Options { name: STACK.into(), install: false, standard_ports: false }).unwrap();
    let pid = stack.service(service).and_then(|s| s.pid).unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    while stack.service(service).is_some_and(|s| s.alive) {}
}

/// A connector delivers at least once: what a killed Kafka had not confirmed comes again, and the verdict
/// would say so. Everything else is held.
#[test]
fn components_killed_in_three_steps() {
    let resume = format!("upgrade --resume --name {STACK}");
    killed(
        &format!("upgrade --option b --changes 800 --allow-repeats --name {STACK}"),
        "capture-before:end",
        "kafka",
    );
    killed(&resume, "backup:end", "postgres-old");
    killed(&resume, "rebase-offsets:end", "connect");
    let run = run_of(&expect(0, &resume));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
}
