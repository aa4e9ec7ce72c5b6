//! The events by step: one span per attempt, in the order in which they began.

use artifacts::events::{Event, EventKind, StepResult};
use artifacts::time::Time;
use chrono::TimeDelta;

/// One attempt of one step.
#[derive(Debug)]
pub(crate) struct Span<'a> {
    pub(crate) name: &'a str,
    pub(crate) no: Option<u32>,
    pub(crate) attempt: u32,
    pub(crate) start: Time,
    /// None: it never ended.
    pub(crate) end: Option<End<'a>>,
    /// What happened in it.
    pub(crate) events: Vec<&'a Event>,
}

/// How a span ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) at: Time,
    pub(crate) result: StepResult,
    pub(crate) error: Option<&'a str>,
    pub(crate) ms: u64,
    pub(crate) waited_ms: u64,
}

impl Span<'_> {
    /// `ok`, `failed`, `skipped`, `interrupted`, `unfinished`.
    pub(crate) fn result(&self) -> &'static str {
        match self.end.map(|e| e.result) {
            Some(StepResult::Ok) => "ok",
            Some(StepResult::Failed) => "failed",
            Some(StepResult::Skipped) => "skipped",
            Some(StepResult::Interrupted) => "interrupted",
            None => "unfinished",
        }
    }
}

/// Groups the events. Those that belong to no step are left out.
pub(crate) fn spans(events: &[Event]) -> Vec<Span<'_>> {
    let mut spans: Vec<Span<'_>> = Vec::new();
    for event in events {
        let Some(name) = event.step.as_deref() else { continue };
        let same = |s: &Span<'_>| s.name == name && s.no == event.no && s.attempt == event.attempt;
        let open = spans.iter().rposition(same);
        let index = match (open, &event.kind) {
            (Some(i), EventKind::StepStarted) if spans.get(i).is_none_or(|s| s.end.is_some()) => None,
            (open, _) => open,
        };
        let index = index.unwrap_or_else(|| {
            let (no, attempt, start) = (event.no, event.attempt, began(event));
            spans.push(Span { name, no, attempt, start, end: None, events: Vec::new() });
            spans.len() - 1
        });
        let Some(span) = spans.get_mut(index) else { continue };
        match &event.kind {
            EventKind::StepStarted => {}
            EventKind::StepFinished { result, error, ms, waited_ms } => {
                let (at, error) = (event.at, error.as_deref());
                span.end = Some(End { at, result: *result, error, ms: *ms, waited_ms: *waited_ms });
            }
            _ => span.events.push(event),
        }
    }
    spans
}

/// When the span of its first event began; a step that was skipped has no beginning of its own.
fn began(event: &Event) -> Time {
    match event.kind {
        EventKind::StepFinished { ms, .. } => {
            let ms = i64::try_from(ms).ok().and_then(TimeDelta::try_milliseconds);
            ms.and_then(|ms| event.at.checked_sub_signed(ms)).unwrap_or(event.at)
        }
        _ => event.at,
    }
}
