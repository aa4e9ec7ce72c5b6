//! End-to-end tests on real components. Each test types what a user types.
//!
//! They share the stack `ci`: Kafka and Connect stay warm, every rehearsal gets a fresh PostgreSQL
//! pair. `cargo xtask ci` runs them one after another and takes everything down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod held;
mod no_rebase;
mod nothing_written;
mod one_by_one;
mod side_by_side;
mod support;
