//! What the documents show and no other scenario types.

use artifacts::findings::Verdict;

use crate::support::{STACK, check, expect, findings, not_held, run_of};

fn upgrade(code: i32, words: &str) -> artifacts::findings::Findings {
    findings(&run_of(&expect(code, &format!("upgrade --changes 200 --keep-up --name {STACK} {words}"))))
}

#[test]
fn other_ways_to_rehearse_are_held() {
    let ways = [
        "--lsn-case behind",
        "--lsn-case overtaken",
        "--no-heartbeat",
        "--copy-rows 50",
        "--option a --mismatch-strategy trust_slot",
    ];
    for words in ways {
        let found = upgrade(0, words);
        assert_eq!(found.verdict, Verdict::Held, "{words}: {:?}", not_held(&found));
    }
    expect(0, "verify --run latest");
    expect(0, "runs");
}

/// Behind the stored offset Debezium's own guard works; an offset that it is told to trust is no better.
#[test]
fn without_a_rebased_offset() {
    let found = upgrade(1, "--without rebase-offsets --lsn-case behind");
    assert_eq!(found.counts.total.missing, 0);
    let flowing = check(&found, "still-flowing");
    assert!(flowing.summary.contains("but this is no longer available on the server"), "{}", flowing.summary);
    let found = upgrade(1, "--without rebase-offsets --mismatch-strategy trust_offset");
    let after = found.counts.by_phase["after"];
    assert_eq!((after.delivered, after.missing), (0, after.acknowledged));
}

/// Runs that never ran, one beside the other.
#[test]
fn synthetic_runs() {
    let folder = tempfile::tempdir().unwrap();
    let runs = [1, 2].map(|seed| folder.path().join(format!("synthetic-{seed}")));
    for (out, seed) in runs.iter().zip(["1", "2"]) {
        expect(0, &format!("synth --events 2000 --seed {seed} --out {}", out.display()));
        expect(0, &format!("verify --run {}", out.display()));
        let found = findings(&artifacts::RunDir::open(out).unwrap());
        assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    }
    expect(0, &format!("compare {} {}", runs[0].display(), runs[1].display()));
}
