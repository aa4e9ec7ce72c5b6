//! `steps/NN-start-generator/summary.json` and `steps/NN-restart-generator/summary.json`: what the
//! data generator counted, independently of the ledger. The generator writes more fields; these are
//! the ones that the verdict holds against the ledger.

use serde::{Deserialize, Serialize};

use crate::ledger::Phase;

/// What the data generator did in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Phase of the rehearsal.
    pub phase: Phase,
    /// Changes that were committed and touched a row.
    pub acknowledged: Changes,
    /// Transactions.
    pub transactions: Transactions,
}

/// Changes per operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Inserts.
    pub insert: u64,
    /// Updates.
    pub update: u64,
    /// Deletes.
    pub delete: u64,
}

impl Changes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.insert + self.update + self.delete
    }
}

/// Transactions per fate: lines `ok`, `fail` and `info` of the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transactions {
    /// Committed.
    pub acknowledged: u64,
    /// Nothing of them exists.
    pub refused: u64,
    /// Nobody knew when the generator ended; the fence may have settled them since.
    pub unknown: u64,
}
