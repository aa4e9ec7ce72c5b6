//! `findings.json` and `violations.jsonl`: what the verdict is, and every change it rests on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::{Op, Phase};
use crate::position::Lsn;

/// The answer of a check, and of the run. `Broken` beats `Unknown` beats `Held`: the order of the
/// variants, so that [`Iterator::max`] combines them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Proven to hold.
    Held,
    /// Not proven either way.
    Unknown,
    /// Proven not to hold.
    Broken,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Unknown => "unknown",
            Self::Broken => "broken",
        })
    }
}

/// The contents of `findings.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Schema version.
    pub schema: String,
    /// The run's id.
    pub run: String,
    /// Over all checks.
    pub verdict: Verdict,
    /// What was counted.
    pub counts: Counts,
    /// In the order of the design.
    pub checks: Vec<CheckResult>,
}

/// Totals, and the same split by phase and by table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Over everything.
    #[serde(flatten)]
    pub total: Tally,
    /// `before`, `after`.
    pub by_phase: BTreeMap<String, Tally>,
    /// Table name.
    pub by_table: BTreeMap<String, Tally>,
}

/// Numbers of changes. They add up, in all, per phase and per table:
/// `acknowledged = delivered + missing + undecided`; the lines of `violations.jsonl` of kind `missing`
/// are those of `missing`, `seed_rows_missing`, `tombstones_missing` and `unknown_missing`, and those
/// of stage `not-yet`, which are in none of them; `repeated` (unless tolerated), `reordered`,
/// `unexpected` and `altered` are the lines of their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Inserts, updates and deletes of which the ledger knows that they were committed and touched a
    /// row: acknowledged to the client, or found to be committed later. Seed rows are none.
    pub acknowledged: u64,
    /// Of the acknowledged, in the topics at least once: as an event of their own, or covered by the
    /// first snapshot of their row.
    pub delivered: u64,
    /// Of the acknowledged, proven to be in no topic.
    pub missing: u64,
    /// Of the acknowledged, neither: delivery had not settled, or the topics were not read to their
    /// ends.
    #[serde(default)]
    pub undecided: u64,
    /// Rows that were there before the connector started. They belong to the phase before.
    #[serde(default)]
    pub seed_rows: u64,
    /// Of the seed rows, proven to be in no topic.
    #[serde(default)]
    pub seed_rows_missing: u64,
    /// Tombstones that are in no topic although their delete is.
    #[serde(default)]
    pub tombstones_missing: u64,
    /// Deliveries beyond the first, of changes, seed rows and tombstones; tolerated ones too.
    pub repeated: u64,
    /// Events out of the key's order.
    pub reordered: u64,
    /// Events that belong to no change and no seed row.
    pub unexpected: u64,
    /// Events that say something else than what was written.
    pub altered: u64,
    /// Changes whose transaction's fate stays unknown; in none of the numbers above but `repeated`,
    /// `reordered` and `altered`.
    pub indeterminate: u64,
    /// Of the indeterminate, in no topic although another part of their transaction, or a later
    /// version of their row, proves that they were committed.
    #[serde(default)]
    pub unknown_missing: u64,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// `nothing-missing`, ...
    pub name: String,
    /// Its answer.
    pub verdict: Verdict,
    /// How many things it compared.
    pub compared: u64,
    /// One sentence.
    pub summary: String,
    /// What the sentence rests on.
    pub evidence: Vec<Evidence>,
    /// What to do about it; null when it held.
    pub remedy: Option<String>,
}

/// A statement and where to look it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The statement.
    pub text: String,
    /// File, relative to the run directory.
    pub file: Option<String>,
    /// Line, pointer or offset in it.
    pub at: Option<String>,
}

/// One line of `violations.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// What is wrong.
    pub kind: ViolationKind,
    /// The check that says so.
    pub check: String,
    /// Table, `public.orders`.
    pub table: String,
    /// Primary key; null when the event has none.
    pub key: Option<i64>,
    /// Version of the row.
    pub ver: Option<u32>,
    /// Operation of the change or event.
    pub op: Option<Op>,
    /// The change in the ledger; null for an event that belongs to none.
    pub change_id: Option<u64>,
    /// Before or after the cut.
    pub phase: Option<Phase>,
    /// `lost-by-copy`, `gone`, `recoverable`, `not-yet`, `dropped-by-config`; for repeats
    /// `re-delivery`, `producer-retry`, `re-snapshot`, `double-execution`.
    pub stage: Option<String>,
    /// Transaction id.
    pub xid: Option<String>,
    /// The event's LSN, or the highest position known to be below the change.
    pub lsn: Option<Lsn>,
    /// Where in Kafka.
    pub at: Vec<KafkaPlace>,
    /// What should have been.
    pub expected: Option<Value>,
    /// What is.
    pub actual: Option<Value>,
}

/// A record's address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KafkaPlace {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViolationKind {
    /// A committed change is in no topic.
    Missing,
    /// Delivered more than once.
    Repeated,
    /// The version chain of a key breaks.
    Reordered,
    /// An event belongs to no change and no seed row.
    Unexpected,
    /// The event's row is not the written one.
    Altered,
    /// Topics and database end in different rows.
    Diverged,
}
