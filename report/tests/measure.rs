//! Time and memory of a verdict over many events: `cargo test -p report --test measure -- --ignored
//! --nocapture measure`. `EVENTS` sets their number (1,000,000); `RUN` names a run directory to
//! judge instead.

// A measurement that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use artifacts::RunDir;
use artifacts::findings::Verdict;
use report::synth::{Plan, write};

fn events() -> u64 {
    std::env::var("EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000)
}

/// Runs in a process of its own, so that its memory is not measured.
#[test]
#[ignore = "a part of the measurement"]
fn build() {
    let Some(dir) = std::env::var_os("MEASURE_DIR") else { return };
    write(&Plan::of_events(events(), 42), Path::new(&dir)).unwrap();
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    let tmp = tempfile::tempdir().unwrap();
    let run = match std::env::var_os("RUN") {
        Some(dir) => RunDir::open(Path::new(&dir)).unwrap(),
        None => built(&tmp.path().join("run")),
    };
    let size = |name: &str| std::fs::metadata(run.path(name)).unwrap().len() >> 20;
    println!(
        "consumed.jsonl.zst {} MiB, ledger.jsonl.zst {} MiB",
        size("consumed.jsonl.zst"),
        size("ledger.jsonl.zst")
    );
    let begun = Instant::now();
    let findings = report::verify(&run, &report::Options::default()).unwrap();
    println!(
        "{} events: {:.1} s, peak memory {}",
        findings.checks[3].compared,
        begun.elapsed().as_secs_f64(),
        peak()
    );
    for check in &findings.checks {
        println!("{:24} {:8} {}", check.name, check.verdict.to_string(), check.summary);
    }
    assert!(std::env::var_os("RUN").is_some() || findings.verdict == Verdict::Held);
}

fn built(dir: &Path) -> RunDir {
    let built = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "build"])
        .env("MEASURE_DIR", dir)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stdout));
    RunDir::open(dir).unwrap()
}

/// The highest resident memory of this process so far.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
