//! What needs no server: usage, and a run that has nothing to do.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers too")]

use std::process::{Command, Output};

fn generator(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_data-generator"));
    command.args(args).env_remove("PGPASSWORD").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_options_are_usage_errors() {
    for wrong in [
        &["--nonsense"][..],
        &["--changes=1"],
        &["--ledger=x", "--mix=1:2"],
        &["--ledger=x", "--mix=0:0:0"],
        &["--ledger=x", "--mix=1:2:x"],
        &["--ledger=x", "--mix=1:2:3:"],
        &["--ledger=x", "--rate=-1"],
        &["--ledger=x", "--rate=NaN"],
        &["--ledger=x", "--clients=0"],
        &["--ledger=x", "--tx-size=0"],
        &["--ledger=x", "--phase=during"],
        &["--ledger=x", "--duration=1e300"],
    ] {
        let output = generator(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", said(&output));
    }
}

#[test]
fn help_has_examples() {
    let output = generator(&["--help"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Examples:") && text.contains("PGPASSWORD"), "{text}");
    // A workload without its ledger cannot be verified: nobody is to come upon it.
    assert!(!text.contains("unrecorded"), "{text}");
}

#[test]
fn no_changes_leave_a_header_and_need_no_server() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger.jsonl");
    let option = format!("--ledger={}", ledger.display());
    for seed in ["--seed=5", "--seed=5"] {
        let output = generator(&[&option, "--changes=0", "--port=1", seed]);
        assert!(output.status.success(), "{}", said(&output));
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&summary["acknowledged"]["insert"], &summary["ended"]), (&0.into(), &"changes".into()));
        let text = std::fs::read_to_string(&ledger).unwrap();
        assert!(
            text.lines().count() == 1 && text.starts_with(r#"{"e":"header","schema":"1.0","seed":5,"#),
            "{text}"
        );
    }
}

#[test]
fn a_ledger_that_cannot_be_written_is_told() {
    let output = generator(&["--ledger=/no/such/folder/ledger.jsonl", "--changes=0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("cannot open /no/such/folder/ledger.jsonl"), "{}", said(&output));
}

#[test]
fn what_is_no_ledger_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    std::fs::write(&path, "{\"e\":\"fail\"}\nhello\n{}\n").unwrap();
    let output = generator(&[&format!("--ledger={}", path.display()), "--changes=0"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("corrupt at line 1"), "{}", said(&output));
}
