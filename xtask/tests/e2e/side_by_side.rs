//! Two stacks at once: one of root, one of an ordinary user who shares nothing with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use artifacts::findings::Verdict;

use crate::support::{findings, not_held, program, run_of};

const USER: &str = "nobody";

#[test]
fn root_and_an_ordinary_user_at_the_same_time() {
    let home = tempfile::Builder::new().prefix("pg-cdc-user-").tempdir_in("/tmp").unwrap();
    let root = std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap() == 0;
    let first = start(Command::new(program()), "ci-root");
    let second = if root { as_user(home.path()) } else { Command::new(program()) };
    let second = start(second, "ci-user");
    let outputs = [first, second].map(|child| child.wait_with_output().unwrap());
    for output in &outputs {
        held(output);
    }
    if root {
        let down = as_user(home.path()).args(["down", "--volumes", "--name", "ci-user"]).status().unwrap();
        assert!(down.success());
    } else {
        eprintln!("not root: both stacks belong to the same ordinary user");
    }
}

fn held(output: &Output) {
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
    let found = findings(&run_of(output));
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
}

fn start(mut command: Command, name: &str) -> Child {
    command.args(["upgrade", "--option", "b", "--changes", "500", "--name", name]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The program for a user who has nothing but a home: binaries, cache and runs are below it.
fn as_user(home: &Path) -> Command {
    let bin = home.join("bin");
    if !bin.exists() {
        prepare(home, &bin);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", "nogroup", "--clear-groups", "--"]).arg(bin.join("xtask"));
    let at = |name: &str| home.join(name);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home);
    command.env("PG_CDC_CACHE", at("cache")).env("PG_CDC_STATE", at("state")).env("PG_CDC_RUNS", at("runs"));
    command.env("PG_CDC_GENERATOR", bin.join("data-generator")).current_dir(home);
    command
}

/// Copies the programs and what root has provisioned, so that nothing is downloaded twice.
fn prepare(home: &Path, bin: &Path) {
    std::fs::create_dir(bin).unwrap();
    let generator = program().with_file_name("data-generator");
    for program in [program(), generator] {
        std::fs::copy(&program, bin.join(program.file_name().unwrap())).unwrap();
    }
    let cache: PathBuf = stack::cache_dir().unwrap();
    let sh = |words: &[&str]| {
        assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{words:?}")
    };
    let home = home.display().to_string();
    sh(&["cp", "-r", &cache.display().to_string(), &format!("{home}/cache")]);
    sh(&["chown", "-R", &format!("{USER}:nogroup"), &home]);
}
