//! The self-test on small synthetic runs: every fault is caught, and the original is not touched.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

use report::self_test::{Judged, self_test};
use report::synth::{Plan, write};

fn judge(seed: u64, events: u64) -> Vec<Judged> {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { odd_fates: false, ..Plan::of_events(events, seed) };
    let run = write(&plan, &dir.path().join("run")).unwrap();
    let mut all = Vec::new();
    self_test(&run, &dir.path().join("copy"), seed, |judged| {
        all.push(judged.clone());
        true
    })
    .unwrap();
    assert_eq!(artifacts::seal::differences(run.root()).unwrap(), Vec::<String>::new());
    assert!(!run.path("findings.json").exists(), "the original is not even judged");
    all
}

#[test]
fn every_fault_is_caught() {
    for seed in 1..3 {
        let all = judge(seed, 2_000);
        assert_eq!(all.len(), 34);
        for judged in &all {
            assert!(judged.verdict.is_some(), "no place for {}", judged.fault);
        }
        let missed: Vec<&Judged> = all.iter().filter(|judged| !judged.misses.is_empty()).collect();
        assert!(missed.is_empty(), "seed {seed}: {missed:#?}");
    }
}
