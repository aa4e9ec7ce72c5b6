//! Two stacks at once, of one user and of two.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use artifacts::findings::Verdict;

use crate::support::{STACK, findings, not_held, program, run_of};

const USER: &str = "nobody";

/// Left out by `cargo xtask ci`, and counted as skipped, where it is not run as root.
#[test]
fn root_and_an_ordinary_user_at_the_same_time() {
    let me = std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap();
    assert_eq!(me, 0, "run it as root, or leave it out with --skip root_and");
    let home = tempfile::Builder::new().prefix("pg-cdc-user-").tempdir().unwrap();
    prepare(home.path());
    let mine = Lab::start(format!("{STACK}-root"), None);
    let theirs = Lab::start(format!("{STACK}-user"), Some(home.path()));
    for lab in [mine, theirs] {
        lab.held();
    }
}

#[test]
fn two_stacks_of_one_user_at_the_same_time() {
    let labs = ["one", "two"].map(|n| Lab::start(format!("{STACK}-{n}"), None));
    for lab in labs {
        lab.held();
    }
}

/// A rehearsal at work on a stack of its own. Dropped, it leaves no process of it.
struct Lab<'a> {
    name: String,
    home: Option<&'a Path>,
    rehearsal: Option<Child>,
}

impl<'a> Lab<'a> {
    /// For the user with this home, else for whoever runs the test.
    fn start(name: String, home: Option<&'a Path>) -> Self {
        let mut lab = Self { name, home, rehearsal: None };
        let mut command = lab.command();
        command.args(["upgrade", "--option", "b", "--changes", "500", "--name", &lab.name]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        lab.rehearsal = Some(command.spawn().unwrap());
        lab
    }

    fn command(&self) -> Command {
        self.home.map_or_else(|| Command::new(program()), as_user)
    }

    fn held(mut self) {
        let output: Output = self.rehearsal.take().unwrap().wait_with_output().unwrap();
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0));
        let found = findings(&run_of(&output));
        assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        if let Some(mut rehearsal) = self.rehearsal.take() {
            drop((rehearsal.kill(), rehearsal.wait()));
        }
        let down = self.command().args(["down", "--volumes", "--yes", "--name", &self.name]).status();
        let ended = down.is_ok_and(|status| status.success());
        assert!(ended || std::thread::panicking(), "the stack {} is down", self.name);
    }
}

/// The program for a user who has nothing but a home: binaries, cache and runs are below it.
fn as_user(home: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", "nogroup", "--clear-groups", "--"]);
    command.arg(home.join("bin/xtask")).env_clear().current_dir(home);
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home);
    for (name, folder) in [("PG_CDC_CACHE", "cache"), ("PG_CDC_STATE", "state"), ("PG_CDC_RUNS", "runs")] {
        command.env(name, home.join(folder));
    }
    command.env("PG_CDC_GENERATOR", home.join("bin/data-generator"));
    command
}

/// Copies the programs and what root has provisioned, so that nothing is downloaded twice.
fn prepare(home: &Path) {
    std::fs::create_dir_all(home.join("bin")).unwrap();
    for program in [program(), program().with_file_name("data-generator")] {
        std::fs::copy(&program, home.join("bin").join(program.file_name().unwrap())).unwrap();
    }
    let from: PathBuf = stack::cache_dir().unwrap();
    let to = home.join("cache").join(from.file_name().unwrap());
    std::fs::create_dir_all(&to).unwrap();
    // The builds of `.ci/run` may be beside them.
    for entry in std::fs::read_dir(&from).unwrap().flatten().filter(|entry| entry.file_name() != "build") {
        sh("cp", &["-r".as_ref(), &entry.path(), &to]);
    }
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o755)).unwrap();
    sh("chown", &["-R".as_ref(), format!("{USER}:nogroup").as_ref(), home]);
}

fn sh(program: &str, args: &[&Path]) {
    assert!(Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}
