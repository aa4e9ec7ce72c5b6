//! `events.jsonl`: what the tool did and saw, one line per event, append-only.

use serde::{Deserialize, Serialize};

use crate::position::Lsn;
use crate::time::{Time, micros};

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 within the run.
    pub seq: u64,
    /// When it happened; for timed events, when they ended.
    #[serde(with = "micros")]
    pub at: Time,
    /// The step, where there is one.
    pub step: Option<String>,
    /// The step's ordinal in the table.
    pub no: Option<u32>,
    /// 1 for the first try of the step.
    pub attempt: u32,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// A step began.
    StepStarted,
    /// A step ended.
    StepFinished {
        /// How.
        result: StepResult,
        /// Why it failed or was skipped.
        error: Option<String>,
        /// Wall-clock time in milliseconds.
        ms: u64,
        /// Of which waiting for components: commands, requests, queries, conditions.
        waited_ms: u64,
    },
    /// A command was run.
    Command {
        /// In a form that can be pasted into a shell.
        paste: String,
        /// Exit code; null when ended by a signal.
        exit: Option<i32>,
        /// Milliseconds.
        ms: u64,
        /// File with the full output, relative to the run directory.
        out: Option<String>,
    },
    /// A request to Kafka Connect.
    Http {
        /// `GET`, `PUT`, ...
        method: String,
        /// Full address.
        url: String,
        /// Status code; null when there was no answer.
        status: Option<u16>,
        /// Milliseconds.
        ms: u64,
        /// File with the answer, relative to the run directory.
        out: Option<String>,
    },
    /// A statement sent to PostgreSQL.
    Sql {
        /// `old` or `new`.
        server: String,
        /// The statement.
        statement: String,
        /// Milliseconds.
        ms: u64,
    },
    /// A condition was waited for.
    Wait {
        /// The condition.
        what: String,
        /// The last observation.
        last: String,
        /// Whether it came true before the deadline.
        met: bool,
        /// Milliseconds.
        ms: u64,
    },
    /// A look at the running components, about once a second.
    Sample {
        /// `RUNNING`, `STOPPED`, ...; null when Connect did not answer.
        connector: Option<String>,
        /// State of task 0; null when there is none.
        task: Option<String>,
        /// `old` or `new`: the server that was asked.
        server: String,
        /// `pg_current_wal_lsn()`; null when the server did not answer.
        wal_lsn: Option<Lsn>,
        /// The slot's confirmed_flush_lsn.
        confirmed_flush_lsn: Option<Lsn>,
        /// WAL kept for the slot, in bytes.
        retained_bytes: Option<u64>,
    },
    /// Memory while everything runs and has worked.
    Memory {
        /// All processes of the stack together, shared pages counted once, in bytes.
        components_bytes: u64,
        /// The most that this program had so far, in bytes.
        tool_peak_bytes: u64,
    },
    /// A sentence worth keeping.
    Note {
        /// The sentence.
        text: String,
    },
    /// The evidence was sealed.
    Sealed,
    /// A kind of a later version.
    #[serde(other)]
    Unknown,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepResult {
    /// It did what it is for.
    Ok,
    /// It did not.
    Failed,
    /// Left out on purpose, or not for this option.
    Skipped,
    /// Ended by a signal.
    Interrupted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_being_written() {
        let event = Event {
            seq: 1,
            at: crate::time::now(),
            step: Some("drain".into()),
            no: Some(7),
            attempt: 1,
            kind: EventKind::StepFinished { result: StepResult::Ok, error: None, ms: 3, waited_ms: 2 },
        };
        let line = serde_json::to_string(&event).unwrap();
        assert!(line.contains(r#""kind":"step_finished""#), "{line}");
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }

    #[test]
    fn an_unknown_kind_is_tolerated() {
        let line =
            r#"{"seq":1,"at":"2026-01-01T00:00:00Z","step":null,"no":null,"attempt":1,"kind":"later","x":1}"#;
        assert_eq!(serde_json::from_str::<Event>(line).unwrap().kind, EventKind::Unknown);
    }
}
