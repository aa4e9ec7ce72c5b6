//! Builds run directories for tests: a small simulated rehearsal whose evidence is consistent, and
//! which a test may then spoil. Everything is a function of [`Plan`], times included, so that
//! golden files are stable.

// A test that cannot build its run shall fail at once; not every test uses everything.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

pub mod faults;
pub mod judge;
pub mod sample;
pub mod six;
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

pub use report::synth::{Plan, Record, sim};

/// Simulated rehearsals, in memory.
pub mod story {
    use super::{Entry, Plan, Record, Rehearsal};
    use report::synth::Sink;
    use report::synth::story::{Told, tell};

    #[allow(unused_imports, reason = "not every test compares tables")]
    pub use report::synth::story::state;

    #[derive(Default)]
    struct Memory {
        ledger: Vec<Entry>,
        records: Vec<Record>,
    }

    impl Sink for Memory {
        fn entry(&mut self, entry: Entry) -> artifacts::Result<()> {
            self.ledger.push(entry);
            Ok(())
        }

        fn record(&mut self, record: Record) -> artifacts::Result<()> {
            self.records.push(record);
            Ok(())
        }
    }

    /// Simulates a rehearsal of option b.
    pub fn rehearse(plan: &Plan) -> Rehearsal {
        let mut memory = Memory::default();
        let told = tell(plan, &mut memory).unwrap();
        let Told { run, snapshots, events, rows_after, columns_after, .. } = told;
        let Told { mut first_drain, mut drain_again, collected, .. } = told;
        // Where the topics end is computed when it is written: a test may have changed them.
        (first_drain.ends, drain_again.ends) = Default::default();
        let collected = artifacts::collected::Collected {
            cut: Default::default(),
            topics: Default::default(),
            ..collected
        };
        Rehearsal {
            run,
            ledger: memory.ledger,
            records: memory.records,
            snapshots,
            topics_after: Default::default(),
            events,
            rows_after,
            columns_after,
            write_rows: true,
            write_rows_twice: false,
            drain_again: Some(drain_again),
            first_drain: Some(first_drain),
            collected: Some(collected),
            summaries: None,
            seal: true,
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
    /// Digests of their columns.
    pub columns_after: BTreeMap<String, BTreeMap<i64, String>>,
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
