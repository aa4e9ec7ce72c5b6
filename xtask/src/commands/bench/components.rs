//! The components that are measured on: a stack of one's own, removed at the end with everything that works on it. One
//! that was left by `kill -9` is removed by `cargo xtask down --volumes --name bench-PID`.

use std::time::Duration;

use stack::observe::silent;
use stack::{Kind, Options, Parts, Stack};

use super::table::Row;
use super::workload;
use crate::console;
use crate::flags::Bench;

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

    /// Everything that is measured on components; nothing where they cannot be had.
    pub(super) async fn rows(&mut self, quick: bool, times: usize) -> anyhow::Result<Vec<Row>> {
        let stack = &mut self.0;
        match stack.up(MAJOR, MAJOR, Parts::default(), &silent()).await {
            Err(e) if e.is_preflight() => {
                super::skipped("the data generator", &e);
                return Ok(Vec::new());
            }
            up => up?,
        }
        // Nothing is captured here.
        stack.stop("connect", STOP).await?;
        console::say("the data generator ...");
        let changes = if quick { 10_000 } else { 50_000 };
        workload::rows(stack, &workload::Size { changes, times }).await
    }

    /// Ends and removes all of it.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.0.down(true).await?;
        Ok(())
    }
}
