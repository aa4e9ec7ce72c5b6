//! `collected.json`: how far each partition was read, and where before ends and after begins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::drain::{Offsets, Settled};

/// The contents of `collected.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    /// Schema version.
    pub schema: String,
    /// The first offset of the after-phase; a topic that is not in it was empty at the cut.
    pub cut: Offsets,
    /// Every topic of the run.
    pub topics: BTreeMap<String, BTreeMap<i32, ReadTo>>,
    /// How delivery settled at the end; null when the last drain was not run.
    pub settled: Option<Settled>,
}

/// How far a partition was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadTo {
    /// First offset that could be read; above 0 something was deleted.
    pub start: i64,
    /// End offset when the reading began.
    pub end: i64,
    /// Offset after the last record read; below `end`, the rest is unknown.
    pub read: i64,
}

impl ReadTo {
    /// Everything ever written to the partition was read.
    pub fn complete(&self) -> bool {
        self.start == 0 && self.read >= self.end
    }
}
