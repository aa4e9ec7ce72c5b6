//! The verdict: reads a run directory, walks over every key once, and asks the checks.
//!
//! Ledger, topics and database rows are sorted by table and key in bounded memory and merged; what
//! is in memory at a time is one key. Damaged evidence makes the verdict unknown and is named; it
//! is never an error of this module.

pub mod agree;
pub mod audit;
pub mod context;
pub mod course;
pub mod deliver;
pub mod doubts;
pub mod event;
pub mod expect;
pub mod history;
mod logs;
pub mod looks;
pub mod record;
pub mod remedy;
pub mod rows;
pub mod sort;
pub mod summaries;
pub mod violations;

use std::panic::{AssertUnwindSafe, catch_unwind};

use artifacts::findings::{CheckResult, Counts, Evidence, Findings, Tally, Verdict};
use artifacts::ledger::{Op, Phase};
use artifacts::row::Tables;
use artifacts::{RunDir, SCHEMA, seal};

use crate::Result;
use crate::avro::{Decoder, Schemas};
use crate::checks::{self, Answer, Check};
use context::{Context, Doubt};
use course::Course;
use history::{Belongs, KeyHistory};
use logs::Logs;
use record::Fact;
use sort::{Merged, Sorter};
use violations::Violations;

/// How to compute a verdict; no choice here changes it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes to sort in.
    pub memory_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory_bytes: 96 << 20 }
    }
}

/// Computes the verdict and writes `findings.json` and `violations.jsonl`.
///
/// # Errors
/// `run.json` cannot be read, or the run directory cannot be written. Other evidence that cannot be
/// read makes the verdict unknown.
pub fn verify(run: &RunDir, options: &Options) -> Result<Findings> {
    verify_with(run, options, checks::all())
}

/// As [`verify`], with other checks than the ten.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(run: &RunDir, options: &Options, checks: Vec<Box<dyn Check>>) -> Result<Findings> {
    let broken_seal = broken_seal(run);
    let mut out = Violations::create(run)?;
    let checks: Vec<CheckResult> = if broken_seal.is_empty() {
        let mut panel = Panel::new(checks);
        let (cx, merged) = gather(run, options)?;
        count(&cx, &mut out);
        walk(&cx, merged, &mut panel, &mut out)?;
        let unsealed = cx.unsealed();
        let logs = Logs::read(&run.path("logs"));
        let answer = |check: CheckResult| logs.beside(checks::sealed_or(check, unsealed.as_ref()));
        panel.finish(&cx, &mut out).into_iter().map(answer).collect()
    } else {
        checks.iter().map(|check| Answer::unknown(0, &broken_seal).named(check.name())).collect()
    };
    let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unknown);
    let counts = out.finish()?;
    let findings = Findings { schema: SCHEMA.into(), run: run.id(), verdict, counts, checks };
    run.write("findings.json", &findings)?;
    Ok(findings)
}

/// One doubt per file that is not as it was sealed.
fn broken_seal(run: &RunDir) -> Vec<Doubt> {
    if !run.is_sealed() {
        return Vec::new();
    }
    let remedy = "restore the run directory from a copy, or rehearse again".to_owned();
    let doubt = |evidence| Doubt { evidence, remedy: remedy.clone() };
    match seal::differences(run.root()) {
        Ok(list) => {
            let evidence = |text: String| {
                let file = text.split_once(" was changed").or(text.split_once(" is ")).map(|(f, _)| f.into());
                Evidence { text: format!("after the evidence was sealed, {text}"), file, at: None }
            };
            list.into_iter().map(evidence).map(doubt).collect()
        }
        Err(e) => vec![doubt(context::evidence(run, &e))],
    }
}

/// Reads everything once: small files into the context, large ones into the sorters.
fn gather(run: &RunDir, options: &Options) -> Result<(Context, Merged)> {
    let ledger_path = run.ledger();
    let header = expect::header(&ledger_path);
    let tables = header.as_ref().map_or_else(|_| Tables::new(), Clone::clone);
    let names = run.run()?;
    let collected = run.collected().map_err(|e| context::evidence(run, &e));
    let drain = context::drain(run, "drain-again");
    let schemas = Schemas::read(run);
    let decoder = Decoder::new(&schemas);
    let half = options.memory_bytes / 2;
    let (mut expected, mut delivered) = (Sorter::new(run.root(), half), Sorter::new(run.root(), half));
    let (from_ledger, topics, rows) = std::thread::scope(|scope| {
        let ledger = scope.spawn(|| {
            let ledger = header.and_then(|_| expect::read(&ledger_path, &tables, &mut expected));
            let rows = rows::read(run, &tables, &mut expected);
            (ledger, rows)
        });
        let topics = deliver::read(
            &run.path("consumed.jsonl.zst"),
            &decoder,
            &names.names.prefix,
            &tables,
            collected.as_ref().ok().and_then(Option::as_ref),
            drain.as_ref().ok().and_then(Option::as_ref).map(|(_, drain)| drain),
            &mut delivered,
        );
        let (ledger, rows) = ledger.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (ledger, topics, rows)
    });
    let (topics, rows) = (topics?, rows?);
    let sorters = if from_ledger.is_ok() { vec![expected, delivered] } else { Vec::new() };
    let mut cx = Context {
        run: names,
        sealed: run.is_sealed(),
        ledger_file: run.ledger().file_name().map(|n| n.to_string_lossy().into()).unwrap_or_default(),
        tables,
        ledger: from_ledger.map_err(|e| context::evidence(run, &e)),
        topics_damage: topics.damage.as_ref().map(|e| context::evidence(run, e)),
        topics,
        rows,
        collected,
        first_drain: context::drain(run, "drain"),
        drain,
        course: run.events().map(|list| Course::of(&list)).map_err(|e| context::evidence(run, &e)),
        summaries: summaries::read(run),
        snapshots: context::snapshots(run),
    };
    agree::rows(&mut cx);
    let unread = agree::unread(&cx);
    cx.topics.holes.extend(unread);
    Ok((cx, Merged::new(run.root(), sorters)?))
}

/// Counts what the ledger says; every table and phase gets an entry.
fn count(cx: &Context, out: &mut Violations) {
    let phases = [Phase::Before, Phase::After].map(|phase| (phase.to_string(), Tally::default()));
    let tables = cx.tables.keys().map(|table| (table.clone(), Tally::default()));
    let total = Tally::default();
    out.counts = Counts { total, by_phase: phases.into(), by_table: tables.collect() };
    let Ok(ledger) = &cx.ledger else { return };
    for ((phase, table, _), n) in &ledger.acknowledged {
        out.add(Some(*phase), table, *n, |t| &mut t.acknowledged);
    }
    for (table, n) in &ledger.seed_rows {
        out.add(Some(Phase::Before), table, *n, |t| &mut t.seed_rows);
    }
    for ((phase, table), n) in &ledger.indeterminate {
        out.add(Some(*phase), table, *n, |t| &mut t.indeterminate);
    }
}

fn walk(cx: &Context, mut merged: Merged, panel: &mut Panel, out: &mut Violations) -> Result<()> {
    let Ok(ledger) = &cx.ledger else { return Ok(()) };
    while let Some((table, key)) = merged.peek() {
        let name = cx.topics.tables.get(usize::from(table)).cloned().unwrap_or_default();
        let topic = format!("{}.{name}", cx.run.names.prefix);
        let mut history = KeyHistory::new(name, topic, key);
        while merged.peek() == Some((table, key)) {
            match merged.pop()?.map(|item| item.fact) {
                Some(Fact::Expected(fact)) => history.expect(fact),
                Some(Fact::Delivered(fact)) => history.deliver(fact),
                Some(Fact::Row(row)) => history.row_after = Some(row),
                None => break,
            }
        }
        history.match_up(&ledger.keyless);
        for wanted in &history.expected {
            let fact = &wanted.fact;
            if fact.committed && fact.op != Op::Read && wanted.delivered.is_some() {
                out.add(Some(fact.phase), &history.table, 1, |t| &mut t.delivered);
            }
        }
        panel.key(cx, &history, out);
    }
    Ok(())
}

/// The checks; one that panics is out and answers unknown.
struct Panel {
    seats: Vec<(Box<dyn Check>, Option<String>)>,
}

impl Panel {
    fn new(checks: Vec<Box<dyn Check>>) -> Self {
        Self { seats: checks.into_iter().map(|check| (check, None)).collect() }
    }

    fn key(&mut self, cx: &Context, history: &KeyHistory, out: &mut Violations) {
        for (check, crash) in self.seats.iter_mut().filter(|(_, crash)| crash.is_none()) {
            *crash = guard(|| check.key(cx, history, out)).err();
        }
    }

    fn finish(self, cx: &Context, out: &mut Violations) -> Vec<CheckResult> {
        let answer = |(mut check, crash): (Box<dyn Check>, Option<String>)| {
            let name = check.name();
            let answer = match crash {
                Some(message) => Err(message),
                None => guard(|| check.finish(cx, out)),
            };
            answer.unwrap_or_else(|message| Answer::crashed(&message)).named(name)
        };
        self.seats.into_iter().map(answer).collect()
    }
}

/// Runs a part of a check; a panic becomes its message.
fn guard<T>(run: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_else(|| "panic".into())
    })
}

/// Whether an event takes part in the order and in the tables: it belongs to a change for the
/// first time.
pub(crate) fn first_of(belongs: Belongs) -> Option<usize> {
    match belongs {
        Belongs::First(of) => Some(of),
        _ => None,
    }
}
