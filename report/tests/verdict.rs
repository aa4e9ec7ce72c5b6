//! The verdict over whole run directories: held, broken as planted, unknown when evidence is
//! damaged or too little.

mod support;

use std::path::Path;

use artifacts::RunDir;
use artifacts::findings::{CheckResult, Findings, Verdict, Violation};
use report::{Options, verify};
use support::{Plan, Rehearsal, story::rehearse};

fn check<'f>(findings: &'f Findings, name: &str) -> &'f CheckResult {
    findings.checks.iter().find(|check| check.name == name).unwrap()
}

fn violations(run: &RunDir) -> Vec<Violation> {
    let text = std::fs::read_to_string(run.path("violations.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn judge(rehearsal: &Rehearsal, dir: &Path) -> (Findings, Vec<Violation>) {
    let run = rehearsal.write(&dir.join("run"));
    let findings = verify(&run, &Options::default()).unwrap();
    (findings, violations(&run))
}

#[test]
fn a_held_run_is_held_by_all_ten_checks() {
    let dir = tempfile::tempdir().unwrap();
    let run = support::held_run(&dir.path().join("run"));
    let findings = verify(&run, &Options::default()).unwrap();
    println!("{}", serde_json::to_string_pretty(&findings).unwrap());
    assert_eq!(findings.checks.len(), 10);
    for check in &findings.checks {
        assert_eq!(check.verdict, Verdict::Held, "{check:#?}");
        assert!(check.compared > 0 && check.remedy.is_none(), "{check:#?}");
    }
    assert_eq!(findings.verdict, Verdict::Held);
    assert!(violations(&run).is_empty());
    let total = findings.counts.total;
    assert_eq!(total.acknowledged, total.delivered);
    assert_eq!(run.findings().unwrap().unwrap(), findings);
}

#[test]
fn without_rebase_all_changes_after_the_upgrade_are_missing_and_recoverable() {
    let dir = tempfile::tempdir().unwrap();
    let run = support::broken_run(&dir.path().join("run"));
    let findings = verify(&run, &Options::default()).unwrap();
    println!("{}", serde_json::to_string_pretty(&findings).unwrap());
    assert_eq!(findings.verdict, Verdict::Broken);
}
