//! `run.json`: what was asked for. It holds no outcome.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::{Time, micros};

/// The contents of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Schema version, `1.0`.
    pub schema: String,
    /// The name of the run directory.
    pub id: String,
    /// What wrote it.
    pub tool: Tool,
    /// When the run was opened.
    #[serde(with = "micros")]
    pub opened_at: Time,
    /// `a` (in place) or `b` (new instance).
    pub option: String,
    /// Major version before.
    pub from: u32,
    /// Major version after.
    pub to: u32,
    /// How pg_upgrade moves the files; null for option b.
    pub transfer: Option<String>,
    /// `ahead`, `behind` or `overtaken`.
    pub lsn_case: String,
    /// The stack that ran it.
    pub stack: StackName,
    /// `kraft` or `zookeeper`.
    pub kafka: String,
    /// `json` or `avro`.
    pub format: String,
    /// Names in the database and in Kafka.
    pub names: Names,
    /// Safeguards of the procedure.
    pub safeguards: Safeguards,
    /// The written snippets literally.
    pub as_written: bool,
    /// Heartbeat interval of the connector in milliseconds; 0 is none.
    #[serde(default)]
    pub heartbeat_ms: u64,
    /// What becomes of the stored offset: `rebase` or `reset`.
    #[serde(default = "rebase")]
    pub offsets: String,
    /// Debezium's `offset.mismatch.strategy`; null leaves its default, `no_validation`.
    #[serde(default)]
    pub mismatch_strategy: Option<String>,
    /// An audit table filled by triggers counts the changes a second time.
    #[serde(default)]
    pub audit: bool,
    /// A captured table gets a column on the new server, before anything writes to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub add_column: bool,
    /// Repeated deliveries were declared acceptable.
    #[serde(default)]
    pub allow_repeats: bool,
    /// The workload, per phase.
    pub workload: Workload,
    /// Component name to version.
    pub versions: BTreeMap<String, String>,
    /// Component name to the files that its programs were taken from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub builds: BTreeMap<String, Vec<Build>>,
    /// Where it ran: `2 cores`, `23.5 GiB`, `Debian GNU/Linux 12 (bookworm)`, ...; what is not known is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machine: Vec<String>,
}

/// A file that programs were taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// As its package client names it: `postgresql-15=15.18-0+deb12u1`; the folder of programs that
    /// were there already.
    pub package: String,
    /// Version of the component.
    pub version: String,
    /// SHA-256 of the package; of the program `postgres` where there is none.
    pub sha256: String,
}

fn rebase() -> String {
    "rebase".into()
}

impl Run {
    /// Whether the procedure is followed with this safeguard.
    pub fn keeps(&self, safeguard: &str) -> bool {
        !self.safeguards.left_out.iter().any(|name| name == safeguard)
    }
}

/// Version of the tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Package version.
    pub version: String,
    /// Git revision, `unknown` outside a checkout.
    pub revision: String,
    /// The checkout had uncommitted changes.
    pub dirty: bool,
}

/// Name and kind of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackName {
    /// `lab` unless named.
    pub name: String,
    /// `native`, `compose` or `external`.
    pub kind: String,
}

/// Names in the database and in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Database, `testdb`.
    pub database: String,
    /// Topic prefix, `cdc`.
    pub prefix: String,
    /// Connector, `postgres-cdc-connector`.
    pub connector: String,
    /// Replication slot, `debezium_slot`.
    pub slot: String,
    /// Publication, `debezium_publication`.
    pub publication: String,
    /// Topics of the captured tables: `<prefix>.public.<table>`.
    pub topics: Vec<String>,
}

/// Which safeguards the procedure used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Safeguards {
    /// Kept.
    #[serde(rename = "in")]
    pub kept: Vec<String>,
    /// Left out on purpose.
    #[serde(rename = "out")]
    pub left_out: Vec<String>,
}

/// What the data generator was told, per phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Seed of every random decision.
    pub seed: u64,
    /// Changes to make; null: until the duration is over or it is stopped.
    pub changes: Option<u64>,
    /// Changes per second over all clients; 0 is as fast as it goes.
    pub rate: f64,
    /// Seconds.
    pub duration_s: Option<f64>,
    /// Concurrent clients.
    pub clients: u32,
    /// Changes per transaction at most; a statement that changes several rows counts as one.
    pub tx_size: u32,
    /// Weights of insert, update and delete.
    pub mix: Mix,
    /// 0 is uniform; higher prefers few keys (Zipf exponent).
    #[serde(default)]
    pub key_skew: f64,
    /// Characters in the wide column.
    #[serde(default)]
    pub row_size: u32,
    /// Rows of a COPY at most, which share positions; 0: there is none.
    #[serde(default)]
    pub copy_rows: u32,
    /// Rows in each table before the connector starts.
    #[serde(default)]
    pub seed_rows: u64,
}

/// Weights of the three operations; they need not add up to anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mix {
    /// Weight of inserts.
    pub insert: u32,
    /// Weight of updates.
    pub update: u32,
    /// Weight of deletes.
    pub delete: u32,
}
