//! The components that are measured on: a stack of one's own, removed at the end with everything that works on it. One
//! that was left by `kill -9` is removed by `cargo xtask down --volumes --name bench-PID`.

use std::time::Duration;

use artifacts::snapshot::Role;
use stack::observe::silent;
use stack::{Kind, Options, Parts, Stack};

use super::table::Row;
use super::{Ground, collect, workload};
use crate::console;
use crate::flags::{Bench, BenchPart};

/// The version that the servers have; there is no second one.
const MAJOR: u32 = 15;
const STOP: Duration = Duration::from_secs(30);

pub(super) struct Components(Stack);

impl Components {
    /// Starts nothing.
    pub(super) fn of(args: &Bench) -> anyhow::Result<Self> {
        let name = format!("bench-{}", std::process::id());
        let options = Options { name, kind: Kind::Native, install: !args.no_install, standard_ports: false };
        Ok(Self(Stack::open(options)?))
    }

    /// What is measured on components; nothing where they cannot be had.
    pub(super) async fn rows(&mut self, args: &Bench, scratch: &Ground) -> anyhow::Result<Vec<Row>> {
        let [workload, collect] =
            [BenchPart::Workload, BenchPart::Collect].map(|part| part.is_wanted(args.only));
        if !workload && !collect {
            return Ok(Vec::new());
        }
        let stack = &mut self.0;
        match stack.up(MAJOR, MAJOR, Parts::default(), &silent()).await {
            Err(e) if e.is_preflight() => {
                super::skipped("collect and workload", &e);
                return Ok(Vec::new());
            }
            up => up?,
        }
        // Nothing is captured here.
        stack.stop("connect", STOP).await?;
        let mut rows = Vec::new();
        if workload {
            let changes = if args.quick { 10_000 } else { 50_000 };
            console::say(&format!("workload, {changes} changes ..."));
            rows = workload::rows(stack, changes, scratch.times).await?;
        }
        stack.stop_postgres(Role::Old).await?;
        if collect {
            // With what is told of transactions about 2,000,000 records.
            let events = if args.quick { 60_000 } else { 1_250_000 };
            console::say(&format!("collect, {events} events of rows ..."));
            rows.push(self.collect(events, args, scratch).await?);
        }
        Ok(rows)
    }

    async fn collect(&self, events: u64, args: &Bench, scratch: &Ground) -> anyhow::Result<Row> {
        let kcat = stack::kcat(!args.no_install).await.map_err(|e| super::skipped("kcat", &e)).ok();
        let ground = scratch.clone();
        let run = tokio::task::spawn_blocking(move || ground.synth(events, &[])).await??;
        let row = collect::row(&self.0, &run, kcat.as_ref(), scratch.times).await?;
        std::fs::remove_dir_all(run.root())?;
        Ok(row)
    }

    /// Ends and removes all of it.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.0.down(true).await?;
        Ok(())
    }
}
