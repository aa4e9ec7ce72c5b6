//! The checks, one file each. A new one is a file and a line in [`all`].

mod database_carried_over;
mod nothing_altered;
mod nothing_invented;
mod nothing_missing;
mod nothing_repeated;
mod order_kept;
mod positions_consistent;
mod replication_ready;
mod same_position;
mod stage;
mod still_flowing;
mod tables_converge;
mod transactions_whole;

use artifacts::findings::{CheckResult, Evidence, Verdict, Violation};

use crate::verify::context::{Context, Doubt};
use crate::verify::history::KeyHistory;
use crate::verify::violations::{self, Violations, sentence};
use crate::witnesses::Witnesses;

/// Violations that a check names itself, the smallest witnesses; the others are in the file.
const NAMED: usize = 5;

/// A question about the run.
pub trait Check: Send {
    /// Its name, as in the catalogue of findings.
    fn name(&self) -> &'static str;

    /// Whether the run has what it looks at; a check that is not asked says nothing.
    fn is_asked(&self, _cx: &Context) -> bool {
        true
    }

    /// Looks at one key; keys come in order of table and key.
    fn key(&mut self, _cx: &Context, _history: &KeyHistory, _out: &mut Violations) {}

    /// Answers, after all keys.
    fn finish(&mut self, cx: &Context, out: &mut Violations) -> Answer;
}

/// All checks in the order of the report.
pub fn all() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(nothing_missing::NothingMissing::default()),
        Box::new(nothing_repeated::NothingRepeated::default()),
        Box::new(order_kept::OrderKept::default()),
        Box::new(nothing_invented::NothingInvented::default()),
        Box::new(nothing_altered::NothingAltered::default()),
        Box::new(tables_converge::TablesConverge::default()),
        Box::new(transactions_whole::TransactionsWhole),
        Box::new(database_carried_over::DatabaseCarriedOver),
        Box::new(replication_ready::ReplicationReady),
        Box::new(positions_consistent::PositionsConsistent),
        Box::new(still_flowing::StillFlowing),
    ]
}

/// What a check answers; a [`CheckResult`] without its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    verdict: Verdict,
    compared: u64,
    summary: String,
    evidence: Vec<Evidence>,
    remedy: Option<String>,
}

impl Answer {
    /// It holds.
    pub fn held(compared: u64, summary: String) -> Self {
        Self { verdict: Verdict::Held, compared, summary, evidence: Vec::new(), remedy: None }
    }

    /// It does not hold; the remedy says what helps, see [`crate::verify::remedy`].
    pub fn broken(compared: u64, summary: String, remedy: &str) -> Self {
        let remedy = Some(remedy.to_owned());
        Self { verdict: Verdict::Broken, compared, summary, evidence: Vec::new(), remedy }
    }

    /// Nothing can be said; there must be a doubt.
    pub fn unknown(compared: u64, doubts: &[Doubt]) -> Self {
        let first = doubts.first().map_or("nothing was observed", |doubt| doubt.evidence.text.as_str());
        Self {
            verdict: Verdict::Unknown,
            compared,
            summary: format!("not proven: {first}"),
            evidence: doubts.iter().map(|doubt| doubt.evidence.clone()).collect(),
            remedy: doubts.first().map(|doubt| doubt.remedy.clone()),
        }
    }

    /// The check itself failed.
    pub fn crashed(message: &str) -> Self {
        let text = format!("the check itself crashed: {message}");
        let remedy = "this is a fault of the tool; cargo xtask verify computes the verdict again".to_owned();
        Self::unknown(0, &[Doubt { evidence: Evidence { text, file: None, at: None }, remedy }])
    }

    /// With more evidence.
    pub fn with(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// As the result of a check.
    pub fn named(self, name: &str) -> CheckResult {
        let Self { verdict, compared, summary, evidence, remedy } = self;
        CheckResult { name: name.to_owned(), verdict, compared, summary, evidence, remedy }
    }
}

/// The answer over evidence that is not sealed: held becomes unknown, the others mention it.
pub(crate) fn sealed_or(check: CheckResult, unsealed: Option<&Doubt>) -> CheckResult {
    let Some(doubt) = unsealed else { return check };
    let CheckResult { name, verdict, compared, summary, evidence, remedy } = check;
    let found = Answer { verdict, compared, summary, evidence, remedy };
    match verdict {
        Verdict::Held => Answer::unknown(compared, std::slice::from_ref(doubt)).with(found.evidence),
        _ => found.with([doubt.evidence.clone()]),
    }
    .named(&name)
}

/// What a check over keys has found so far.
#[derive(Debug, Default)]
struct Found {
    compared: u64,
    witnesses: Witnesses<Evidence>,
}

impl Found {
    /// How many violations there are.
    fn broken(&self) -> u64 {
        self.witnesses.total
    }

    /// The violations that the check names.
    fn named(&self) -> Vec<Evidence> {
        self.witnesses.smallest().cloned().collect()
    }

    /// Writes a violation and names it if it is one of the smallest; `place` is where to look.
    fn add(&mut self, out: &mut Violations, violation: &Violation, place: (&str, String)) {
        out.push(violation);
        self.name(violation, place);
    }

    /// Counts a violation that was written, and names it if it is one of the smallest.
    fn name(&mut self, violation: &Violation, place: (&str, String)) {
        self.witnesses.add(violation.into(), NAMED, || {
            let (file, at) = (Some(place.0.to_owned()), Some(place.1));
            Evidence { text: sentence(violation), file, at }
        });
    }

    /// A violation about an event: its place is in the topic.
    fn add_event(&mut self, out: &mut Violations, violation: &Violation) {
        let at = violation
            .at
            .first()
            .map(|at| format!("topic {} partition {} offset {}", at.topic, at.partition, at.offset));
        self.add(out, violation, ("consumed.jsonl.zst", at.unwrap_or_default()));
    }

    /// Broken beats doubts, and doubts beat held.
    fn answer(&self, cx: &Context, held: String, broken: String, remedy: &str, doubts: &[Doubt]) -> Answer {
        if self.broken() > 0 {
            let mut named = self.named();
            if self.broken() > NAMED as u64 {
                let text = format!("all {} are in {}", self.broken(), violations::FILE);
                named.push(Evidence { text, file: Some(violations::FILE.into()), at: None });
            }
            let doubts = doubts.iter().map(|doubt| doubt.evidence.clone());
            return Answer::broken(self.compared, broken, remedy).with(named).with(doubts);
        }
        match doubts {
            [] => Answer::held(self.compared, held).with([cx.basis()]),
            doubts => Answer::unknown(self.compared, doubts),
        }
    }
}

/// `1 change`, `2 changes`
fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Evidence with a file and a place in it.
fn evidence(text: String, file: &str, at: &str) -> Evidence {
    Evidence { text, file: Some(file.to_owned()), at: Some(at.to_owned()) }
}
