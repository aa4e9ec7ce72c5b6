//! The verdict in one sentence, and the numbers it rests on.

use artifacts::events::{Event, EventKind, StepResult};
use artifacts::findings::{CheckResult, Counts, Findings, Tally, Verdict};
use serde::Serialize;

use crate::input::Input;
use crate::text::{clip, count, duration, number, shorten};
use crate::verify::looks::Looks;

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    /// `HELD`, `BROKEN`, `UNKNOWN`, `NO VERDICT YET`.
    pub(crate) word: String,
    /// `held`, `broken`, `unknown`.
    pub(crate) class: &'static str,
    pub(crate) sentence: String,
    /// What the verdict means for someone who has to decide.
    pub(crate) meaning: &'static str,
    /// Steps that failed, and other things that must not be overlooked.
    pub(crate) alerts: Vec<String>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) columns: [&'static str; 9],
    pub(crate) tallies: Vec<Row>,
    /// What the columns are, and how they add up.
    pub(crate) definitions: String,
}

/// A number with its name.
#[derive(Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) label: &'static str,
    pub(crate) value: String,
    pub(crate) note: String,
    /// Whether it is a reason to worry.
    pub(crate) bad: bool,
}

/// One line of the table of numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) cells: Vec<Cell>,
}

/// A number of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) bad: bool,
}

/// Builds the view.
pub(crate) fn view(input: &Input) -> View {
    let alerts = alerts(input.events());
    let facts = facts(input);
    match &input.findings {
        Ok(findings) => {
            let (class, meaning) = match findings.verdict {
                Verdict::Held => (
                    "held",
                    "The new database holds what the topics say, and changes still flow. Every check was made on \
                         recorded evidence and none found a fault.",
                ),
                Verdict::Broken => ("broken", "At least one check found a fault, with evidence."),
                Verdict::Unknown => ("unknown", "Nothing was proven: this is neither a pass nor a fault."),
            };
            View {
                word: findings.verdict.to_string().to_uppercase(),
                class,
                sentence: format!("{}.", sentence(input, findings).trim_end_matches('.')),
                meaning,
                alerts,
                facts,
                columns: COLUMNS,
                tallies: tallies(findings),
                definitions: definitions(&findings.counts.total),
            }
        }
        Err(why) => View {
            word: "NO VERDICT YET".into(),
            class: "unknown",
            sentence: format!("{}.", stopped(input.events()).unwrap_or_else(|| shorten(why, 2 * MAX_CHARS))),
            meaning: "Nothing was decided: this is neither a pass nor a fault. What was observed so far is below.",
            alerts,
            facts,
            columns: COLUMNS,
            tallies: Vec::new(),
            definitions: String::new(),
        },
    }
}

/// Two lines at most: what is behind it is in the checks.
const MAX_CHARS: usize = 150;

fn sentence(input: &Input, findings: &Findings) -> String {
    let total = findings.counts.total;
    match findings.verdict {
        Verdict::Held if total.repeated > 0 => format!(
            "all {} arrived, in order; {} were repeats, which this run declared acceptable",
            count(total.acknowledged, "acknowledged change"),
            number(total.repeated)
        ),
        Verdict::Held => format!(
            "no change was lost: all {} arrived once, in order",
            count(total.acknowledged, "committed change")
        ),
        Verdict::Broken => broken(input, findings),
        Verdict::Unknown => {
            let unknown = findings.checks.iter().find(|c| c.verdict == Verdict::Unknown);
            unknown.map_or("no check could be made".into(), |c| shorten(&c.summary, MAX_CHARS))
        }
    }
}

/// What is missing, then the other faults that were counted, then the checks that count nothing, as
/// many as fit.
fn broken(input: &Input, findings: &Findings) -> String {
    let mut parts = missing(&findings.counts);
    let looks = input.course.as_ref().ok().map(|course| &course.looks);
    if let (Some(last), Some(true)) = (parts.last_mut(), looks.map(Looks::all_running)) {
        last.push_str(" while connector and task were RUNNING");
    }
    let total = findings.counts.total;
    let others = [
        (total.repeated, "delivery was a repeat", "deliveries were repeats"),
        (total.reordered, "event came out of order", "events came out of order"),
        (total.altered, "event differs from what was written", "events differ from what was written"),
        (total.unexpected, "event belongs to no change", "events belong to no change"),
    ];
    let others = others.iter().filter(|(n, ..)| *n > 0);
    parts.extend(others.map(|(n, one, many)| format!("{} {}", number(*n), if *n == 1 { one } else { many })));
    let said = |name: &str| parts.is_empty() || !COUNTED.contains(&name);
    let broken = findings.checks.iter().filter(|c| c.verdict == Verdict::Broken && said(&c.name));
    let faults: Vec<String> = broken.map(fault).collect();
    parts.extend(faults);
    let mut sentence = String::new();
    for part in parts {
        if sentence.is_empty() {
            sentence = shorten(&part, MAX_CHARS);
        } else if sentence.chars().count() + part.chars().count() + 2 <= MAX_CHARS {
            sentence.push_str(&format!("; {part}"));
        }
    }
    sentence
}

/// `803 of 803 changes made after the upgrade reached no topic`
fn missing(counts: &Counts) -> Vec<String> {
    let of = |n: u64, of: u64, what: &str| {
        (n > 0).then(|| format!("{} of {} {what} reached no topic", number(n), number(of)))
    };
    let phase = |phase: &str| {
        let tally = counts.by_phase.get(phase)?;
        of(tally.missing, tally.acknowledged, &format!("changes made {phase} the upgrade"))
    };
    let mut parts: Vec<String> = ["before", "after"].into_iter().filter_map(phase).collect();
    let total = &counts.total;
    if parts.is_empty() {
        parts.extend(of(total.missing, total.acknowledged, "acknowledged changes"));
    }
    parts.extend(of(total.seed_rows_missing, total.seed_rows, "seed rows"));
    let rest =
        [(total.tombstones_missing, "tombstones"), (total.unknown_missing, "changes of an unknown commit")];
    let rest = rest.into_iter().filter(|(n, _)| *n > 0);
    parts.extend(rest.map(|(n, what)| format!("{} {what} reached no topic", number(n))));
    parts
}

/// Checks whose faults the numbers tell.
const COUNTED: [&str; 6] = [
    "nothing-missing",
    "nothing-repeated",
    "order-kept",
    "nothing-invented",
    "nothing-altered",
    "tables-converge",
];

/// What a broken check means, in a few words.
fn fault(check: &CheckResult) -> String {
    let text = match check.name.as_str() {
        "tables-converge" => "the topics lead to other rows than the new database holds",
        "transactions-whole" => "the topics hold other events of a transaction than Debezium counted",
        "database-carried-over" => "the new database is not what the old one was",
        "replication-ready" => "slot or publication were not as the connector needs them",
        "positions-consistent" => "the connector resumed from a position that the new server does not have",
        "still-flowing" if check.summary.contains("FAILED") => {
            "the connector has failed and nothing flows any more"
        }
        "still-flowing" => "nothing flows any more",
        _ => return shorten(&check.summary, MAX_CHARS),
    };
    text.to_owned()
}

/// Why there is no verdict, when a step is the reason.
fn stopped(events: &[Event]) -> Option<String> {
    let failed = |e: &&Event| matches!(e.kind, EventKind::StepFinished { result: StepResult::Failed, .. });
    let step = events.iter().rfind(failed)?.step.as_deref()?;
    Some(format!("the rehearsal ended at the step {}, which failed", clip(step, 60)))
}

fn alerts(events: &[Event]) -> Vec<String> {
    let failed = events.iter().filter_map(|e| match &e.kind {
        EventKind::StepFinished { result: StepResult::Failed, error, .. } => {
            let why = error.as_deref().unwrap_or("no reason was recorded");
            Some(format!("Step {} failed: {}", e.step.as_deref().unwrap_or("?"), shorten(why, 400)))
        }
        EventKind::StepFinished { result: StepResult::Interrupted, .. } => {
            Some(format!("Step {} was interrupted.", e.step.as_deref().unwrap_or("?")))
        }
        _ => None,
    });
    failed.take(5).collect()
}

fn fact(label: &'static str, value: String, note: impl Into<String>, bad: bool) -> Fact {
    Fact { label, value, note: note.into(), bad }
}

fn facts(input: &Input) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Ok(findings) = &input.findings {
        let t = findings.counts.total;
        facts.push(fact("acknowledged", number(t.acknowledged), "changes the database confirmed", false));
        let short = t.delivered < t.acknowledged;
        facts.push(fact("delivered", number(t.delivered), "of them found in Kafka", short));
        let undecided = match t.undecided {
            0 => "of them in no topic".to_owned(),
            n => format!("of them in no topic; of {} nobody knows", number(n)),
        };
        facts.push(fact("missing", number(t.missing), undecided, t.missing > 0));
        facts.push(fact("repeated", number(t.repeated), "deliveries beyond the first", t.repeated > 0));
        let held = findings.checks.iter().filter(|c| c.verdict == Verdict::Held).count();
        let value = format!("{held} of {}", findings.checks.len());
        facts.push(fact("checks held", value, "", held < findings.checks.len()));
    }
    if let Some(gap) = input.written.as_ref().ok().and_then(|c| c.gap_ms()) {
        facts.push(fact(
            "write downtime",
            duration(gap),
            "last commit before the upgrade to first after",
            false,
        ));
    }
    if input.events_never_came_back() {
        facts.push(fact("event downtime", "no end".into(), "no event of a change after the upgrade", true));
    }
    if let Some(gap) = input.delivered.as_ref().ok().and_then(|c| c.gap_ms()) {
        facts.push(fact(
            "event downtime",
            duration(gap),
            "last event before the upgrade to first after",
            false,
        ));
    }
    if let Some(looks) = input.course.as_ref().ok().map(|course| &course.looks).filter(|l| l.total > 0) {
        let value = format!("{} of {}", number(looks.running), number(looks.total));
        let note = "looks after resume that saw connector and task RUNNING";
        facts.push(fact("status RUNNING", value, note, !looks.all_running()));
    }
    facts
}

/// The columns of the table of numbers.
pub(crate) const COLUMNS: [&str; 9] = [
    "acknowledged",
    "delivered",
    "missing",
    "undecided",
    "repeated",
    "reordered",
    "unexpected",
    "altered",
    "indeterminate",
];

fn tallies(findings: &Findings) -> Vec<Row> {
    let counts = &findings.counts;
    let row = |name: String, t: &Tally| {
        let numbers = [
            (t.acknowledged, false),
            (t.delivered, false),
            (t.missing, true),
            (t.undecided, true),
            (t.repeated, true),
            (t.reordered, true),
            (t.unexpected, true),
            (t.altered, true),
            (t.indeterminate, false),
        ];
        let cell = |(n, counts): (u64, bool)| Cell { text: number(n), bad: counts && n > 0 };
        Row { name, cells: numbers.into_iter().map(cell).collect() }
    };
    let phases = ["before", "after"]
        .iter()
        .filter_map(|p| Some((format!("{p} the upgrade"), counts.by_phase.get(*p)?)));
    let tables = counts.by_table.iter().take(20).map(|(name, t)| (clip(name, 80), t));
    let total = std::iter::once(("in all".to_owned(), &counts.total));
    phases.chain(tables).chain(total).map(|(name, t)| row(name, t)).collect()
}

fn definitions(total: &Tally) -> String {
    let mut text = "Acknowledged = delivered + missing + undecided: inserts, updates and deletes whose commit is known. \
                    Undecided: in no topic that was read, and something could still arrive. Indeterminate: the \
                    connection broke before the answer and nothing later settled it; such a change is never counted \
                    against the upgrade."
        .to_owned();
    let apart = [
        (total.seed_rows_missing, "seed rows"),
        (total.tombstones_missing, "tombstones"),
        (total.unknown_missing, "changes of an unknown commit that others prove"),
    ];
    let apart = apart.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{what} {}", number(*n)));
    let apart: Vec<String> = apart.collect();
    if !apart.is_empty() {
        text.push_str(&format!(" Missing beside these: {}.", apart.join(", ")));
    }
    text
}
