//! `snapshots/*.json`: the state of database, connector and topics at five moments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::position::Position;
use crate::schemas::Subjects;
use crate::time::{Time, micros};

/// The five moments, in order.
pub const NAMES: [&str; 5] = ["before", "cut", "restored", "at-resume", "after"];

/// One snapshot. What was not observed is null or empty and named in `unobserved`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Schema version.
    pub schema: String,
    /// One of [`NAMES`].
    pub name: String,
    /// When the first question was asked.
    #[serde(with = "micros")]
    pub taken_at: Time,
    /// The server that was asked.
    pub server: Server,
    /// The row of `pg_replication_slots`, every column the server has; null: no slot.
    pub slot: Option<Map<String, Value>>,
    /// The publication: `{name, tables:[..], insert, update, delete, truncate}`; null: none.
    pub publication: Option<Value>,
    /// Table to `relreplident`: d default, f full, i index, n nothing.
    #[serde(default)]
    pub replica_identity: BTreeMap<String, String>,
    /// Rows and fingerprint per table, see [`crate::row`].
    #[serde(default)]
    pub tables: BTreeMap<String, TableState>,
    /// Sequence to `last_value`.
    #[serde(default)]
    pub sequences: BTreeMap<String, i64>,
    /// Role to its attributes (`login`, `replication`, ...), without passwords.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    /// Settings that matter to logical replication.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The offset that Connect stores for the connector.
    pub offset: Option<StoredOffset>,
    /// Configuration (secrets replaced) and status of the connector.
    pub connector: Option<ConnectorState>,
    /// Topic to partition to bounds.
    #[serde(default)]
    pub topics: BTreeMap<String, BTreeMap<i32, Bounds>>,
    /// Subjects of the run's topics in the Schema Registry; null without one.
    #[serde(default)]
    pub subjects: Option<Subjects>,
    /// Changes counted by triggers: table to operation (`c`, `u`, `d`) to count.
    #[serde(default)]
    pub audit: Option<BTreeMap<String, BTreeMap<String, u64>>>,
    /// Transactions that the slot has yet to deliver: their ids, low 32 bits, ascending.
    /// Null: nobody looked.
    #[serde(default)]
    pub slot_pending: Option<Vec<u32>>,
    /// Pointer (`/offset`) to the reason why it was not observed.
    #[serde(default)]
    pub unobserved: BTreeMap<String, String>,
}

/// The server that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// `old` or `new`.
    pub role: Role,
    /// `15.18`
    pub version: String,
    /// `150018`
    pub version_num: u32,
    /// `pg_current_wal_lsn()` with the server's identity.
    pub position: Position,
}

/// Which of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The database before the upgrade.
    Old,
    /// The database after it.
    New,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

/// Number of rows and order-independent fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// Rows.
    pub rows: u64,
    /// See [`crate::row::Fingerprint`].
    pub fingerprint: String,
}

/// An offset as Connect stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredOffset {
    /// Its `lsn`, attributed to a history by us.
    pub position: Position,
    /// The whole answer of `GET /connectors/X/offsets`.
    pub raw: Value,
}

/// Configuration and status of a connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectorState {
    /// `GET /connectors/X/config`, secrets replaced.
    pub config: BTreeMap<String, String>,
    /// `GET /connectors/X/status`.
    pub status: Value,
}

/// First offset and the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// First offset that can be read.
    pub start: i64,
    /// The offset after the last record.
    pub end: i64,
}
