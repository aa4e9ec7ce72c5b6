//! Builds run directories for tests: a small simulated rehearsal whose evidence is consistent, and
//! which a test may then spoil. Everything is a function of [`Plan`], times included, so that
//! golden files are stable.

// A test that cannot build its run shall fail at once; not every test uses everything.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

pub mod faults;
pub mod judge;
pub mod sample;
pub mod sim;
pub mod story;
pub mod write;

use std::collections::BTreeMap;
use std::path::Path;

use artifacts::RunDir;
use artifacts::collected::Collected;
use artifacts::drain::Drain;
use artifacts::events::Event;
use artifacts::ledger::{Entry, Phase};
use artifacts::row::Digest;
use artifacts::run::Run;
use artifacts::snapshot::{Bounds, Snapshot};
use artifacts::summary::Summary;

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Every decision follows from it.
    pub seed: u64,
    /// Transactions per phase, beside the few that every phase needs.
    pub transactions: u64,
    /// Rows per table before the connector starts.
    pub seed_rows: i64,
    /// Transactions (of inserts and updates) between the seed rows and the snapshot.
    pub before_snapshot: u64,
    /// Partitions per topic.
    pub partitions: i32,
    /// Rolled back, unknown and zero-row transactions take part.
    pub odd_fates: bool,
    /// Nobody changes anything, in neither phase.
    pub idle: bool,
    /// False: option b without `rebase-offsets`, the loss that nobody sees.
    pub rebase: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 42,
            transactions: 60,
            seed_rows: 8,
            before_snapshot: 0,
            partitions: 1,
            odd_fates: true,
            idle: false,
            rebase: true,
        }
    }
}

/// A record of a topic before it has an offset.
#[derive(Debug, Clone)]
pub struct Record {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Before or after the cut.
    pub phase: Phase,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Key as JSON.
    pub key: Option<String>,
    /// Value as JSON; none is a tombstone.
    pub value: Option<String>,
    /// Table of the row.
    pub table: String,
    /// Primary key of the row.
    pub row_key: i64,
    /// The change it belongs to; 0 for a seed row, none for heartbeats and markers.
    pub change_id: Option<u64>,
}

impl Record {
    /// Changes the value.
    pub fn edit(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut value = serde_json::from_str(self.value.as_deref().unwrap()).unwrap();
        change(&mut value);
        self.value = Some(value.to_string());
    }

    /// The operation, or `tombstone`.
    pub fn op(&self) -> String {
        match &self.value {
            None => "tombstone".into(),
            Some(text) => {
                let value: serde_json::Value = serde_json::from_str(text).unwrap();
                value["op"].as_str().unwrap_or_default().to_owned()
            }
        }
    }
}

/// Everything that a run directory holds, to be spoiled and written.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// `run.json`
    pub run: Run,
    /// `ledger.jsonl`
    pub ledger: Vec<Entry>,
    /// All records; offsets are given when written.
    pub records: Vec<Record>,
    /// `snapshots/*.json`
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Topics that the last snapshot saw otherwise than the records make them.
    pub topics_after: BTreeMap<String, BTreeMap<i32, Bounds>>,
    /// `events.jsonl`
    pub events: Vec<Event>,
    /// Rows of the new database at the end: table to key to digest.
    pub rows_after: BTreeMap<String, BTreeMap<i64, Digest>>,
    /// Whether the file with them is written.
    pub write_rows: bool,
    /// Whether the first row of `public.orders` is in it twice.
    pub write_rows_twice: bool,
    /// `steps/21-drain-again/drain.json`
    pub drain_again: Option<Drain>,
    /// `steps/07-drain/drain.json`; without ends it gets those where the records divide.
    pub first_drain: Option<Drain>,
    /// `collected.json`; cut and bounds are computed when written.
    pub collected: Option<Collected>,
    /// What the data generator says; none: what the ledger says.
    pub summaries: Option<BTreeMap<Phase, Summary>>,
    /// Write `SHA256SUMS`, and the ledger compressed.
    pub seal: bool,
}

/// A rehearsal of option b in which everything held, as a sealed run directory.
pub fn held_run(dir: &Path) -> RunDir {
    story::rehearse(&Plan::default()).write(dir)
}

/// A rehearsal of option b without `rebase-offsets`: every change after the upgrade is missing and
/// recoverable, while connector and task are RUNNING.
pub fn broken_run(dir: &Path) -> RunDir {
    story::rehearse(&Plan { rebase: false, ..Plan::default() }).write(dir)
}
