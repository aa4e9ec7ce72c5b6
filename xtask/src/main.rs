//! `cargo xtask`: rehearses a PostgreSQL upgrade under Debezium, keeps the evidence, and decides.

mod commands;
mod console;
mod cx;
mod exit;
mod failpoint;
mod flags;
mod generator;
mod machine;
mod plan;
mod progress;
mod project;
mod recorder;
mod request;
mod runner;
mod sampler;
mod snapshots;
mod steps;
mod tidy;

fn main() -> std::process::ExitCode {
    exit::report(std::panic::catch_unwind(commands::dispatch))
}
