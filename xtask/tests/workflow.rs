//! The workflow of docs/ci.md: its commands are ours, and its script keeps one comment up to date.
//! `gh` is played by a script that writes down what it is asked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const DOCUMENT: &str = include_str!("../../docs/ci.md");

/// The script below `run: |` of a step.
fn script(step: &str) -> String {
    let step = &DOCUMENT[DOCUMENT.find(&format!("- name: {step}\n")).unwrap()..];
    let body = &step[step.find("run: |\n").unwrap() + 7..];
    let indent = body.len() - body.trim_start().len();
    let inside = |line: &&str| line.is_empty() || line.starts_with(&" ".repeat(indent));
    body.lines().take_while(inside).map(|line| line.get(indent..).unwrap_or("").to_owned() + "\n").collect()
}

/// Runs the script in a folder with a report, where `existing` is the id of an earlier comment; what
/// `gh` was asked, without the search.
fn comment(existing: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("runs/latest");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("report.md"), format!("{}\n## held\n", report::markdown::MARKER)).unwrap();
    let gh = format!(
        "#!/bin/sh\necho \"$*\" >> asked\ncase \"$*\" in *--jq*) test -n '{existing}' && echo '{existing}';; esac\nexit 0\n"
    );
    let program = dir.path().join("gh");
    std::fs::write(&program, gh).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    // As the service runs a step.
    let status = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script("comment")])
        .current_dir(dir.path())
        .envs([("PATH", path.as_str()), ("PULL", "7"), ("GITHUB_REPOSITORY", "some/where")])
        .status();
    assert!(status.unwrap().success());
    let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap();
    let mut asked: Vec<String> = asked.lines().map(Into::into).collect();
    let search = asked.remove(0);
    assert!(search.contains(report::markdown::MARKER), "{search}");
    asked
}

#[test]
fn the_first_comment_is_made_and_later_ones_replace_it() {
    let made = "api repos/some/where/issues/7/comments -F body=@runs/latest/report.md";
    assert_eq!(comment(""), [made]);
    let replaced = "api --method PATCH repos/some/where/issues/comments/4711 -F body=@runs/latest/report.md";
    assert_eq!(comment("4711"), [replaced]);
}

#[test]
fn what_it_runs_is_a_command() {
    let command = DOCUMENT.lines().find_map(|line| line.trim().strip_prefix("run: cargo xtask ")).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = program.args(command.split_whitespace()).arg("--dry-run").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_it_attaches_is_what_a_run_writes() {
    for file in ["report.html", "junit.xml"] {
        assert!(DOCUMENT.contains(&format!("runs/*/{file}")), "{file}");
    }
    let key = DOCUMENT.lines().find(|line| line.contains("hashFiles")).unwrap();
    for pattern in ["Cargo.lock", "stack/native"] {
        assert!(
            key.contains(pattern) && Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(pattern).exists()
        );
    }
}
