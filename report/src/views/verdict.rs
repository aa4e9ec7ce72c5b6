//! The verdict in one sentence, and the numbers it rests on.

use artifacts::events::{Event, EventKind, StepResult};
use artifacts::findings::{Findings, Tally, Verdict};
use serde::Serialize;

use crate::input::Input;
use crate::text::{clip, count, duration, number};

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
    pub(crate) tallies: Vec<Row>,
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
                Verdict::Held => {
                    ("held", "Every check was made on recorded evidence and none found a fault.")
                }
                Verdict::Broken => ("broken", "At least one check found a fault, with evidence."),
                Verdict::Unknown => ("unknown", "Nothing was proven: this is neither a pass nor a fault."),
            };
            View {
                word: findings.verdict.to_string().to_uppercase(),
                class,
                sentence: format!("{}.", clip(sentence(input, findings).trim_end_matches('.'), 1_200)),
                meaning,
                alerts,
                facts,
                tallies: tallies(findings),
            }
        }
        Err(why) => View {
            word: "NO VERDICT YET".into(),
            class: "unknown",
            sentence: format!("{}.", clip(why, 1_200)),
            meaning: "What was observed so far is below.",
            alerts,
            facts,
            tallies: Vec::new(),
        },
    }
}

fn sentence(input: &Input, findings: &Findings) -> String {
    let total = findings.counts.total;
    match findings.verdict {
        Verdict::Held if total.repeated > 0 => format!(
            "all {} arrived, in order; {} were repeats, which this run declared acceptable",
            count(total.acknowledged, "acknowledged change"),
            number(total.repeated)
        ),
        Verdict::Held => format!(
            "all {} arrived exactly once, in order, and the new database holds what the topics say",
            count(total.acknowledged, "acknowledged change")
        ),
        Verdict::Broken => broken(input, findings),
        Verdict::Unknown => {
            let reasons = summaries(findings, Verdict::Unknown);
            if reasons.is_empty() { "no check could be made".into() } else { reasons }
        }
    }
}

fn broken(input: &Input, findings: &Findings) -> String {
    let mut parts: Vec<String> = ["before", "after"]
        .iter()
        .filter_map(|phase| {
            let tally = findings.counts.by_phase.get(*phase).filter(|t| t.missing > 0)?;
            let (n, of) = (number(tally.missing), number(tally.acknowledged));
            Some(format!("{n} of {of} changes made {phase} the upgrade reached no topic"))
        })
        .collect();
    let total = findings.counts.total;
    if parts.is_empty() && total.missing > 0 {
        let (n, of) = (number(total.missing), number(total.acknowledged));
        parts.push(format!("{n} of {of} acknowledged changes reached no topic"));
    }
    if let (Some(last), Some(looks)) = (parts.last_mut(), Looks::after_resume(input.events()))
        && looks.all_running()
    {
        last.push_str(" while connector and task were RUNNING");
    }
    let others = [
        (total.repeated, "delivery was a repeat", "deliveries were repeats"),
        (total.reordered, "event came out of order", "events came out of order"),
        (total.altered, "event differs from what was written", "events differ from what was written"),
        (total.unexpected, "event belongs to no change", "events belong to no change"),
    ];
    parts.extend(
        others
            .iter()
            .filter(|(n, ..)| *n > 0)
            .map(|(n, one, many)| format!("{} {}", number(*n), if *n == 1 { one } else { many })),
    );
    if parts.is_empty() { summaries(findings, Verdict::Broken) } else { parts.join("; ") }
}

fn summaries(findings: &Findings, verdict: Verdict) -> String {
    let of_verdict = findings.checks.iter().filter(|c| c.verdict == verdict);
    let texts: Vec<String> =
        of_verdict.map(|c| format!("{}: {}", c.name, c.summary.trim_end_matches('.'))).collect();
    match texts.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first, rest @ ..] => {
            format!("{first}; and {} of the same verdict", count(rest.len() as u64, "check"))
        }
    }
}

/// The regular looks at connector and task after it was resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looks {
    pub(crate) running: u64,
    pub(crate) total: u64,
}

impl Looks {
    /// None when nobody looked.
    pub(crate) fn after_resume(events: &[Event]) -> Option<Self> {
        let resumed = events.iter().rposition(|e| {
            e.step.as_deref() == Some("resume-connector")
                && matches!(e.kind, EventKind::StepFinished { result: StepResult::Ok, .. })
        })?;
        let mut looks = Self { running: 0, total: 0 };
        for event in events.get(resumed..).unwrap_or_default() {
            if let EventKind::Sample { connector, task, .. } = &event.kind {
                looks.total += 1;
                let running = |s: &Option<String>| s.as_deref() == Some("RUNNING");
                looks.running += u64::from(running(connector) && running(task));
            }
        }
        (looks.total > 0).then_some(looks)
    }

    fn all_running(self) -> bool {
        self.running == self.total
    }
}

fn alerts(events: &[Event]) -> Vec<String> {
    let failed = events.iter().filter_map(|e| match &e.kind {
        EventKind::StepFinished { result: StepResult::Failed, error, .. } => {
            let why = error.as_deref().unwrap_or("no reason was recorded");
            Some(format!("Step {} failed: {}", e.step.as_deref().unwrap_or("?"), clip(why, 600)))
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
        facts.push(fact("missing", number(t.missing), "in no topic", t.missing > 0));
        facts.push(fact("repeated", number(t.repeated), "deliveries beyond the first", t.repeated > 0));
        let held = findings.checks.iter().filter(|c| c.verdict == Verdict::Held).count();
        let value = format!("{held} of {}", findings.checks.len());
        facts.push(fact("checks held", value, "", held < findings.checks.len()));
    }
    if let Some(gap) = input.written.as_ref().ok().and_then(|c| c.gap_ms()) {
        facts.push(fact("writes stopped", duration(gap), "last commit before to first after", false));
    }
    if let Some(gap) = input.delivered.as_ref().ok().and_then(|c| c.gap_ms()) {
        facts.push(fact("no events for", duration(gap), "last event before to first after", false));
    }
    if let Some(looks) = Looks::after_resume(input.events()) {
        let value = format!("{} of {}", number(looks.running), number(looks.total));
        let note = "looks after resume that saw connector and task RUNNING";
        facts.push(fact("status RUNNING", value, note, !looks.all_running()));
    }
    facts
}

/// The columns of the table of numbers.
pub(crate) const COLUMNS: [&str; 8] = [
    "acknowledged",
    "delivered",
    "missing",
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
