//! The index changes nothing: findings and violations are the same with and without it, and one that
//! is damaged or of other evidence is not believed.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;

use artifacts::RunDir;
use artifacts::run_dir::SUMS;
use proptest::prelude::*;
use report::Options;
use report::verify::index::FILE;
use support::faults::{FAULTS, plant};
use support::sim::Dice;
use support::{Plan, story::rehearse};

const ALWAYS: u64 = 0;
const NEVER: u64 = u64::MAX;

/// What `verify` writes.
fn verified(run: &RunDir, index_from: u64) -> [String; 2] {
    report::verify(run, &Options { index_from, ..Options::default() }).unwrap();
    ["findings.json", "violations.jsonl"].map(|name| fs::read_to_string(run.path(name)).unwrap())
}

/// When the index was written.
fn written(run: &RunDir) -> Option<std::time::SystemTime> {
    fs::metadata(run.path(FILE)).ok()?.modified().ok()
}

fn spoiled(seed: u64, faults: &[usize]) -> (tempfile::TempDir, RunDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut rehearsal = rehearse(&Plan { seed, transactions: 30, partitions: 2, ..Plan::default() });
    let (mut dice, mut used) = (Dice(seed), BTreeSet::new());
    for fault in faults {
        plant(&mut rehearsal, FAULTS[*fault], &mut dice, &mut used);
    }
    let run = rehearsal.write(&dir.path().join("run"));
    (dir, run)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_the_same_with_the_index(
        seed: u64,
        faults in proptest::collection::vec(0..FAULTS.len(), 0..4),
    ) {
        let (_dir, run) = spoiled(seed, &faults);
        let without = verified(&run, NEVER);
        prop_assert_eq!(written(&run), None);
        prop_assert_eq!(&verified(&run, ALWAYS), &without);
        let index = written(&run);
        prop_assert!(index.is_some());
        prop_assert_eq!(&verified(&run, ALWAYS), &without);
        prop_assert_eq!(written(&run), index, "it was not used");
    }

    #[test]
    fn a_damaged_index_is_not_believed(
        seed: u64,
        places in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..20),
    ) {
        let (_dir, run) = spoiled(seed, &[0]);
        let found = verified(&run, ALWAYS);
        let whole = fs::read(run.path(FILE)).unwrap();
        for (place, bits) in places {
            let place = place.index(whole.len());
            let mut flipped = whole.clone();
            flipped[place] ^= bits;
            for bytes in [flipped, whole[..place].to_vec(), [&whole[..], &whole[place..]].concat()] {
                fs::write(run.path(FILE), &bytes).unwrap();
                prop_assert_eq!(&verified(&run, NEVER), &found, "byte {}", place);
            }
        }
    }
}

/// Whole frames that lack at the end, or stand there twice.
#[test]
fn an_index_is_read_to_its_end() {
    let (_dir, run) = spoiled(1, &[]);
    let found = verified(&run, ALWAYS);
    let path = run.path(FILE);
    let frames: Vec<Vec<u8>> =
        artifacts::consumed::Frames::open(&path).unwrap().map(|frame| frame.unwrap()).collect();
    assert_eq!(frames.len(), 4);
    for order in
        [&[0, 1, 2][..], &[0, 1, 3], &[0, 1, 2, 2, 3], &[0, 1, 2, 3, 3], &[0, 1, 2, 3, 2], &[1, 2, 3]]
    {
        let bytes: Vec<u8> = order.iter().flat_map(|n| frames[*n].clone()).collect();
        fs::write(&path, bytes).unwrap();
        assert_eq!(verified(&run, NEVER), found, "{order:?}");
    }
}

#[test]
fn an_index_of_other_evidence_is_not_believed() {
    let (_dir, run) = spoiled(1, &[]);
    let held = verified(&run, ALWAYS);
    let old = fs::read(run.path(FILE)).unwrap();
    let (_other_dir, other) = spoiled(2, &[0]);
    let broken = verified(&other, NEVER);
    assert_ne!(held, broken);
    fs::write(other.path(FILE), &old).unwrap();
    assert_eq!(verified(&other, NEVER), broken);
    // The same run whose evidence was changed, with and without a new seal.
    let text = fs::read_to_string(run.path("collected.json")).unwrap();
    fs::write(run.path("collected.json"), text + "\n").unwrap();
    assert_ne!(verified(&run, NEVER), held);
    fs::write(run.path(SUMS), artifacts::seal::sums(run.root()).unwrap()).unwrap();
    assert_eq!(verified(&run, ALWAYS), held);
    assert_ne!(fs::read(run.path(FILE)).unwrap(), old);
    // Nothing of what the index says is left when the seal is broken.
    assert_eq!(verified(&other, ALWAYS), broken);
    fs::write(other.path("collected.json"), "").unwrap();
    let [findings, violations] = verified(&other, NEVER);
    assert!(findings.contains("\"verdict\": \"unknown\"") && violations.is_empty(), "{findings}{violations}");
}
