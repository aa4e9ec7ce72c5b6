//! The checks: what was compared, how many, the answer, and what it rests on.

use artifacts::findings::{CheckResult, Evidence, Verdict};
use serde::Serialize;

use super::Limits;
use crate::input::Input;
use crate::text::{clip, link, number, slug};

const MAX_CHECKS: usize = 40;
const MAX_EVIDENCE: usize = 20;

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    /// Why there are none.
    pub(crate) unobserved: Option<String>,
    pub(crate) checks: Vec<Check>,
}

/// A check.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) question: &'static str,
    /// `held`, `broken`, `unknown`: also the class.
    pub(crate) verdict: String,
    pub(crate) open: bool,
    pub(crate) compared: String,
    pub(crate) summary: String,
    pub(crate) evidence: Vec<Ground>,
    /// How many more there are.
    pub(crate) more: Option<String>,
    pub(crate) remedy: Option<String>,
}

/// A statement and where to look it up.
#[derive(Debug, Serialize)]
pub(crate) struct Ground {
    pub(crate) text: String,
    pub(crate) file: Option<String>,
    pub(crate) href: Option<String>,
    pub(crate) at: Option<String>,
}

/// What each check asks.
const QUESTIONS: [(&str, &str); 11] = [
    ("nothing-missing", "Is every committed change in a topic?"),
    ("nothing-repeated", "Was every change delivered only once?"),
    ("order-kept", "Did the changes of each row arrive in the order they were made?"),
    ("nothing-invented", "Does every event belong to a change that was made?"),
    ("nothing-altered", "Does every event carry the row as it was written?"),
    ("tables-converge", "Do the topics, replayed, give the rows of the new database?"),
    ("transactions-whole", "Do the topics hold as much of each transaction as Debezium counted?"),
    ("database-carried-over", "Did rows, sequences and roles survive the upgrade?"),
    ("replication-ready", "Were slot, publication, replica identity and wal_level as needed?"),
    ("positions-consistent", "Was the stored offset a position the new server can continue from?"),
    ("still-flowing", "Do changes still arrive after the upgrade?"),
];

/// Builds the view.
pub(crate) fn view(input: &Input, limits: Limits) -> View {
    match &input.findings {
        Ok(findings) => View {
            unobserved: None,
            checks: findings.checks.iter().take(MAX_CHECKS).map(|c| check(c, limits)).collect(),
        },
        Err(why) => View { unobserved: Some(clip(why, 600)), checks: Vec::new() },
    }
}

fn check(check: &CheckResult, limits: Limits) -> Check {
    let question = QUESTIONS.iter().find(|(name, _)| *name == check.name).map_or("", |(_, q)| q);
    let shown = limits.rows.min(MAX_EVIDENCE);
    let hidden = check.evidence.len().saturating_sub(shown);
    Check {
        id: slug(&format!("check-{}", check.name)),
        name: clip(&check.name, 60),
        question,
        verdict: check.verdict.to_string(),
        open: check.verdict != Verdict::Held,
        compared: number(check.compared),
        summary: clip(&check.summary, limits.chars.max(600)),
        evidence: check.evidence.iter().take(shown).map(|e| ground(e, limits)).collect(),
        more: (hidden > 0).then(|| format!("{hidden} more in findings.json")),
        remedy: check.remedy.as_ref().map(|r| clip(r, limits.chars.max(600))),
    }
}

fn ground(evidence: &Evidence, limits: Limits) -> Ground {
    Ground {
        text: clip(&evidence.text, limits.chars),
        file: evidence.file.as_ref().map(|f| clip(f, limits.chars.min(200))),
        href: evidence.file.as_deref().and_then(link),
        at: evidence.at.as_ref().map(|at| clip(at, limits.chars.min(120))),
    }
}
