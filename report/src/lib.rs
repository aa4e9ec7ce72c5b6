//! Verdict and report: a pure function of a run directory.
//!
//! It opens no socket, starts no process and has no async runtime: what it says can be computed
//! again from the evidence, with the stack switched off.

pub mod error;

pub use error::{Error, Result};
