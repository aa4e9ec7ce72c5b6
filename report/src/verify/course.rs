//! How the run went, from its events: which steps failed, which components died, and how connector
//! and task looked.

use std::collections::BTreeMap;

use artifacts::events::{Event, EventKind, StepResult};
use artifacts::findings::Evidence;

use super::looks::Looks;
use crate::text;

const FILE: &str = "events.jsonl";

/// What the events say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Course {
    /// Samples after the upgrade.
    pub looks: Looks,
    /// How often each step was begun.
    pub begun: BTreeMap<String, u64>,
    /// Steps that failed, and why.
    pub failed: Vec<Failed>,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Its name.
    pub step: String,
    /// Why.
    pub error: String,
    /// The component whose death it was, where it was one.
    pub died: Option<String>,
    /// The connector had been resumed, or was to be.
    pub after: bool,
    at: String,
    seq: u64,
}

impl Course {
    /// Reads the events.
    pub fn of(events: &[Event]) -> Self {
        let mut course = Self { looks: Looks::count(events), ..Self::default() };
        for event in events {
            let Some(step) = &event.step else { continue };
            match &event.kind {
                EventKind::StepStarted => *course.begun.entry(step.clone()).or_default() += 1,
                EventKind::StepFinished { result: StepResult::Failed, error, .. } => {
                    let error = error.clone().unwrap_or_else(|| "no reason was recorded".into());
                    let died = died(&error);
                    let after = course.begun.contains_key("resume-connector");
                    let (at, seq) = (text::moment(event.at), event.seq);
                    course.failed.push(Failed { step: step.clone(), error, died, after, at, seq });
                }
                _ => {}
            }
        }
        course
    }

    /// The component that died, or did not answer any more, after the connector was resumed: what
    /// then did not arrive says nothing about the upgrade.
    pub fn death_after(&self) -> Option<Evidence> {
        let told = self.failed.iter().find(|failed| failed.after && failed.died.is_some());
        told.map(Failed::evidence).or_else(|| self.looks.silent())
    }

    /// The component that died at any time.
    pub fn death(&self) -> Option<Evidence> {
        let told = self.failed.iter().find(|failed| failed.died.is_some());
        told.map(Failed::evidence).or_else(|| self.looks.silent())
    }
}

impl Failed {
    /// The sentence, with its place.
    pub fn evidence(&self) -> Evidence {
        let Self { step, error, at, seq, .. } = self;
        let why = text::shorten(error, 400);
        let why = why.trim_end_matches(':');
        let text = match &self.died {
            Some(name) => format!("{name} died: step {step} failed at {at}: {why}"),
            None => format!("step {step} failed at {at}: {why}"),
        };
        Evidence { text, file: Some(FILE.into()), at: Some(format!("seq {seq}")) }
    }
}

/// The component of which a step said that it `has ended`; the data generator ends by itself.
fn died(error: &str) -> Option<String> {
    let (before, _) = error.split_once(" has ended")?;
    let name = before.rsplit([' ', ':', '\n']).next().filter(|name| !name.is_empty())?;
    (!matches!(name, "it" | "generator" | "data-generator")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::died;

    #[test]
    fn the_component_that_died_is_named() {
        let dead = "marker arrived: kafka has ended, begin anew with: cargo xtask up; the end of its log:\nx";
        assert_eq!(died(dead).as_deref(), Some("kafka"));
        assert_eq!(died("the ledger: postgres-new has ended; its log: x").as_deref(), Some("postgres-new"));
        assert_eq!(died("it has ended: exit 1"), None);
        assert_eq!(died("the data generator has ended"), None);
        assert_eq!(died("FAILED: this is no longer available"), None);
    }
}
