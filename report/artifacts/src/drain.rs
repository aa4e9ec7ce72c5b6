//! `steps/NN-drain/drain.json` and `steps/NN-drain-again/drain.json`: what the drain proved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::position::{Lsn, Position};

/// Topic to partition to offset.
pub type Offsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// The result of a drain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// The random text in the marker.
    pub nonce: String,
    /// Where `pg_logical_emit_message` put the marker.
    pub marker: Position,
    /// The last `lsn_commit` seen in the stored offset.
    pub stored_lsn_commit: Option<Lsn>,
    /// Where the marker arrived: topic, partition, offset.
    pub arrived: Option<(String, i32, i64)>,
    /// How delivery settled.
    pub settled: Settled,
    /// End offset of every topic afterwards; after the first drain, the cut.
    pub ends: Offsets,
}

/// Whether anything can still arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Settled {
    /// The marker arrived: everything before it was delivered or dropped on purpose.
    Marker,
    /// Nothing moved for 10 s while the task is failed or the slot idle.
    Idle,
    /// Something was still moving at the deadline.
    No,
}
