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
        ("upgrade --without fences", 2, "can be left out are writers-first, fence, drain"),
        ("upgrade --mix 1:2", 2, "three weights"),
        ("upgrade --name ../x", 2, "use 1 to 24 of"),
        ("drain", 2, "there is no open run of the stack 'lab': begin one with: cargo xtask up"),
        ("verify", 5, "has schema 2.0, this tool reads 1.0"),
        (&*format!("verify --run {}", newer.display()), 5, "has schema 2.0, this tool reads 1.0"),
        (&*format!("verify --run {}", half.display()), 5, "run.json is corrupt at line 1"),
        ("verify --run nosuch", 2, "there is no run nosuch"),
        ("upgrade --changes -1", 2, "use a whole number from 0 up"),
        ("bench --only nothing", 2, "[possible values: verify, report, collect, workload]"),
        ("logs kafak", 2, "a similar value exists: 'kafka'"),
        ("topics", 2, "there is no stack 'lab': make it with: cargo xtask up"),
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

/// Bash as it completes the given words, the last of which is being typed.
fn completed(script: &str, words: &[&str]) -> String {
    let typed = words.join(" ");
    let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
    let ask = format!(
        "{script}\nCOMP_WORDS=({typed}{empty}); COMP_CWORD={at}\n_cargo_xtask_words cargo '{last}' {before}\necho ${{COMPREPLY[@]}}",
        empty = if last.is_empty() { "''" } else { "" },
        at = words.len() - 1,
    );
    let output = Command::new("bash").args(["--norc", "-s"]).write_stdin(ask).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn bash_completes_what_follows_cargo_xtask() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["completions", "bash"]).output().unwrap();
    let script = String::from_utf8(output.stdout).unwrap();
    assert_eq!(completed(&script, &["cargo", "xtask", "repoi"]), "repoint-connector");
    assert_eq!(completed(&script, &["cargo", "xtask", "logs", "kaf"]), "kafka");
    assert_eq!(completed(&script, &["cargo", "xtask", "slots", "drop", "--ser"]), "--server");
    assert_eq!(completed(&script, &["cargo", "xt"]), "xtask");
    let with_cargo = format!("_cargo() {{ COMPREPLY=(as before); }}\n{script}");
    assert_eq!(completed(&with_cargo, &["cargo", "bui"]), "as before", "those of cargo are kept");
}

#[test]
fn nothing_is_removed_without_yes_where_nobody_can_be_asked() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("state/pg-cdc-rehearsal/stacks/lab/backups");
    std::fs::create_dir_all(&folder).unwrap();
    for words in ["down --volumes", "down --backups"] {
        let said = xtask(runs.path(), words);
        assert_eq!(said.code, Some(2), "{words}: {}", said.stderr);
        assert!(said.stderr.contains(&format!("cargo xtask {words} --yes")), "{}", said.stderr);
        assert!(folder.exists());
    }
    assert_eq!(xtask(runs.path(), "down --backups --yes").code, Some(0));
    assert!(!folder.exists());
}

/// What stands still in one statement: reading a pipe that nobody writes to.
#[test]
fn a_signal_ends_what_stands_still_and_a_second_one_at_once() {
    let runs = tempfile::tempdir().unwrap();
    let run = runs.path().join("20990101T000000Z-b-15-16");
    std::fs::create_dir(&run).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(run.join("run.json")).status().unwrap().success());
    for (signals, soonest, latest) in [(1, 1.0, 2.0), (2, 0.0, 1.0)] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"));
        let mut child = command.args(["verify", "--run"]).arg(&run).spawn().unwrap();
        // It listens to signals before it reads anything.
        let pipe = std::fs::File::options().write(true).open(run.join("run.json")).unwrap();
        let start = std::time::Instant::now();
        for _ in 0..signals {
            let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            assert!(kill.unwrap().success());
            // Two signals that come together are one.
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let ended = std::iter::repeat_with(|| child.try_wait().unwrap());
        let ended = ended.take_while(|_| start.elapsed().as_secs_f64() < latest).find_map(|ended| ended);
        let took = start.elapsed().as_secs_f64();
        drop(pipe);
        assert_eq!(ended.and_then(|status| status.code()), Some(130), "after {signals} signals and {took} s");
        assert!(took >= soonest, "{signals} signals: {took} s");
    }
}
