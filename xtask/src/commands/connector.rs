//! `pause-connector`, `restart-connector`, `reset-offsets`, `delete-connector`: what the REST
//! interface of Kafka Connect can do to the connector outside the procedure.

use std::cell::Cell;
use std::time::Duration;

use artifacts::snapshot::Role;
use stack::connect::{Client, State, Status};
use stack::postgres;
use stack::wait::{self, Probe};

use super::confirm::confirm;
use super::target::Target;
use crate::console;
use crate::exit::Outcome;
use crate::flags::{Destructive, Name};

const CHANGE: Duration = Duration::from_secs(30);
const RESTART: Duration = Duration::from_secs(60);

/// `PUT /pause`; waits for PAUSED.
pub(crate) async fn pause(args: &Name) -> anyhow::Result<Outcome> {
    let target = Target::change(args, "pause-connector")?;
    let (client, name) = (target.connect()?, &target.names.connector);
    client.pause(name).await?;
    let paused = |status: &Status| match &status.connector {
        State::Paused => Probe::Ready(()),
        _ => Probe::NotYet(status.to_string()),
    };
    client.wait_for(name, "connector PAUSED", CHANGE, paused).await?;
    target.done()?;
    console::say("PAUSED; its replication connection stays open: a fast shutdown of PostgreSQL may hang");
    Ok(Outcome::Done)
}

/// `PUT /resume` where it was paused or stopped, else (and where its task then fails)
/// `POST /restart?includeTasks=true`.
pub(crate) async fn restart(args: &Name) -> anyhow::Result<Outcome> {
    let target = Target::change(args, "restart-connector")?;
    let (client, name) = (target.connect()?, &target.names.connector);
    let mut said = None;
    if matches!(client.status(name).await?.connector, State::Paused | State::Stopped) {
        client.resume(name).await?;
        let resumed = |status: &Status| match status.failure() {
            Some(_) => Probe::Ready(None),
            None if status.running() => Probe::Ready(Some(format!("resumed: {status}"))),
            None => Probe::NotYet(status.to_string()),
        };
        said = client.wait_for(name, "connector and task RUNNING, or FAILED", RESTART, resumed).await?;
    }
    let said = match said {
        Some(said) => said,
        None => format!("restarted: {}", restarted(&target, &client).await?),
    };
    target.done()?;
    console::say(&said);
    Ok(Outcome::Done)
}

/// RUNNING alone proves nothing, as that is what it was before: it has to have been something else
/// meanwhile, or to stream by another process.
async fn restarted(target: &Target, client: &Client) -> anyhow::Result<String> {
    let name = &target.names.connector;
    let before = sender(target).await;
    let interrupted = Cell::new(!client.status(name).await?.running());
    client.restart(name, true, false).await?;
    let (observer, quiet) = (target.observer(), client.quiet());
    let again = wait::until(&*observer, "connector and task RUNNING again", RESTART, || async {
        let by = sender(target).await;
        match quiet.status(name).await {
            Ok(status) => {
                let other = by.is_some() && by != before;
                interrupted.set(interrupted.get() || other || !status.running());
                match status.failure() {
                    None if interrupted.get() && status.running() => Probe::Ready(status.to_string()),
                    failure => Probe::NotYet(failure.unwrap_or_else(|| status.to_string())),
                }
            }
            Err(e) => Probe::NotYet(e.to_string()),
        }
    });
    Ok(again.await?)
}

/// A server and the process of it that streams.
type Sender = (Role, String);

/// Which server streams to the connector, by which process.
async fn sender(target: &Target) -> Option<Sender> {
    for role in target.servers() {
        let pid = async { Ok::<_, anyhow::Error>(active_pid(&target.postgres(role).await?, target).await?) };
        if let Ok(Some(pid)) = pid.await {
            return Some((role, pid));
        }
    }
    None
}

async fn active_pid(server: &postgres::Client, target: &Target) -> postgres::Result<Option<String>> {
    server.quiet().slot_active_pid(&target.names.slot).await
}

/// `PUT /stop`, which has to come first, then `DELETE /offsets`; reads back that nothing is stored.
pub(crate) async fn reset_offsets(args: &Destructive) -> anyhow::Result<Outcome> {
    Target::look(&args.stack)?.connect()?;
    let consequence = "the connector will be stopped and its stored offset deleted: \
                       with snapshot.mode=initial it then reads every table again";
    if let Some(ended) = confirm(args.yes, consequence)? {
        return Ok(ended);
    }
    let target = Target::change(&args.stack, "reset-offsets")?;
    let (client, name) = (target.connect()?, &target.names.connector);
    client.stop(name).await?;
    let stopped = |status: &Status| {
        if status.stopped() { Probe::Ready(()) } else { Probe::NotYet(status.to_string()) }
    };
    client.wait_for(name, "connector STOPPED without tasks", CHANGE, stopped).await?;
    client.delete_offsets(name).await?;
    let left = client.offsets(name).await?;
    anyhow::ensure!(left.is_empty(), "Kafka Connect still stores {}", left.raw());
    target.done()?;
    console::say(&format!(
        "STOPPED, no offset is stored; cargo xtask restart-connector{} lets it start with a snapshot",
        target.option
    ));
    Ok(Outcome::Done)
}

/// `DELETE /connectors/X`.
pub(crate) async fn delete(args: &Destructive) -> anyhow::Result<Outcome> {
    Target::look(&args.stack)?.connect()?;
    let consequence =
        "the connector will be deleted; its slot stays and keeps WAL, its stored offset stays under its name";
    if let Some(ended) = confirm(args.yes, consequence)? {
        return Ok(ended);
    }
    let target = Target::change(&args.stack, "delete-connector")?;
    let name = &target.names.connector;
    let client = target.connect()?;
    let deleted = client.delete(name).await?;
    let (observer, quiet) = (target.observer(), client.quiet());
    // The worker that answers need not know yet.
    wait::until(&*observer, "no status of the connector", CHANGE, || async {
        match quiet.status(name).await {
            Err(e) if e.is_not_found() => Probe::Ready(()),
            Err(e) => Probe::NotYet(e.to_string()),
            Ok(status) => Probe::NotYet(status.to_string()),
        }
    })
    .await?;
    target.done()?;
    console::say(&if deleted { format!("{name} deleted") } else { format!("there is no connector {name}") });
    Ok(Outcome::Done)
}
