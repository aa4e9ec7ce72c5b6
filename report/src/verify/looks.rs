//! How connector and task looked while changes were made after the upgrade. A rehearsal that loses
//! everything can look perfectly well; that is worth a sentence.

use std::collections::BTreeMap;

use artifacts::events::{Event, EventKind};
use artifacts::findings::Evidence;

const RUNNING: &str = "RUNNING";

/// The samples between `resume-connector` and `capture-after`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looks {
    /// Samples.
    pub total: u64,
    /// Of those, with connector and task RUNNING.
    pub running: u64,
    /// What the others saw, and how often.
    pub others: BTreeMap<String, u64>,
    /// `seq` of the first and the last sample.
    pub seq: Option<(u64, u64)>,
    /// Connect did not answer at the last look.
    pub silent: bool,
}

impl Looks {
    /// Counts the samples.
    pub fn count(events: &[Event]) -> Self {
        let mut looks = None;
        for event in events {
            match (&event.kind, event.step.as_deref()) {
                (EventKind::StepFinished { .. }, Some("resume-connector")) => looks = Some(Self::default()),
                (EventKind::StepStarted, Some("capture-after")) => break,
                (EventKind::Sample { connector, task, .. }, _) => {
                    if let Some(looks) = &mut looks {
                        looks.add(event.seq, connector.as_deref(), task.as_deref());
                    }
                }
                _ => {}
            }
        }
        looks.unwrap_or_default()
    }

    fn add(&mut self, seq: u64, connector: Option<&str>, task: Option<&str>) {
        self.total += 1;
        self.silent = connector.is_none();
        self.seq = Some((self.seq.map_or(seq, |(first, _)| first), seq));
        match (connector, task) {
            (Some(RUNNING), Some(RUNNING)) => self.running += 1,
            (None, _) => *self.others.entry("Connect did not answer".into()).or_default() += 1,
            (Some(connector), task) => {
                let seen = format!("connector {connector}, task {}", task.unwrap_or("none"));
                *self.others.entry(seen).or_default() += 1;
            }
        }
    }

    /// Every look saw connector and task RUNNING.
    pub fn all_running(&self) -> bool {
        self.total > 0 && self.running == self.total
    }

    /// The sentence that Connect did not answer any more.
    pub fn silent(&self) -> Option<Evidence> {
        let (_, last) = self.seq.filter(|_| self.silent)?;
        let text = "Connect did not answer at the last look before capture-after".to_owned();
        Some(Evidence { text, file: Some("events.jsonl".into()), at: Some(format!("seq {last}")) })
    }

    /// The sentence, with its place.
    pub fn evidence(&self) -> Evidence {
        let meanwhile = "between resume-connector and capture-after";
        let Self { total, running, .. } = self;
        let text = if *total == 0 {
            format!("nobody looked at connector and task {meanwhile}")
        } else if self.all_running() {
            format!("connector and task were RUNNING in all {total} looks {meanwhile}")
        } else {
            let others: Vec<String> = self.others.iter().map(|(seen, n)| format!("{seen} ({n})")).collect();
            format!(
                "connector and task were RUNNING in {running} of {total} looks {meanwhile}; the others: {}",
                others.join("; ")
            )
        };
        let at = self.seq.map(|(first, last)| format!("seq {first} to {last}"));
        Evidence { text, file: Some("events.jsonl".into()), at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::events::StepResult;

    fn event(step: Option<&str>, kind: EventKind) -> Event {
        Event { seq: 1, at: artifacts::time::now(), step: step.map(Into::into), no: None, attempt: 1, kind }
    }

    fn sample(connector: &str, task: Option<&str>) -> Event {
        let (connector, task) = (Some(connector.into()), task.map(Into::into));
        let (wal_lsn, confirmed_flush_lsn, retained_bytes) = (None, None, None);
        let server = "new".into();
        event(
            None,
            EventKind::Sample { connector, task, server, wal_lsn, confirmed_flush_lsn, retained_bytes },
        )
    }

    #[test]
    fn only_samples_between_resume_and_capture_count() {
        let finished = EventKind::StepFinished { result: StepResult::Ok, error: None, ms: 1, waited_ms: 1 };
        let mut events = vec![
            sample("STOPPED", None),
            event(Some("resume-connector"), finished),
            sample(RUNNING, Some(RUNNING)),
            sample(RUNNING, Some(RUNNING)),
        ];
        let tail = [event(Some("capture-after"), EventKind::StepStarted), sample("STOPPED", None)];
        let text = |events: &[Event]| Looks::count(events).evidence().text;
        assert!(text(&[&events[..], &tail].concat()).contains("RUNNING in all 2 looks"));
        events.push(sample(RUNNING, Some("FAILED")));
        assert!(text(&events).ends_with("RUNNING in 2 of 3 looks between resume-connector and capture-after; the others: connector RUNNING, task FAILED (1)"));
        assert!(text(&tail).starts_with("nobody looked"));
    }
}
