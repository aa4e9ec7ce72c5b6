//! End-to-end tests on real components. Each test types what a user types.
//!
//! They share the stack `test`: Kafka and Connect stay warm, every rehearsal gets a fresh PostgreSQL
//! pair. `cargo xtask ci` runs them one after another, with state and runs in folders of its own, and
//! takes everything down. After `cargo test -p xtask --test e2e -- --test-threads=1` do it by hand:
//! `cargo xtask down --volumes --yes --name test`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod avro;
mod bad_input;
mod compose;
mod containers;
mod copied;
mod documents;
mod held;
mod interrupted;
mod monitoring;
mod no_rebase;
mod nothing_written;
mod one_by_one;
mod option_a;
mod safeguards;
mod side_by_side;
mod support;
mod zookeeper;
