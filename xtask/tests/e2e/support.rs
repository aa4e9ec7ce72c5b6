//! What the scenarios share: typing a command, and reading what it left.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use artifacts::RunDir;
use artifacts::findings::{CheckResult, Findings, Verdict, Violation};
use artifacts::ledger::{Change, Entry, Phase, Reader};
use stack::connect::Client;
use stack::observe::silent;
use stack::{Kind, Options, Stack};

/// The stack that all tests but one share, one after another.
pub(crate) const STACK: &str = "test";

const README: &str = include_str!("../../../README.md");

/// The program that `cargo xtask` runs.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_xtask"))
}

/// The command that is typed. Engines are hidden from what does not name them: `--stack auto` is native then, on
/// every machine.
pub(crate) fn command(words: &str) -> Command {
    let mut command = Command::new(program());
    command.args(words.split_whitespace());
    if !words.contains("--stack compose") && !words.starts_with("images") {
        command.env("DOCKER_HOST", "unix:///hidden.sock");
    }
    command
}

/// Types `cargo xtask <words>` and returns what came of it.
pub(crate) fn xtask(words: &str) -> Output {
    let output = command(words).output().unwrap();
    eprintln!("$ cargo xtask {words}\n{}", String::from_utf8_lossy(&output.stderr));
    if output.status.code() != Some(2) {
        typed(words);
    }
    output
}

/// Writes down that it was typed: `cargo xtask ci` compares that with the documents.
pub(crate) fn typed(words: &str) {
    let Ok(path) = std::env::var("PG_CDC_TYPED") else { return };
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "{words}").unwrap();
}

/// As [`xtask`], and the exit code has to be this one.
pub(crate) fn expect(code: i32, words: &str) -> Output {
    let output = xtask(words);
    assert_eq!(
        output.status.code(),
        Some(code),
        "cargo xtask {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A command under way, and what it says.
pub(crate) struct Running {
    pub(crate) child: Child,
    said: Receiver<String>,
}

impl Running {
    pub(crate) fn start(words: &str) -> Self {
        Self::of(command(words), words)
    }

    /// One with an environment of its own.
    pub(crate) fn of(mut command: Command, words: &str) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        typed(words);
        let (sender, said) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        // Read to its end: a program that cannot say anything any more may fail of that.
        std::thread::spawn(move || {
            lines.for_each(|line| {
                eprintln!("{line}");
                drop(sender.send(line));
            })
        });
        Self { child, said }
    }

    /// Waits until it says this.
    pub(crate) fn until(&self, part: &str) {
        let found = self.said.iter().any(|line| line.contains(part));
        assert!(found, "it ended without saying '{part}'");
    }

    /// Sends it a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success(), "it has ended");
    }
}

/// What follows `cargo xtask` in the README's block of the procedure, in order.
pub(crate) fn procedure() -> Vec<&'static str> {
    let (_, section) = README.split_once("## The procedure, step by step").unwrap();
    let (_, block) = section.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let typed = block.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let words: Vec<_> = typed.filter_map(|line| line.strip_prefix("cargo xtask ")).collect();
    assert_eq!(words.first(), Some(&"up"), "{words:?}");
    words
}

/// A native stack by its name.
pub(crate) fn stack(name: &str) -> Stack {
    Stack::open(Options { name: name.into(), kind: Kind::Native, install: false, standard_ports: false })
        .unwrap()
}

/// Its Kafka Connect.
pub(crate) fn connect(name: &str) -> Client {
    Client::new(&stack(name).endpoints().connect, silent()).unwrap()
}

/// The run whose report.html was printed on stdout.
pub(crate) fn run_of(output: &Output) -> RunDir {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let report = PathBuf::from(stdout.lines().last().unwrap_or_default());
    assert!(report.ends_with("report.html"), "stdout: {stdout}");
    RunDir::open(report.parent().unwrap()).unwrap()
}

pub(crate) fn findings(run: &RunDir) -> Findings {
    run.findings().unwrap().expect("findings.json")
}

pub(crate) fn check(findings: &Findings, name: &str) -> CheckResult {
    findings.checks.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no check {name}")).clone()
}

/// Every check that did not hold, in words.
pub(crate) fn not_held(findings: &Findings) -> Vec<String> {
    let bad = findings.checks.iter().filter(|c| c.verdict != Verdict::Held);
    bad.map(|c| format!("{} {}: {}", c.name, c.verdict, c.summary)).collect()
}

pub(crate) fn violations(run: &RunDir) -> Vec<Violation> {
    let text = std::fs::read_to_string(run.path("violations.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Committed changes of the ledger that touched a row, with their phase.
pub(crate) fn committed(run: &RunDir) -> Vec<(Phase, Change)> {
    transactions(run).into_iter().map(|(phase, _, change)| (phase, change)).collect()
}

/// The same of one phase, with their transaction id.
pub(crate) fn committed_by_xid(run: &RunDir, wanted: Phase) -> Vec<(String, Change)> {
    let of_phase = transactions(run).into_iter().filter(|(phase, ..)| *phase == wanted);
    of_phase.map(|(_, xid, change)| (xid, change)).collect()
}

/// Phase and transaction id of every committed change that touched a row.
fn transactions(run: &RunDir) -> Vec<(Phase, String, Change)> {
    let (mut open, mut done) = (BTreeMap::new(), Vec::new());
    for entry in Reader::open(&run.ledger()).unwrap() {
        match entry.unwrap().1 {
            Entry::Invoke { tx, phase, changes, .. } => {
                open.insert(tx, (phase, changes, String::new(), Vec::new()));
            }
            Entry::Returned { tx, xid, counts, .. } => {
                let open = open.get_mut(&tx).unwrap();
                (open.2, open.3) = (xid, counts);
            }
            Entry::Ok { tx, .. } | Entry::Settled { tx, fate: artifacts::ledger::Fate::Ok, .. } => {
                let (phase, changes, xid, counts) = open.remove(&tx).unwrap();
                let touched = changes.into_iter().zip(counts).filter(|(_, n)| *n > 0);
                done.extend(touched.map(|(change, _)| (phase, xid.clone(), change)));
            }
            _ => {}
        }
    }
    done
}

/// Table and version of every row that was there before the connector.
pub(crate) fn seeded(run: &RunDir) -> Vec<(String, u32)> {
    let entries = Reader::open(&run.ledger()).unwrap().map(|entry| entry.unwrap().1);
    entries
        .filter_map(
            |entry| if let Entry::Seed { table, ver, .. } = entry { Some((table, ver)) } else { None },
        )
        .collect()
}

/// Ids of the committed changes of a phase.
pub(crate) fn ids(run: &RunDir, wanted: Phase) -> BTreeSet<u64> {
    committed(run).iter().filter(|(phase, _)| *phase == wanted).map(|(_, change)| change.id).collect()
}
