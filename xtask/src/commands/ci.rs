//! `cargo xtask ci`: every check and test of the project; ends with `N passed, N failed, N skipped`.

use std::process::Stdio;
use std::time::Instant;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Signals;
use crate::exit::Outcome;
use crate::flags::{Ci, Down, Ports, StackArgs, StackKind, Tidy};
use crate::{console, project, tidy};

/// Names of the stacks that the end-to-end tests use.
const STACKS: [&str; 3] = ["ci", "ci-root", "ci-user"];

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Count {
    fn one(passed: bool) -> Self {
        Self { passed: u32::from(passed), failed: u32::from(!passed), skipped: 0 }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Goes on after a failure, so that everything is told at once. Whatever happens, a signal
/// included, nothing is left running.
pub(crate) async fn run(args: &Ci, mut signals: Signals) -> anyhow::Result<Outcome> {
    let result = tokio::select! {
        total = all(args) => total.map(Ok),
        number = signals.next() => Ok(Err(Outcome::Signal(number))),
    };
    take_down().await;
    let total = match result? {
        Ok(total) => total,
        Err(signal) => return Ok(signal),
    };
    console::data(&format!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped));
    Ok(if total.failed == 0 { Outcome::Done } else { Outcome::Found(1) })
}

async fn all(args: &Ci) -> anyhow::Result<Count> {
    let mut total = Count::default();
    if args.only.is_none() {
        total.add(check("formatting", &["fmt", "--all", "--check"]).await?);
        let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        total.add(check("clippy", &clippy).await?);
        let clippy = ["clippy", "--package", "xtask", "--test", "e2e", "--quiet", "--", "-D", "warnings"];
        total.add(check("clippy of the end-to-end tests", &clippy).await?);
        let unit = ["test", "--workspace", "--quiet"];
        total.add(tests("unit, property and golden tests", &unit, false).await?);
        total.add(Count::one(tidy::run(&Tidy { fix: false })? == Outcome::Done));
    }
    let mut e2e = vec!["test", "--package", "xtask", "--test", "e2e", "--", "--test-threads=1"];
    if args.full {
        e2e.push("--include-ignored");
    }
    e2e.extend(args.only.as_deref());
    total.add(tests("end-to-end tests", &e2e, true).await?);
    Ok(total)
}

/// Cargo with everything that it starts; ended when dropped.
struct Cargo {
    child: Child,
    group: Option<Pid>,
}

impl Cargo {
    fn start(args: &[&str], stdout: Stdio) -> anyhow::Result<Self> {
        let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let mut command = Command::new(&program);
        command.args(args).current_dir(project::root()).stdin(Stdio::null()).stdout(stdout).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot run {program} {}", args.join(" ")))?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { child, group })
    }

    async fn succeeds(&mut self) -> anyhow::Result<bool> {
        let status = self.child.wait().await?;
        self.group = None;
        Ok(status.success())
    }
}

impl Drop for Cargo {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn check(what: &str, args: &[&str]) -> anyhow::Result<Count> {
    let start = Instant::now();
    let passed = Cargo::start(args, Stdio::inherit())?.succeeds().await?;
    told(what, passed, start);
    Ok(Count::one(passed))
}

/// Runs tests and adds up what libtest says; a run without a result line counts as a failure.
async fn tests(what: &str, args: &[&str], count_ignored: bool) -> anyhow::Result<Count> {
    let start = Instant::now();
    let mut cargo = Cargo::start(args, Stdio::piped())?;
    let mut count = Count::default();
    if let Some(stdout) = cargo.child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            console::say(&line);
            let Some(mut result) = parse(&line) else { continue };
            if !count_ignored {
                result.skipped = 0;
            }
            count.add(result);
        }
    }
    if (!cargo.succeeds().await? || count.passed == 0) && count.failed == 0 {
        count.failed = 1;
    }
    told(what, count.failed == 0, start);
    Ok(count)
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; ...`
fn parse(line: &str) -> Option<Count> {
    let rest = line.trim().strip_prefix("test result: ")?;
    let number = |word: &str| {
        let before = rest.split(&format!(" {word}")).next()?;
        before.rsplit([' ', ';']).next()?.parse().ok()
    };
    Some(Count { passed: number("passed")?, failed: number("failed")?, skipped: number("ignored")? })
}

fn told(what: &str, passed: bool, start: Instant) {
    let mark = if passed { "passed" } else { "FAILED" };
    console::say(&format!("{mark}: {what} ({:.0} s)", start.elapsed().as_secs_f64()));
}

/// Whatever happened, nothing is left running.
async fn take_down() {
    for name in STACKS {
        let stack =
            StackArgs { stack: StackKind::Native, name: name.into(), no_install: true, ports: Ports::Auto };
        let down = super::down::run(&Down { stack, volumes: true, backups: false }).await;
        if let Err(e) = down {
            console::warn(&format!("the stack '{name}' could not be taken down: {e:#}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_read() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.08s";
        assert_eq!(parse(line), Some(Count { passed: 3, failed: 2, skipped: 1 }));
        assert_eq!(parse("running 3 tests"), None);
    }
}
