//! Damaged, half-written and changed evidence: the verdict is unknown and names file and place. No
//! panic, no error, and nothing broken that the damage alone made look so.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use artifacts::RunDir;
use artifacts::findings::Verdict;
use artifacts::ledger::Entry;
use artifacts::run_dir::SUMS;
use proptest::prelude::*;
use report::Options;
use support::judge::Judged;
use support::{Plan, Rehearsal, story::rehearse};

fn rehearsal() -> Rehearsal {
    Rehearsal { seal: false, ..rehearse(&Plan { odd_fates: false, ..Plan::default() }) }
}

/// Judges a held run whose directory was damaged before it was sealed.
fn damaged(damage: impl FnOnce(&Path)) -> Judged {
    let dir = tempfile::tempdir().unwrap();
    let run = rehearsal().write(&dir.path().join("run"));
    damage(run.root());
    seal(&run);
    Judged::run(&run, &Options::default())
}

fn seal(run: &RunDir) {
    fs::write(run.path(SUMS), artifacts::seal::sums(run.root()).unwrap()).unwrap();
}

fn cut(path: &Path, keep: impl Fn(usize) -> usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..keep(bytes.len())]).unwrap();
}

/// Asserts that the run is unknown, nothing is broken, and the check says why.
fn unknown(judged: &Judged, check: &str, parts: &[&str]) {
    assert_eq!(judged.findings.verdict, Verdict::Unknown, "{:#?}", judged.findings);
    assert_eq!(judged.check(check).verdict, Verdict::Unknown);
    let text = judged.text(check);
    parts.iter().for_each(|part| assert!(text.contains(part), "'{part}' is not in {text}"));
}

#[test]
fn evidence_that_was_changed_after_the_seal_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = support::held_run(&dir.path().join("run"));
    fs::write(run.path("snapshots/cut.json"), "{}").unwrap();
    fs::remove_file(run.path("events.jsonl")).unwrap();
    let judged = Judged::run(&run, &Options::default());
    // Nothing is looked at, not even which checks are asked.
    assert_eq!(judged.checks(Verdict::Unknown).len(), 11);
    let parts = ["snapshots/cut.json was changed", r#"Some("snapshots/cut.json")"#, "events.jsonl is gone"];
    unknown(&judged, "still-flowing", &parts);
}

#[test]
fn a_corrupt_line_of_the_ledger_is_named() {
    let judged = damaged(|root| {
        let text = fs::read_to_string(root.join("ledger.jsonl")).unwrap();
        let lines: Vec<&str> =
            text.lines().enumerate().map(|(n, l)| if n == 30 { "{\"e\":" } else { l }).collect();
        fs::write(root.join("ledger.jsonl"), lines.join("\n") + "\n").unwrap();
    });
    unknown(&judged, "nothing-missing", &["ledger.jsonl is corrupt at line 31", r#"Some("line 31")"#]);
    unknown(&judged, "still-flowing", &["ledger.jsonl is corrupt at line 31"]);
    assert!(judged.violations.is_empty());
    assert!(!judged.text("nothing-missing").contains("/tmp"), "paths are relative to the run");
}

#[test]
fn a_ledger_that_contradicts_itself_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = rehearsal();
    run.ledger.retain(|entry| !matches!(entry, Entry::Returned { tx, .. } if tx == "c0-2"));
    run.seal = true;
    let judged = Judged::of(&run, dir.path());
    unknown(&judged, "order-kept", &["transaction c0-2 is committed but never returned"]);
    let missing = damaged(|root| fs::remove_file(root.join("ledger.jsonl")).unwrap());
    unknown(&missing, "nothing-missing", &["cannot open ledger.jsonl"]);
}

#[test]
fn a_torn_last_line_leaves_a_transaction_unknown() {
    let torn = |root: &Path| cut(&root.join("ledger.jsonl"), |len| len - 4);
    let judged = damaged(|root| {
        torn(root);
        // A generator that was killed leaves no summary.
        fs::remove_file(root.join("steps/18-restart-generator/summary.json")).unwrap();
    });
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
    assert!(judged.findings.counts.total.indeterminate > 0);
    unknown(
        &damaged(torn),
        "nothing-missing",
        &["the data generator counted", "restart-generator/summary.json"],
    );
}

#[test]
fn evidence_that_is_not_sealed_proves_nothing_but_faults() {
    let dir = tempfile::tempdir().unwrap();
    let judged = Judged::of(&rehearsal(), dir.path());
    assert_eq!(judged.checks(Verdict::Unknown).len(), 10);
    for check in &judged.findings.checks {
        unknown(&judged, &check.name, &["the evidence is not sealed", "SHA256SUMS"]);
        assert_eq!(check.remedy.as_deref(), Some("cargo xtask collect completes and seals it"));
        assert!(check.compared > 0 && check.evidence.len() > 1, "what was seen is said: {check:#?}");
    }
    let mut run = rehearsal();
    run.records.iter_mut().rfind(|r| r.op() == "u").unwrap().edit(|e| e["after"]["ver"] = 999.into());
    let judged = Judged::of(&run, &dir.path().join("broken"));
    assert_eq!(judged.check("nothing-altered").verdict, Verdict::Broken);
    assert!(judged.text("nothing-altered").contains("the evidence is not sealed"));
}

#[test]
fn an_open_run_says_which_steps_lack() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = rehearsal();
    run.collected = None;
    let judged = Judged::of(&run, dir.path());
    let remedy = |name: &str| judged.check(name).remedy.clone().unwrap();
    assert_eq!(remedy("nothing-missing"), "cargo xtask collect");
    assert_eq!(remedy("still-flowing"), "cargo xtask drain-again, then cargo xtask collect");
    run.seal = true;
    let judged = Judged::of(&run, &dir.path().join("sealed"));
    let remedy = judged.check("nothing-missing").remedy.clone().unwrap();
    assert_eq!(remedy, "rehearse again: cargo xtask upgrade --option b");
}

#[test]
fn a_ledger_cut_in_the_middle_invents_nothing() {
    let judged = damaged(|root| cut(&root.join("ledger.jsonl"), |len| len * 3 / 4));
    unknown(&judged, "nothing-invented", &["the ledger ends in the middle of a line", "ledger.jsonl"]);
}

#[test]
fn topics_that_were_cut_prove_only_what_is_there() {
    let judged = damaged(|root| cut(&root.join("consumed.jsonl.zst"), |len| len - 3));
    unknown(
        &judged,
        "nothing-missing",
        &["consumed.jsonl.zst is corrupt at line", r#"Some("consumed.jsonl.zst")"#],
    );
    let missing = damaged(|root| fs::remove_file(root.join("consumed.jsonl.zst")).unwrap());
    unknown(&missing, "nothing-missing", &["cannot open consumed.jsonl.zst"]);
}

#[test]
fn records_that_lack_at_the_end_or_in_the_middle_are_noticed() {
    let rewrite = |keep: fn(usize) -> bool| {
        move |root: &Path| {
            let path = root.join("consumed.jsonl.zst");
            let text = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
            let lines = text.split_inclusive(|b| *b == b'\n').enumerate();
            let kept: Vec<u8> = lines.filter(|(n, _)| keep(*n)).flat_map(|(_, line)| line.to_vec()).collect();
            fs::write(&path, zstd::encode_all(kept.as_slice(), 1).unwrap()).unwrap();
        }
    };
    let judged = damaged(rewrite(|n| n < 100));
    unknown(&judged, "nothing-missing", &["the file holds it up to", r#"Some("collected.json")"#]);
    let judged = damaged(rewrite(|n| n != 50));
    unknown(&judged, "nothing-missing", &["consumed.jsonl.zst is corrupt at line", "follows"]);
}

#[test]
fn small_files_that_are_half_written_are_named_with_their_place() {
    let half = |name: &'static str| damaged(move |root: &Path| cut(&root.join(name), |len| len / 2 - 5));
    unknown(&half("snapshots/cut.json"), "database-carried-over", &["snapshots/cut.json is corrupt at line"]);
    unknown(
        &half("snapshots/at-resume.json"),
        "positions-consistent",
        &["at-resume.json is corrupt at line"],
    );
    unknown(&half("snapshots/after.json"), "replication-ready", &["after.json is corrupt at line"]);
    unknown(&half("collected.json"), "nothing-missing", &["collected.json is corrupt at line"]);
    unknown(&half("steps/21-drain-again/drain.json"), "still-flowing", &["drain.json is corrupt at line"]);
    let rows = "steps/22-capture-after/rows-public.orders.jsonl";
    unknown(&half(rows), "tables-converge", &["rows-public.orders.jsonl is corrupt at line"]);
    let judged = damaged(|root| {
        let text = fs::read_to_string(root.join("events.jsonl")).unwrap();
        fs::write(root.join("events.jsonl"), format!("{{\n{text}")).unwrap();
    });
    unknown(&judged, "still-flowing", &["events.jsonl is corrupt at line 1"]);
}

#[test]
fn snapshots_that_were_not_taken_are_named() {
    let judged = damaged(|root| fs::remove_file(root.join("snapshots/restored.json")).unwrap());
    unknown(&judged, "database-carried-over", &["snapshots/restored.json was not taken"]);
}

#[test]
fn events_that_are_not_json_are_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = rehearsal();
    run.records.iter_mut().filter(|r| r.change_id.is_some()).for_each(|record| {
        record.value = Some(r#"{"$base64":"AAAAAAE="}"#.into());
    });
    let judged = Judged::of(&run, dir.path());
    unknown(
        &judged,
        "nothing-altered",
        &["consumed.jsonl.zst is corrupt at line 1", "there is no schemas.json"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever file is cut wherever, there is a verdict, and it is not held unless what was cut is
    /// not needed or only the last line is torn.
    #[test]
    fn a_file_cut_anywhere_gives_a_verdict(file in 0..200usize, keep in 0..1000usize, sealed: bool) {
        let dir = tempfile::tempdir().unwrap();
        let run = Rehearsal { seal: sealed, ..rehearsal() }.write(&dir.path().join("run"));
        let files = evidence(&run);
        let name = &files[file % files.len()];
        cut(&run.path(name), |len| len * keep / 1000);
        let judged = Judged::run(&run, &Options::default());
        if sealed {
            prop_assert_eq!(judged.findings.verdict, Verdict::Unknown);
            prop_assert!(judged.text("order-kept").contains(name.as_str()));
        }
        prop_assert_eq!(judged.findings.checks.len(), if sealed { 11 } else { 10 });
    }
}

/// Files of evidence except run.json, without which nothing is a run.
fn evidence(run: &RunDir) -> Vec<String> {
    let sums = artifacts::seal::sums(run.root()).unwrap();
    let names = sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name.to_owned());
    names.filter(|name| name != "run.json").collect()
}
