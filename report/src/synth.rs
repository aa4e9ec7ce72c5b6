//! Synthetic run directories: a small simulated rehearsal of option b, whose evidence is consistent,
//! with events as Debezium's JSON converter writes them and the ledger that belongs to them.
//!
//! One synthesiser serves the tests, which spoil what it makes, and `cargo xtask synth`, which
//! writes it to disk at any size. What it holds in memory is the simulated database: its live rows,
//! whose number does not grow with the number of events. Everything is a function of [`Plan`], times
//! included: the same plan writes the same bytes.
//!
//! Nothing ran: there are no logs, the outputs of commands are empty, and versions and positions are
//! made up. `run.json` names the stack `synthetic` where [`Plan::events`] is set.

mod disk;
mod rows;
mod setup;
pub mod sim;
pub mod story;

use artifacts::ledger::{Entry, Phase};
use serde_json::Value;

pub use disk::{Small, write};

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Every decision follows from it.
    pub seed: u64,
    /// Transactions per phase, beside the few that every phase needs.
    pub transactions: u64,
    /// Instead of [`Plan::transactions`]: at least so many records in the topics of the tables, half
    /// of them before the cut.
    pub events: Option<u64>,
    /// Rows per table before the connector starts.
    pub seed_rows: i64,
    /// Transactions (of inserts and updates) between the seed rows and the snapshot.
    pub before_snapshot: u64,
    /// Partitions per topic.
    pub partitions: i32,
    /// Rolled back, unknown and zero-row transactions take part.
    pub odd_fates: bool,
    /// One in so many transactions may have an odd fate of each kind.
    pub odd_in: u64,
    /// Characters in the wide column of an order.
    pub row_size: usize,
    /// Nobody changes anything, in neither phase.
    pub idle: bool,
    /// False: option b without `rebase-offsets`, the loss that nobody sees.
    pub rebase: bool,
    /// The connector writes BEGIN and END events.
    pub metadata: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 42,
            transactions: 60,
            events: None,
            seed_rows: 8,
            before_snapshot: 0,
            partitions: 1,
            odd_fates: true,
            odd_in: 40,
            row_size: 40,
            idle: false,
            rebase: true,
            metadata: false,
        }
    }
}

impl Plan {
    /// A run of at least so many events, with rows as wide as those of a rehearsal.
    pub fn of_events(events: u64, seed: u64) -> Self {
        let (seed_rows, before_snapshot, odd_in, row_size) = (200, 50, 2_000, 200);
        let plan = Self { seed_rows, before_snapshot, odd_in, row_size, metadata: true, ..Self::default() };
        Self { seed, events: Some(events), ..plan }
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
    /// A record of a topic that holds no rows.
    fn beside(topic: String, phase: Phase, at_ms: i64, key: &Value, value: &Value) -> Self {
        let (key, value) = (Some(key.to_string()), Some(value.to_string()));
        let (partition, table, row_key, change_id) = (0, String::new(), 0, None);
        Self { topic, partition, phase, at_ms, key, value, table, row_key, change_id }
    }

    /// Changes the value, if there is one.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let parsed = self.value.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(mut value) = parsed {
            change(&mut value);
            self.value = Some(value.to_string());
        }
    }

    /// The operation, or `tombstone`; empty for what is no event of a row.
    pub fn op(&self) -> String {
        let Some(text) = &self.value else { return "tombstone".into() };
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        value["op"].as_str().unwrap_or_default().to_owned()
    }
}

/// Takes what a simulation makes, in the order in which it happens.
pub trait Sink {
    /// A line of the ledger.
    ///
    /// # Errors
    /// It cannot be written.
    fn entry(&mut self, entry: Entry) -> artifacts::Result<()>;

    /// A record; its offset follows from those before it.
    ///
    /// # Errors
    /// It cannot be written.
    fn record(&mut self, record: Record) -> artifacts::Result<()>;
}
