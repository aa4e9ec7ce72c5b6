//! Verdict and report: a pure function of a run directory.
//!
//! It opens no socket, starts no process and has no async runtime: what it says can be computed
//! again from the evidence, with the stack switched off.

pub mod avro;
pub mod checks;
mod compare;
mod curves;
pub mod error;
mod input;
mod junit;
mod listed;
pub mod markdown;
mod parallel;
pub mod render;
pub mod self_test;
pub mod synth;
mod text;
pub mod verify;
mod views;
mod witnesses;

pub use compare::{compare, index};
pub use error::{Error, Result};
pub use render::{Rendered, render};
pub use self_test::self_test;
pub use verify::{Options, verify};
