//! `cargo xtask status`: connector, tasks and stored offset.
//!
//! Original README: `GET /connectors/X/status` and `GET /connectors/X/offsets`.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use stack::connect::{Client, Offsets};

use super::target::Target;
use crate::console;
use crate::exit::Outcome;
use crate::flags::Look;
use crate::runner::or_none;

/// Reading the stored offset takes Connect to Kafka.
const PATIENCE: Duration = Duration::from_secs(5);

/// With the failure of a task in a line: the causes of its stack trace.
pub(crate) async fn show(args: &Look) -> anyhow::Result<Outcome> {
    let target = Target::look(&args.stack)?;
    let (client, name) = (target.worker()?, &target.names.connector);
    let status = match client.status(name).await {
        Err(e) if e.is_not_found() => {
            let option = &target.option;
            anyhow::bail!(
                "there is no connector {name} yet: make it with: cargo xtask deploy-connector{option}"
            )
        }
        other => other?,
    };
    let offsets = offsets(&target, &client).await;
    if args.json {
        let offsets = offsets.as_ref().map(|offsets| offsets.raw()).ok();
        return console::json(&json!({"status": status.raw, "offsets": offsets}));
    }
    let mut rows = vec![vec!["connector".into(), name.clone(), status.connector.to_string()]];
    let tasks = status.tasks.iter().map(|t| vec!["task".to_owned(), t.id.to_string(), t.state.to_string()]);
    rows.extend(tasks);
    console::table(&["what", "name", "state"], &rows);
    if let Some(failure) = status.failure() {
        console::say(&failure);
    }
    match offsets {
        Ok(offsets) => console::data(&format!(
            "stored offset: lsn {}, lsn_proc {}, lsn_commit {}",
            or_none(offsets.lsn()),
            or_none(offsets.lsn_proc()),
            or_none(offsets.lsn_commit())
        )),
        Err(e) => console::warn(&format!("these states may be old, the stored offset cannot be read: {e:#}")),
    }
    Ok(Outcome::Done)
}

async fn offsets(target: &Target, client: &Client) -> anyhow::Result<Offsets> {
    target.require("kafka")?;
    let answer = tokio::time::timeout(PATIENCE, client.offsets(&target.names.connector)).await;
    Ok(answer.with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))??)
}
