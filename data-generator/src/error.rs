//! Why the workload could not be done.

use std::path::PathBuf;

/// An error of this crate. A lost connection is none: the workload waits for it to come back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger cannot be opened or read.
    #[error(transparent)]
    Ledger(#[from] artifacts::Error),
    /// The ledger cannot be written (a full disk). Nothing is sent after that.
    #[error("{0}; nothing more was sent")]
    Unwritten(artifacts::Error),
    /// The ledger was begun with another seed.
    #[error("{} was begun with seed {found}, not {asked}: leave --seed out or name another --ledger", path.display())]
    OtherSeed {
        /// The ledger.
        path: PathBuf,
        /// Its seed.
        found: u64,
        /// The seed asked for.
        asked: u64,
    },
    /// Another process writes the same ledger.
    #[error("another data generator writes {}: stop it or name another --ledger", .0.display())]
    Busy(PathBuf),
    /// [`crate::seed`] begins a ledger; this one has begun.
    #[error("cannot seed: {} has begun already; name a new ledger", .0.display())]
    Begun(PathBuf),
    /// [`crate::seed`] fills empty tables.
    #[error("cannot seed: {table} on {server} holds rows that no ledger knows; empty it first")]
    NotEmpty {
        /// The table.
        table: &'static str,
        /// `host:port/database`
        server: String,
    },
    /// The server did not do what must be done before the workload begins.
    #[error("cannot {action} on {server}: {cause}")]
    Server {
        /// What was tried.
        action: &'static str,
        /// `host:port/database`
        server: String,
        /// Message and SQLSTATE.
        cause: String,
    },
    /// Every transaction is refused.
    #[error("{count} transactions in a row were refused, the last one: {cause}")]
    Refused {
        /// How many.
        count: u32,
        /// Message and SQLSTATE of the last one.
        cause: String,
    },
    /// A client ended by a panic.
    #[error("a client of the workload died: {0}")]
    Client(#[from] tokio::task::JoinError),
}
