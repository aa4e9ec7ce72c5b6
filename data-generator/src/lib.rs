//! The workload, and the ledger of what it did.
//!
//! [`seed`] fills empty tables before the connector starts; [`Job::run`] then inserts, updates and
//! deletes rows until it has made enough changes or is stopped, and writes every transaction to the
//! ledger before it is sent and again when its fate is known. [`State::read`] folds a ledger back
//! into what a later run needs to go on.
//!
//! Rules: one client owns a key (orders belong to the client that owns their customer), keys are
//! never reused, every write raises `ver` by one and carries a fresh `change_id`, and a key whose
//! last transaction has an unknown fate is never touched again. The same seed takes the same
//! decisions as long as the server gives the same answers.

mod client;
mod content;
mod error;
mod fault;
mod ledger;
mod pace;
mod plan;
mod pool;
mod rows;
mod run;
mod seed;
mod session;
mod settle;
mod state;
mod statements;
mod stop;
mod tally;

pub use artifacts::ledger::Phase;
pub use artifacts::run::{Mix, Workload};
pub use error::Error;
pub use run::Job;
pub use seed::seed;
pub use settle::left_its_rows;
pub use state::{State, seed_of};
pub use statements::statements;
pub use stop::{Level, Stop};
pub use tally::{Counts, Ended, Fates, Quantiles, Summary, Tally};
