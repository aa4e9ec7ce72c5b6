//! `cargo xtask ci`: every check and test of the project; ends with `N passed, N failed, N skipped`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;

use crate::exit::Outcome;
use crate::flags::{Ci, Tidy};
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

/// Goes on after a failure, so that everything is told at once.
pub(crate) fn run(args: &Ci) -> anyhow::Result<Outcome> {
    let mut total = Count::default();
    if args.only.is_none() {
        total.add(check("formatting", &["fmt", "--all", "--check"])?);
        total.add(check(
            "clippy",
            &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
        )?);
        let e2e = ["clippy", "--package", "xtask", "--test", "e2e", "--quiet", "--", "-D", "warnings"];
        total.add(check("clippy of the end-to-end tests", &e2e)?);
        total.add(tests("unit, property and golden tests", &["test", "--workspace", "--quiet"], false)?);
        let tidy = tidy::run(&Tidy { fix: false })? == Outcome::Done;
        total.add(Count::one(tidy));
    }
    let mut e2e = vec!["test", "--package", "xtask", "--test", "e2e", "--", "--test-threads=1"];
    if args.full {
        e2e.push("--include-ignored");
    }
    e2e.extend(args.only.as_deref());
    let result = tests("end-to-end tests", &e2e, true);
    take_down();
    total.add(result?);
    console::data(&format!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped));
    Ok(if total.failed == 0 { Outcome::Done } else { Outcome::Found(1) })
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.args(args).current_dir(project::root()).stdin(Stdio::null());
    command
}

fn check(what: &str, args: &[&str]) -> anyhow::Result<Count> {
    let start = Instant::now();
    let status = cargo(args).status().with_context(|| format!("cannot run cargo for {what}"))?;
    told(what, status.success(), start);
    Ok(Count::one(status.success()))
}

/// Runs tests and adds up what libtest says; a run without a result line counts as a failure.
fn tests(what: &str, args: &[&str], count_ignored: bool) -> anyhow::Result<Count> {
    let start = Instant::now();
    let mut child =
        cargo(args).stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run cargo for {what}"))?;
    let mut count = Count::default();
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line?;
        console::say(&line);
        if let Some(mut result) = parse(&line) {
            if !count_ignored {
                result.skipped = 0;
            }
            count.add(result);
        }
    }
    let status = child.wait()?;
    if (!status.success() || count.passed == 0) && count.failed == 0 {
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
fn take_down() {
    for name in STACKS {
        let Ok(program) = std::env::current_exe() else { return };
        let down =
            Command::new(program).args(["down", "--volumes", "--name", name]).stdin(Stdio::null()).status();
        if !down.is_ok_and(|status| status.success()) {
            console::warn(&format!(
                "the stack '{name}' could not be taken down: cargo xtask down --volumes --name {name}"
            ));
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
