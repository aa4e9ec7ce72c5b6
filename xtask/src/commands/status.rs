//! `cargo xtask status` and `cargo xtask pause-connector`.

use std::time::Duration;

use anyhow::Context;
use artifacts::RunDir;
use artifacts::run::Run;
use stack::connect::State;
use stack::observe::{self, Silent};
use stack::wait::{self, Probe};
use stack::{Stack, StackLock, connect};

use super::open_stack;
use crate::exit::Outcome;
use crate::flags::StackArgs;
use crate::{console, request};

const PAUSE: Duration = Duration::from_secs(30);

/// State of the connector and of each task; the first line of the trace of a failed one.
pub(crate) async fn show(args: &StackArgs) -> anyhow::Result<Outcome> {
    let (client, info) = open(args)?;
    let status = client.status(&info.names.connector).await?;
    console::data(&format!("{}  {}", info.names.connector, status.connector));
    for task in &status.tasks {
        let trace = task.trace.as_deref().and_then(|t| t.lines().next()).unwrap_or_default();
        console::data(&format!("task {}  {}  {trace}", task.id, task.state));
    }
    Ok(Outcome::Done)
}

/// `PUT /pause`; waits for PAUSED.
pub(crate) async fn pause(args: &StackArgs) -> anyhow::Result<Outcome> {
    let _lock = StackLock::acquire(&args.name, false)?;
    let (client, info) = open(args)?;
    let name = &info.names.connector;
    client.pause(name).await?;
    wait::until(&Silent, "connector PAUSED", PAUSE, || async {
        match client.status(name).await {
            Ok(status) if status.connector == State::Paused => Probe::Ready(()),
            Ok(status) => Probe::NotYet(status.to_string()),
            Err(e) => Probe::NotYet(e.to_string()),
        }
    })
    .await?;
    console::say("PAUSED; its replication connection stays open: a fast shutdown of PostgreSQL may hang");
    Ok(Outcome::Done)
}

fn open(args: &StackArgs) -> anyhow::Result<(connect::Client, Run)> {
    let stack: Stack = open_stack(args)?;
    let run = request::current(&stack);
    let run = run.with_context(|| format!("the stack '{}' has no run: cargo xtask up", args.name))?;
    let info = RunDir::open(&run)?.run()?;
    Ok((connect::Client::new(&stack.endpoints().connect, observe::silent())?, info))
}
