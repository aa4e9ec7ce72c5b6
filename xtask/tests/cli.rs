//! What bad input gets: one clear sentence and the documented exit code. No component is needed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use assert_cmd::Command;

struct Said {
    code: Option<i32>,
    stderr: String,
}

fn xtask(runs: &std::path::Path, words: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .env("PG_CDC_RUNS", runs)
        .env("PG_CDC_STATE", runs.join("state"))
        .env("PG_CDC_CACHE", runs.join("cache"));
    let output = command.args(words.split_whitespace()).output().unwrap();
    Said { code: output.status.code(), stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

#[test]
fn bad_input_is_told_in_a_sentence() {
    let runs = tempfile::tempdir().unwrap();
    let newer = runs.path().join("20990101T000000Z-b-15-16");
    std::fs::create_dir(&newer).unwrap();
    std::fs::write(newer.join("run.json"), r#"{"schema":"2.0"}"#).unwrap();
    let half = runs.path().join("20980101T000000Z-b-15-16");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("run.json"), r#"{"schema":"1.0","id":"#).unwrap();
    let cases = [
        ("upgrade --opton b", 2, "--option"),
        ("upgrade --option c", 2, "possible values"),
        ("upgrade --from 16 --to 15", 2, "the target must be newer than the source"),
        ("upgrade --from 14", 2, "PostgreSQL 14 is not among"),
        ("upgrade --without fence", 2, "can be left out are drain, rebase-offsets"),
        ("upgrade --mix 1:2", 2, "three weights"),
        ("upgrade --name ../x", 2, "use 1 to 24 of"),
        ("drain", 2, "there is no open run of the stack 'lab': begin one with: cargo xtask up"),
        ("verify", 5, "has schema 2.0, this tool reads 1.0"),
        (&*format!("verify --run {}", newer.display()), 5, "has schema 2.0, this tool reads 1.0"),
        (&*format!("verify --run {}", half.display()), 5, "run.json is corrupt at line 1"),
        ("verify --run /nowhere", 5, "cannot open /nowhere"),
    ];
    for (words, code, part) in cases {
        let said = xtask(runs.path(), words);
        assert_eq!(said.code, Some(code), "{words}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{words}: {}", said.stderr);
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let runs = tempfile::tempdir().unwrap();
    let said = xtask(runs.path(), "upgrade --option b --dry-run");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let left: Vec<_> = std::fs::read_dir(runs.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
