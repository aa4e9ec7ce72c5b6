//! `cargo xtask bench`: how long verifying and reporting take, beside DuckDB on the same files, how
//! long collecting takes, beside kcat and zstd, and how fast the data generator is, beside pgbench.
//!
//! Each side is a process of its own and is run in turns with the other, on a synthetic run directory or on components
//! that are there for nothing else. Where both answer the same questions their answers are compared, so that
//! nothing fast and wrong is measured.

mod collect;
mod components;
mod measure;
mod peer;
mod pgbench;
mod table;
mod workload;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use artifacts::RunDir;
use artifacts::findings::Counts;
use artifacts::time;
use report::verify::index;
use stack::DuckDb;

use super::Signals;
use crate::exit::Outcome;
use crate::flags::{Bench, BenchPart};
use crate::{console, machine, project};
pub(super) use collect::{load, run as collect};
use components::Components;
use measure::{Series, Took, once};
use peer::Peer;
use table::Row;

/// Makes the runs, measures, and prints the table; takes nothing from this machine but room for
/// temporary files.
pub(crate) async fn run(args: &Bench, mut signals: Signals) -> anyhow::Result<Outcome> {
    let duckdb = if BenchPart::Verify.is_wanted(args.only) || BenchPart::Report.is_wanted(args.only) {
        stack::duckdb(!args.no_install).await.map_err(|e| skipped("DuckDB", &e)).ok()
    } else {
        None
    };
    let scratch = tempfile::tempdir().context("cannot make a folder for the runs")?;
    let (sizes, times): (&[u64], usize) =
        if args.quick { (&[200_000], 3) } else { (&[100_000, 1_000_000, 10_000_000], 5) };
    let bench = Ground { dir: scratch.path().to_owned(), duckdb, times };
    let mut components = Components::of(args)?;
    let work = async {
        let (ground, only) = (bench.clone(), args.only);
        let mut rows = tokio::task::spawn_blocking(move || ground.all(sizes, only)).await??;
        rows.extend(components.rows(args, &bench).await?);
        anyhow::Ok(rows)
    };
    let rows = tokio::select! {
        rows = work => rows.map(Ok),
        number = signals.next() => Ok(Err(Outcome::Signal(number))),
    };
    // Whatever has become of it.
    let ended = components.end().await;
    let rows = match rows? {
        Ok(rows) => rows,
        Err(signal) => return ended.map(|()| signal),
    };
    ended?;
    let machine = machine::describe().join(", ");
    let revision = project::tool().revision;
    console::data(&format!(
        "{machine}; {}; revision {revision}; {times} runs each, in turns.\n",
        time::now().format("%Y-%m-%d")
    ));
    table::lines(&rows).iter().for_each(|line| console::data(line));
    Ok(Outcome::Done)
}

#[derive(Clone)]
struct Ground {
    dir: PathBuf,
    duckdb: Option<DuckDb>,
    times: usize,
}

impl Ground {
    fn all(&self, sizes: &[u64], only: Option<BenchPart>) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for &events in sizes.iter().filter(|_| BenchPart::Verify.is_wanted(only)) {
            console::say(&format!("verify, {events} events ..."));
            let run = self.synth(events, &[])?;
            rows.extend(self.verify(events, &run)?);
            std::fs::remove_dir_all(run.root())?;
        }
        if BenchPart::Report.is_wanted(only) {
            let events = sizes.last().copied().unwrap_or_default();
            console::say(&format!("report, {events} events ..."));
            rows.push(self.report(events)?);
        }
        Ok(rows)
    }

    /// A synthetic run. Made by another process: what one has used of memory counts for those it starts.
    fn synth(&self, events: u64, more: &[&str]) -> anyhow::Result<RunDir> {
        let dir = self.dir.join("run");
        let mut synth = ours(&["synth", "--events", &events.to_string()]);
        once(synth.args(more).arg("--out").arg(&dir), 0)?;
        Ok(RunDir::open(&dir)?)
    }

    /// Who is compared with, at work on this run.
    fn peer<'a>(&'a self, run: &'a RunDir) -> Option<Peer<'a>> {
        let work = |duckdb| Peer { duckdb, run: run.root(), files: &self.dir };
        self.duckdb.as_ref().map(work)
    }

    /// With and without the index.
    fn verify(&self, events: u64, run: &RunDir) -> anyhow::Result<[Row; 2]> {
        let peer = self.peer(run);
        let verify = || Ok(once(&mut on("verify", run), 0)?.0);
        let from_scratch = || {
            forget_index(run)?;
            verify()
        };
        let (scratch, answers) =
            self.in_turns(from_scratch, peer.as_ref().map(|peer| || agrees(peer.answer(), run)))?;
        let mut note = format!("leaves an index of {} MB", size(&run.path(index::FILE))? / 1_000_000);
        if let Some(peer) = &peer {
            let (took, _) = once(&mut peer.index(), 0)?;
            note += &format!("; DuckDB writes Parquet in {:.2} s", took.wall.as_secs_f64());
        }
        let (indexed, from_parquet) =
            self.in_turns(verify, peer.as_ref().map(|peer| || agrees(peer.answer_indexed(), run)))?;
        let row = |what, ours, peer: Option<Series>, name, note| Row {
            what,
            amount: events,
            ours,
            peer: peer.map(|series| (name, series)),
            note,
        };
        Ok([
            row("verify, no index", scratch, answers, "DuckDB, the same files", note),
            row("verify, from the index", indexed, from_parquet, "DuckDB, its Parquet", String::new()),
        ])
    }

    /// A report of a run that has lost everything behind its cut.
    fn report(&self, events: u64) -> anyhow::Result<Row> {
        let run = self.synth(events, &["--without", "rebase-offsets"])?;
        once(&mut on("verify", &run), 1)?;
        if let Some(peer) = self.peer(&run) {
            agrees(peer.answer(), &run)?;
        }
        let missing = counts(&run)?.total.missing;
        let report = || Ok(once(&mut on("report", &run), 0)?.0);
        let (ours, _) = self.in_turns(report, None::<fn() -> anyhow::Result<Took>>)?;
        let html = size(&run.path("report.html"))? / 1000;
        std::fs::remove_dir_all(run.root())?;
        let note = format!("{missing} missing changes; report.html {html} KB");
        Ok(Row { what: "report", amount: events, ours, peer: None, note })
    }

    /// Runs one after the other, [`Ground::times`] times.
    fn in_turns(
        &self,
        ours: impl Fn() -> anyhow::Result<Took>,
        peer: Option<impl Fn() -> anyhow::Result<Took>>,
    ) -> anyhow::Result<(Series, Option<Series>)> {
        let mut both = (Series::default(), peer.as_ref().map(|_| Series::default()));
        for _ in 0..self.times {
            both.0.add(ours()?);
            if let (Some(series), Some(peer)) = (&mut both.1, &peer) {
                series.add(peer()?);
            }
        }
        Ok(both)
    }
}

fn skipped(what: &str, why: &stack::Error) {
    let why = why.to_string();
    console::say(&format!("skipped: {what} ({})", why.lines().next().unwrap_or_default()));
}

/// This program, also when a build has replaced its file.
fn ours(words: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(words);
    command
}

fn on(step: &str, run: &RunDir) -> Command {
    let mut command = ours(&[step, "--run"]);
    command.arg(run.root());
    command
}

/// Runs DuckDB, which must answer what the verdict says.
fn agrees(mut command: Command, run: &RunDir) -> anyhow::Result<Took> {
    let (took, said) = once(&mut command, 0)?;
    let (said, expected) = (said.trim(), peer::answer(&counts(run)?));
    ensure!(
        said == expected,
        "acknowledged, missing, repeated, out of order: DuckDB has {said}, the verdict {expected}"
    );
    Ok(took)
}

fn counts(run: &RunDir) -> anyhow::Result<Counts> {
    Ok(run.findings()?.context("verify has left no findings.json")?.counts)
}

/// Its size in bytes.
fn size(path: &Path) -> anyhow::Result<u64> {
    Ok(path.metadata().with_context(|| format!("cannot look at {}", path.display()))?.len())
}

fn forget_index(run: &RunDir) -> anyhow::Result<()> {
    let path = run.path(index::FILE);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
