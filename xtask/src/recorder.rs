//! Writes `events.jsonl`: the [`Observer`] of all clients during a run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use artifacts::events::{Event, EventKind};
use artifacts::redact::Redactor;
use artifacts::run_dir::DERIVED_EVENTS;
use artifacts::{RunDir, time};
use stack::observe::{Observer, Raw};

use crate::console;
use crate::steps::Step;

/// Characters of a command; class paths have thousands.
const LONGEST_ECHO: usize = 1000;

/// Appends events to a run directory.
pub(crate) struct Recorder {
    run: RunDir,
    redactor: Redactor,
    state: Mutex<State>,
}

struct State {
    file: File,
    seq: u64,
    step: Option<&'static Step>,
    /// How often each step was begun.
    attempts: BTreeMap<String, u32>,
    /// Files written in the folder of the step, to number the next one.
    outputs: u32,
    /// Spans in which the step waited for a component.
    waited: Vec<(Instant, Instant)>,
    /// The first event that could not be written.
    failure: Option<String>,
}

impl Recorder {
    /// Continues the events of a run; those of derived steps go into a file of their own, as they may
    /// run at any time.
    pub(crate) fn open(run: RunDir, redactor: Redactor, derived: bool) -> anyhow::Result<Self> {
        let past = if run.path("events.jsonl").exists() { run.events()? } else { Vec::new() };
        let mut attempts = BTreeMap::new();
        for step in past.iter().filter(|e| e.kind == EventKind::StepStarted).filter_map(|e| e.step.clone()) {
            *attempts.entry(step).or_default() += 1;
        }
        let name = if derived { DERIVED_EVENTS } else { "events.jsonl" };
        let path = run.path(name);
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        cut_torn_line(&file, &path)?;
        let state = State {
            file,
            seq: past.iter().map(|e| e.seq).max().unwrap_or(0),
            step: None,
            attempts,
            outputs: 0,
            waited: Vec::new(),
            failure: None,
        };
        Ok(Self { run, redactor, state: Mutex::new(state) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step begins: events belong to it from now on.
    pub(crate) fn start_step(&self, step: &'static Step) {
        {
            let mut state = self.lock();
            state.step = Some(step);
            *state.attempts.entry(step.name.into()).or_default() += 1;
            state.outputs = 0;
            state.waited.clear();
        }
        self.event(EventKind::StepStarted, None);
    }

    /// Time in which the step waited for components so far: spans that overlap count once.
    pub(crate) fn waited(&self) -> Duration {
        union(&mut self.lock().waited.clone())
    }

    /// Events that belong to no step any more.
    pub(crate) fn end_step(&self) {
        self.lock().step = None;
    }

    /// Continues in the file of the derived steps, after the seal.
    pub(crate) fn seal(&self) -> anyhow::Result<()> {
        let path = self.run.path(DERIVED_EVENTS);
        let file = File::options().create(true).append(true).open(&path);
        self.lock().file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(())
    }

    /// A step that cannot write its evidence fails.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.lock().failure.clone() {
            Some(failure) => Err(anyhow::anyhow!("cannot write the evidence: {failure}")),
            None => Ok(()),
        }
    }

    fn append(&self, state: &mut State, kind: EventKind) -> std::io::Result<()> {
        state.seq += 1;
        let event = Event {
            seq: state.seq,
            at: time::now(),
            step: state.step.map(|s| s.name.into()),
            no: state.step.map(Step::no),
            attempt: state.step.and_then(|s| state.attempts.get(s.name).copied()).unwrap_or(1),
            kind,
        };
        let value = serde_json::to_value(event).map_err(std::io::Error::other)?;
        let mut line = serde_json::to_vec(&self.redactor.json(value)).map_err(std::io::Error::other)?;
        line.push(b'\n');
        state.file.write_all(&line)
    }

    /// Keeps raw material in a file of its own; gives its path, relative to the run.
    fn keep(&self, state: &mut State, what: &str, raw: Raw<'_>) -> std::io::Result<Option<String>> {
        let Some(step) = state.step else { return Ok(None) };
        state.outputs += 1;
        let folder = step.folder();
        std::fs::create_dir_all(self.run.path(&folder))?;
        let attempt = state.attempts.get(step.name).copied().unwrap_or(1);
        let again = if attempt > 1 { format!("try{attempt}-") } else { String::new() };
        let name = format!("{folder}/{again}{:03}-{what}.{}", state.outputs, raw.extension);
        let bytes = match serde_json::from_slice(raw.bytes) {
            Ok(value) if raw.extension == "json" => {
                serde_json::to_vec_pretty(&self.redactor.json(value)).map_err(std::io::Error::other)?
            }
            _ => self.redactor.text(&String::from_utf8_lossy(raw.bytes)).into_bytes(),
        };
        std::fs::write(self.run.path(&name), bytes)?;
        Ok(Some(name))
    }
}

impl Observer for Recorder {
    fn event(&self, mut kind: EventKind, raw: Option<Raw<'_>>) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(ms) = waiting(&kind) {
            let now = Instant::now();
            state.waited.push((now.checked_sub(Duration::from_millis(ms)).unwrap_or(now), now));
        }
        echo(&kind, &self.redactor);
        let result = match (&mut kind, raw) {
            (EventKind::Command { out, .. }, Some(raw)) => {
                self.keep(state, "command", raw).map(|name| *out = name)
            }
            (EventKind::Http { out, .. }, Some(raw)) => self.keep(state, "http", raw).map(|name| *out = name),
            _ => Ok(()),
        };
        let result = result.and_then(|()| self.append(state, kind));
        if let Err(e) = result {
            state.failure.get_or_insert_with(|| e.to_string());
        }
    }
}

/// A line without end was being written when the tool was killed: it is no event.
fn cut_torn_line(file: &File, path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        file.set_len(whole as u64).with_context(|| format!("cannot cut {}", path.display()))?;
    }
    Ok(())
}

/// Milliseconds that an event spent waiting for a component.
fn waiting(kind: &EventKind) -> Option<u64> {
    match kind {
        EventKind::Command { ms, .. }
        | EventKind::Http { ms, .. }
        | EventKind::Sql { ms, .. }
        | EventKind::Wait { ms, .. } => Some(*ms),
        _ => None,
    }
}

/// Commands are echoed in a form that can be pasted; what would fill a screen is only named.
fn echo(kind: &EventKind, redactor: &Redactor) {
    match kind {
        EventKind::Command { paste, exit: Some(0), .. } if paste.len() > LONGEST_ECHO => {
            let program = paste.split(' ').find(|word| !word.contains('=')).unwrap_or_default();
            console::detail(&format!("({program}: {} characters, see events.jsonl)", paste.len()));
        }
        EventKind::Command { paste, exit: Some(0), .. } => console::detail(&redactor.text(paste)),
        EventKind::Command { paste, exit, .. } => {
            let exit = exit.map_or("a signal".to_owned(), |code| format!("exit {code}"));
            console::detail(&format!("{} ended with {exit}", redactor.text(paste)));
        }
        EventKind::Http { method, url, .. } if method != "GET" => {
            console::detail(&format!("{method} {url}"));
        }
        _ => {}
    }
}

/// Length of the union of spans.
fn union(spans: &mut [(Instant, Instant)]) -> Duration {
    spans.sort();
    let mut total = Duration::ZERO;
    let mut reached: Option<Instant> = None;
    for &(start, end) in spans.iter() {
        let start = reached.map_or(start, |reached| reached.max(start));
        total += end.saturating_duration_since(start);
        reached = Some(reached.map_or(end, |reached| reached.max(end)));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_waits_count_once() {
        let t = Instant::now();
        let at = |ms: u64| t + Duration::from_millis(ms);
        let mut spans = [(at(5), at(10)), (at(0), at(10)), (at(8), at(20)), (at(30), at(31))];
        assert_eq!(union(&mut spans), Duration::from_millis(21));
    }
}
