//! The schema of a run directory, version 1.0: types, readers and writers.
//!
//! This is the leaf crate: the data generator and the stack write what it defines, the report
//! reads it. It opens no socket and starts no process. The layout is described in
//! `docs/artifacts.md`; unknown fields are tolerated, an unknown major version is refused.

pub mod base64;
pub mod collected;
pub mod consumed;
pub mod drain;
pub mod error;
pub mod events;
pub mod findings;
pub mod ledger;
pub mod position;
pub mod redact;
pub mod row;
pub mod run;
pub mod run_dir;
pub mod schemas;
pub mod seal;
pub mod snapshot;
pub mod summary;
pub mod time;

pub use error::{Error, Result};
pub use position::{Lsn, Position};
pub use run_dir::RunDir;

/// The version of the schema that this crate writes.
pub const SCHEMA: &str = "1.0";
