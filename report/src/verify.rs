//! The verdict: reads a run directory, walks over every key once, and asks the checks.
//!
//! Ledger, topics and database rows are sorted by table and key in bounded memory and merged; what
//! is in memory at a time is one key. Damaged evidence makes the verdict unknown and is named; it
//! is never an error of this module.

pub mod agree;
pub mod audit;
mod batch;
pub(crate) mod columns;
pub mod context;
pub mod course;
pub mod deliver;
pub mod doubts;
pub mod event;
pub mod expect;
pub(crate) mod gather;
pub mod history;
pub mod index;
pub mod logs;
pub mod looks;
pub mod record;
pub mod remedy;
pub mod rows;
pub mod sort;
pub mod summaries;
pub mod transactions;
pub mod violations;

use std::panic::{AssertUnwindSafe, catch_unwind};

use artifacts::findings::{CheckResult, Counts, Evidence, Findings, Tally, Verdict};
use artifacts::ledger::{Op, Phase};
use artifacts::{RunDir, SCHEMA, seal};

use crate::Result;
use crate::checks::{self, Answer, Check};
use crate::parallel;
use context::{Around, Context, Doubt};
use history::{Belongs, KeyHistory, Wanted};
use violations::Violations;

/// How to compute a verdict; no choice here changes it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes to sort in.
    pub memory_bytes: usize,
    /// The records in topics from which on an index is written: see [`index`].
    pub index_from: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory_bytes: gather::MEMORY_BYTES, index_from: 100_000 }
    }
}

/// Computes the verdict and writes `findings.json` and `violations.jsonl`.
///
/// # Errors
/// `run.json` cannot be read, or the run directory cannot be written. Other evidence that cannot be
/// read makes the verdict unknown.
pub fn verify(run: &RunDir, options: &Options) -> Result<Findings> {
    verify_with(run, options, checks::all)
}

/// As [`verify`], with other checks.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    run: &RunDir,
    options: &Options,
    checks: impl Fn() -> Vec<Box<dyn Check>>,
) -> Result<Findings> {
    let from_index = checks();
    let (broken_seal, judged) = std::thread::scope(|scope| {
        // What is said from the index counts only when the seal turns out to be whole.
        let seal = scope.spawn(|| broken_seal(run));
        let judged = judge_index(run, from_index);
        (seal.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), judged)
    });
    let (checks, out) = if broken_seal.is_empty() {
        let judged = match judged? {
            None => judge(run, options, checks())?,
            Some(judged) => judged,
        };
        (judged.checks, judged.out)
    } else {
        drop(judged);
        let unknown = |check: Box<dyn Check>| Answer::unknown(0, &broken_seal).named(check.name());
        (checks().into_iter().map(unknown).collect(), Violations::create(run)?)
    };
    let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unknown);
    let counts = out.finish()?;
    let findings = Findings { schema: SCHEMA.into(), run: run.id(), verdict, counts, checks };
    run.write("findings.json", &findings)?;
    Ok(findings)
}

/// What the checks said, and what they named.
struct Judged {
    checks: Vec<CheckResult>,
    out: Violations,
}

/// Judges from the index; none when there is none to be believed.
fn judge_index(run: &RunDir, checks: Vec<Box<dyn Check>>) -> Result<Option<Judged>> {
    let Some((gathered, frames)) = run.is_sealed().then(|| index::open(run)).flatten() else {
        return Ok(None);
    };
    let cx = Around::read(run)?.context(run, gathered);
    let mut walk = Walk::begin(run, &cx, checks)?;
    let mut ended = false;
    parallel::ordered(
        frames.enumerate(),
        |(no, frame)| index::items(no, frame).map(|items| batch::histories(&cx, items)),
        |histories| {
            let more = !ended && histories.as_ref().is_some_and(|histories| !histories.is_empty());
            // Nothing comes behind the empty frame at the end.
            ended = !ended && histories.as_ref().is_some_and(Vec::is_empty);
            histories.into_iter().flatten().for_each(|history| walk.key(&cx, &history));
            more || ended
        },
    );
    Ok(ended.then(|| walk.finish(&cx)))
}

/// Judges from the evidence, and writes the index.
fn judge(run: &RunDir, options: &Options, checks: Vec<Box<dyn Check>>) -> Result<Judged> {
    let around = Around::read(run)?;
    let (gathered, merged) = gather::gather(run, &around, options.memory_bytes)?;
    let pays = run.is_sealed() && gathered.is_whole() && gathered.topics.records >= options.index_from;
    let mut index = pays.then(|| index::Writer::create(run, &gathered)).flatten();
    let cx = around.context(run, gathered);
    let mut walk = Walk::begin(run, &cx, checks)?;
    let (indexed, mut failed) = (index.is_some(), None);
    parallel::ordered(
        batch::Batches(merged).enumerate(),
        |(no, items)| {
            items.map(|items| (indexed.then(|| index::frame(no, &items)), batch::histories(&cx, items)))
        },
        |batch| match batch {
            Ok((frame, histories)) => {
                index.iter_mut().zip(frame).for_each(|(index, frame)| index.frame(frame.as_deref()));
                histories.iter().for_each(|history| walk.key(&cx, history));
                true
            }
            Err(e) => {
                failed = Some(e);
                false
            }
        },
    );
    failed.map_or(Ok(()), Err)?;
    index.into_iter().for_each(index::Writer::finish);
    Ok(walk.finish(&cx))
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

/// The walk over all keys.
struct Walk {
    panel: Panel,
    out: Violations,
}

impl Walk {
    fn begin(run: &RunDir, cx: &Context, checks: Vec<Box<dyn Check>>) -> Result<Self> {
        let mut out = Violations::create(run)?;
        count(cx, &mut out);
        Ok(Self { panel: Panel::new(checks), out })
    }

    fn key(&mut self, cx: &Context, history: &KeyHistory) {
        for phase in [Phase::Before, Phase::After] {
            let arrived = |wanted: &&Wanted| {
                let fact = &wanted.fact;
                fact.phase == phase && fact.committed && fact.op != Op::Read && wanted.delivered.is_some()
            };
            let n = history.expected.iter().filter(arrived).count() as u64;
            if n > 0 {
                self.out.add(Some(phase), &history.table, n, |t| &mut t.delivered);
            }
        }
        self.panel.key(cx, history, &mut self.out);
    }

    fn finish(self, cx: &Context) -> Judged {
        let Self { panel, mut out } = self;
        let unsealed = cx.unsealed();
        let answer = |check: CheckResult| cx.logs.beside(checks::sealed_or(check, unsealed.as_ref()));
        let checks = panel.finish(cx, &mut out).into_iter().map(answer).collect();
        Judged { checks, out }
    }
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
        self.seats.into_iter().filter(|(check, _)| check.is_asked(cx)).map(answer).collect()
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
