//! Everything that talks to a real component: backends that run PostgreSQL, Kafka and Kafka
//! Connect, and clients that ask them questions.
//!
//! What is absent: nothing here knows a step of the procedure or decides a verdict.

mod backend;
mod command;
mod compose;
pub mod connect;
pub mod connector;
pub mod converters;
mod daemon;
pub mod doctor;
mod endpoints;
mod engine;
mod error;
mod home;
pub mod images;
pub mod kafka;
mod lock;
mod logs;
mod native;
pub mod observe;
mod options;
mod paths;
mod ports;
pub mod postgres;
mod procfs;
mod progress;
mod provision;
pub mod registry;
mod rest;
mod state;
pub mod wait;

pub use backend::Stack;
pub use compose::choose;
pub use daemon::{ExitInfo, ServiceStatus};
pub use endpoints::{Converter, Endpoints, PostgresEndpoint, RegistryEndpoint};
pub use engine::Engine;
pub use error::{Error, Result};
pub use lock::StackLock;
pub use options::{Down, Kind, Options, Parts};
pub use progress::line as say;
pub use provision::{DuckDb, Kcat, chromium, duckdb, kcat, npm};
pub use state::{Secrets, Transfer};

/// The folder that holds what was provisioned, shared by all stacks of this user.
///
/// # Errors
/// An ordinary user without a home.
pub fn cache_dir() -> Result<std::path::PathBuf> {
    Ok(paths::Paths::from_env()?.cache)
}

/// Bytes that can still be written at a path, or where it would be; none when nobody knows.
pub fn free_bytes(path: &std::path::Path) -> Option<u64> {
    provision::free_bytes(path)
}
