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

/// What `up` does before anything is rehearsed: it builds, installs and starts, until it first waits
/// for a component to answer. How long that takes says how warm the caches were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Provisioning {
    pub(crate) ms: u64,
    /// Of which waiting for programs that build and install.
    pub(crate) waited_ms: u64,
}

/// Adds up all attempts of `up`.
pub(crate) fn provisioning(spans: &[Span<'_>]) -> Provisioning {
    let mut sum = Provisioning::default();
    for span in spans.iter().filter(|span| span.name == "up") {
        let waits = span.events.iter().filter_map(|event| match event.kind {
            EventKind::Wait { ref what, ms, .. } if what.contains(" answers ") => Some(back(event.at, ms)),
            _ => None,
        });
        let until = waits.min().or(span.end.map(|end| end.at)).unwrap_or(span.start);
        let earlier = span.events.iter().filter(|event| event.at <= until);
        let waited = earlier.filter_map(|event| match event.kind {
            EventKind::Command { ms, .. } | EventKind::Wait { ms, .. } => Some(ms),
            _ => None,
        });
        let ms = (until - span.start).num_milliseconds().max(0) as u64;
        sum.ms = sum.ms.saturating_add(ms);
        sum.waited_ms = sum.waited_ms.saturating_add(waited.fold(0, u64::saturating_add).min(ms));
    }
    sum
}

/// A moment some milliseconds earlier.
fn back(at: Time, ms: u64) -> Time {
    let ms = i64::try_from(ms).ok().and_then(TimeDelta::try_milliseconds);
    ms.and_then(|ms| at.checked_sub_signed(ms)).unwrap_or(at)
}

/// When the span of its first event began; a step that was skipped has no beginning of its own.
fn began(event: &Event) -> Time {
    match event.kind {
        EventKind::StepFinished { ms, .. } => back(event.at, ms),
        _ => event.at,
    }
}
