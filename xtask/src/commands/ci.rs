//! `cargo xtask ci`: every check and test of the project; ends with `N passed, N failed, N skipped`.
//!
//! The quick ones come first. What the tests start has its state in a folder of this one `ci`, and is
//! found and ended there whatever has become of the tests.

mod compose;
mod documented;

use std::cell::Cell;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, geteuid, kill_process_group, test_kill_process_group};
use stack::observe::Silent;
use stack::wait::{self, Probe};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use walkdir::WalkDir;

use super::{Signals, open_stack};
use crate::exit::Outcome;
use crate::flags::{Ci, Ports, StackArgs, StackKind, Tidy};
use crate::{console, project, tidy};

/// This program, also when a build has replaced its file.
const XTASK: &str = "/proc/self/exe";
/// The stack of the end-to-end tests; made earlier, it gives the other tests their PostgreSQL.
const STACK: &str = "test";
/// Tests that only root can make.
const NEEDS_ROOT: [&str; 1] = ["side_by_side::root_and_an_ordinary_user_at_the_same_time"];
const KILLED: Duration = Duration::from_secs(10);
const DOWN: Duration = Duration::from_secs(120);

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

    /// Adds tests that an earlier run has counted as skipped.
    fn catch_up(&mut self, ran: Self) {
        self.skipped = self.skipped.saturating_sub(ran.passed + ran.failed);
        self.add(Self { skipped: 0, ..ran });
    }
}

/// Goes on after a failure, so that everything is told at once. Whatever happens, a signal
/// included, nothing is left running.
pub(crate) async fn run(args: &Ci, mut signals: Signals) -> anyhow::Result<Outcome> {
    let ground = Ground::make()?;
    let result = tokio::select! {
        total = all(&ground, args) => total.map(Ok),
        number = signals.next() => Ok(Err(Outcome::Signal(number))),
    };
    ground.clear().await;
    let total = match result? {
        Ok(total) => total,
        Err(signal) => {
            ground.forget_runs();
            return Ok(signal);
        }
    };
    if total.failed == 0 {
        ground.forget_runs();
    } else if ground.runs.exists() {
        console::say(&format!("the evidence of the rehearsals: {}", ground.runs.display()));
    }
    console::data(&format!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped));
    Ok(if total.failed == 0 { Outcome::Done } else { Outcome::Found(1) })
}

async fn all(ground: &Ground, args: &Ci) -> anyhow::Result<Count> {
    let mut total = Count::default();
    if args.only.is_none() {
        total.add(check(ground, "formatting", &["fmt", "--all", "--check"]).await?);
        total.add(Count::one(tidy::run(&Tidy { fix: false })? == Outcome::Done));
        let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        total.add(check(ground, "clippy", &clippy).await?);
        let clippy = ["clippy", "--package", "xtask", "--test", "e2e", "--quiet", "--", "-D", "warnings"];
        total.add(check(ground, "clippy of the end-to-end tests", &clippy).await?);
        let mut unit = ground.cargo(&["test", "--workspace", "--quiet", "--no-fail-fast"]);
        total.add(tests(ground, "unit, property and golden tests", &mut unit).await?);
        browser(ground, &mut total).await?;
        let own: [(&str, &[&str]); 2] = [
            ("self-test on a synthetic run", &["self-test", "--events", "100000"]),
            ("a quick measurement", &["bench", "--quick"]),
        ];
        for (what, words) in own {
            let start = Instant::now();
            let passed = ground.ends(&mut ground.command(XTASK, words)).await?;
            told(what, passed, start);
            total.add(Count::one(passed));
        }
        ignored(ground, &mut total).await?;
    }
    let mut e2e = vec!["test", "--package", "xtask", "--test", "e2e", "--", "--test-threads=1"];
    e2e.extend(args.full.then_some("--include-ignored"));
    e2e.extend(args.only.as_deref());
    let only = args.only.as_deref().unwrap_or_default();
    for name in NEEDS_ROOT.iter().filter(|name| !geteuid().is_root() && name.contains(only)) {
        console::say(&format!("skipped: {name} (needs root)"));
        e2e.extend(["--skip", name]);
        total.skipped += 1;
    }
    let engine = compose::engine(ground, only, &mut e2e, &mut total).await;
    let mut e2e = ground.cargo(&e2e);
    e2e.envs(engine.iter().flat_map(stack::Engine::env));
    let typed = ground.state.join("typed");
    total.add(tests(ground, "end-to-end tests", e2e.env(documented::TYPED, &typed)).await?);
    if args.only.is_none() {
        let untyped = documented::untyped(&project::root(), &std::fs::read_to_string(typed)?)?;
        untyped.iter().for_each(|command| console::say(&format!("no test types {command}")));
        total.add(Count::one(untyped.is_empty()));
    }
    Ok(total)
}

/// The report in Chromium, where that is to be had.
async fn browser(ground: &Ground, total: &mut Count) -> anyhow::Result<()> {
    let chromium = stack::chromium(true).await;
    let npm = stack::npm(&project::root().join("report/tests/browser"), true).await;
    let (chromium, npm) = match chromium.and_then(|chromium| Ok((chromium, npm?))) {
        Ok(found) => found,
        Err(e) => {
            let why = e.to_string();
            console::say(&format!(
                "skipped: the report in a browser ({})",
                why.lines().next().unwrap_or_default()
            ));
            return Ok(());
        }
    };
    let words = ["test", "--package", "report", "--test", "browser", "--quiet", "--", "--ignored"];
    let mut browser = ground.cargo(&words);
    browser.env("CHROMIUM", chromium).env("NPM_FOLDER", npm);
    total.catch_up(tests(ground, "the report in a browser", &mut browser).await?);
    Ok(())
}

/// The tests that `cargo test` alone leaves out because they need real components.
async fn ignored(ground: &Ground, total: &mut Count) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut up = ground.command(XTASK, &["up", "--changes", "0", "--stack", "native", "--name", STACK]);
    let up = ground.ends(&mut up).await?;
    told("a PostgreSQL for the tests", up, start);
    total.failed += u32::from(!up);
    let mut generator = ground.cargo(&["test", "--package", "data-generator", "--quiet", "--", "--ignored"]);
    if up {
        generator.envs(ground.postgres()?);
    }
    total.catch_up(tests(ground, "data generator on PostgreSQL", &mut generator).await?);
    let words = ["test", "--package", "stack", "--quiet", "--no-fail-fast", "--"];
    let mut stack = ground.cargo(&[&words[..], &["--ignored", "--test-threads=1"]].concat());
    total.catch_up(tests(ground, "stack on real components", &mut stack).await?);
    Ok(())
}

/// Where this one `ci` works.
struct Ground {
    /// `PG_CDC_STATE` of what the tests start, with their temporary folders in `tmp`. Named by this
    /// process: neither a stack of the user nor another `ci` is ever touched.
    state: PathBuf,
    /// `PG_CDC_RUNS`; kept after a failure.
    runs: PathBuf,
    /// The command under way, with everything that it started.
    group: Cell<Option<Pid>>,
}

impl Ground {
    fn make() -> anyhow::Result<Self> {
        let name = format!("ci-{}", std::process::id());
        let stack =
            StackArgs { stack: StackKind::Native, name: name.clone(), no_install: true, ports: Ports::Auto };
        let state = open_stack(&stack)?.state_dir().to_owned();
        create_open(&state.join("tmp")).with_context(|| format!("cannot create {}", state.display()))?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let target = program.ancestors().nth(2).context("this program is in no target folder")?;
        Ok(Self { state, runs: target.join("ci-runs").join(name), group: Cell::new(None) })
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).current_dir(project::root()).stdin(Stdio::null());
        command.env("PG_CDC_STATE", &self.state).env("PG_CDC_RUNS", &self.runs);
        command.env("TMPDIR", self.state.join("tmp"));
        command
    }

    fn cargo(&self, words: &[&str]) -> Command {
        self.command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()), words)
    }

    /// Runs it in a group of its own; each line of its stdout, where that is piped, goes to `line`.
    async fn runs(&self, command: &mut Command, mut line: impl FnMut(&str)) -> anyhow::Result<bool> {
        let mut child = command
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {:?}", command.as_std()))?;
        self.group.set(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(text) = lines.next_line().await? {
                line(&text);
            }
        }
        let status = child.wait().await?;
        self.group.set(None);
        Ok(status.success())
    }

    /// Whether it ends well. What it prints goes where everything goes that is not data.
    async fn ends(&self, command: &mut Command) -> anyhow::Result<bool> {
        self.runs(command.stdout(Stdio::piped()), console::say).await
    }

    /// The PostgreSQL 15 that the stack has, for tests that start servers of their own.
    fn postgres(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let path = stacks(&self.state).into_iter().find(|stack| stack.ends_with(STACK));
        let path = path.context("the tests have no stack")?.join("state.json");
        let state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let tools = &state["tools"]["postgres"]["15"];
        let names = [("PG15_BINDIR", "bindir"), ("PG15_LIBRARY_PATH", "library_path")];
        Ok(names.iter().filter_map(|(name, key)| Some((*name, tools[key].as_str()?.to_owned()))).collect())
    }

    fn forget_runs(&self) {
        // There may have been none.
        let _ = std::fs::remove_dir_all(&self.runs);
    }

    /// Ends the command under way and every stack, then removes the folder.
    async fn clear(&self) {
        if let Some(group) = self.group.take() {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
            let gone = || async move {
                let gone = test_kill_process_group(group).is_err();
                if gone { Probe::Ready(()) } else { Probe::NotYet("processes are left".into()) }
            };
            let ended = wait::until(&Silent, "the end of the killed command", KILLED, gone).await;
            ended.unwrap_or_else(|e| console::warn(&e.to_string()));
        }
        let mut all_down = true;
        for stack in stacks(&self.state) {
            if let Err(e) = down(&stack).await {
                console::warn(&format!("{e:#}"));
                all_down = false;
            }
        }
        // The engine has the containers of stacks.
        all_down &= compose::stop(self).await;
        if all_down && let Err(e) = std::fs::remove_dir_all(&self.state) {
            console::warn(&format!("cannot remove {}: {e}", self.state.display()));
        }
    }
}

/// The folders of the stacks below a folder, those of other users included.
fn stacks(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries = WalkDir::new(below).min_depth(1).max_depth(6).into_iter();
    while let Some(entry) = entries.next() {
        // What has just gone is no stack.
        let Ok(path) = entry.map(walkdir::DirEntry::into_path) else { continue };
        if path.parent().is_some_and(|parent| parent.ends_with("pg-cdc-rehearsal/stacks")) {
            entries.skip_current_dir();
            found.push(path);
        }
    }
    found
}

/// Takes down the stack in `PG_CDC_STATE/pg-cdc-rehearsal/stacks/NAME`. What worked on it has been
/// killed, and gives its lock back a moment later.
async fn down(stack: &Path) -> anyhow::Result<()> {
    let (Some(state), Some(name)) = (stack.ancestors().nth(3), stack.file_name()) else { return Ok(()) };
    let mut command = Command::new(XTASK);
    command.args(["down", "--volumes", "--yes", "--name"]).arg(name).env("PG_CDC_STATE", state);
    // A signal for this program is not for it.
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let what = format!(
        "PG_CDC_STATE={} cargo xtask down --volumes --yes --name {}",
        state.display(),
        name.to_string_lossy()
    );
    wait::until(&Silent, &what, DOWN, || {
        let output = command.output();
        async {
            match output.await {
                Ok(output) if output.status.success() => Probe::Ready(()),
                Ok(output) => Probe::NotYet(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
                Err(e) => Probe::Never(e.to_string()),
            }
        }
    })
    .await?;
    Ok(())
}

/// Makes a folder and its parents. PostgreSQL does not run as root and has to enter them.
fn create_open(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), create_open)?;
    std::fs::create_dir(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

async fn check(ground: &Ground, what: &str, words: &[&str]) -> anyhow::Result<Count> {
    let start = Instant::now();
    let passed = ground.ends(&mut ground.cargo(words)).await?;
    told(what, passed, start);
    Ok(Count::one(passed))
}

/// Runs tests and adds up what libtest says; a run without a result line counts as a failure.
async fn tests(ground: &Ground, what: &str, cargo: &mut Command) -> anyhow::Result<Count> {
    let start = Instant::now();
    let mut count = Count::default();
    let passed = ground
        .runs(cargo.stdout(Stdio::piped()), |line| {
            console::say(line);
            count.add(parse(line).unwrap_or_default());
        })
        .await?;
    if (!passed || count == Count::default()) && count.failed == 0 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_read() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.08s";
        assert_eq!(parse(line), Some(Count { passed: 3, failed: 2, skipped: 1 }));
        assert_eq!(parse("running 3 tests"), None);
    }

    #[test]
    fn stacks_below_a_stack_are_found_and_it_is_not_one_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("pg-cdc-rehearsal/stacks/ci-1");
        let tests = ours.join("pg-cdc-rehearsal/stacks/test");
        let user = ours.join("tmp/home/state/pg-cdc-rehearsal/stacks/test-user");
        for stack in [&tests, &user] {
            std::fs::create_dir_all(stack.join("postgres/old")).unwrap();
        }
        let mut found = stacks(&ours);
        found.sort();
        assert_eq!(found, [tests, user]);
    }

    #[test]
    fn what_was_skipped_first_and_ran_later_is_counted_once() {
        let mut total = Count { passed: 5, failed: 0, skipped: 3 };
        total.catch_up(Count { passed: 1, failed: 1, skipped: 0 });
        assert_eq!(total, Count { passed: 6, failed: 1, skipped: 1 });
    }
}
