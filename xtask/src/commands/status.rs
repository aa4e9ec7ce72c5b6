//! `cargo xtask status`: connector, tasks and stored offset.
//!
//! Original README: `GET /connectors/X/status` and `GET /connectors/X/offsets`.

use serde_json::json;

use super::target::Target;
use crate::console;
use crate::exit::Outcome;
use crate::flags::Look;
use crate::runner::or_none;

/// The failure of a task in a line: the causes of its stack trace.
pub(crate) async fn show(args: &Look) -> anyhow::Result<Outcome> {
    let target = Target::look(&args.stack)?;
    let (client, name) = (target.connect()?, &target.names.connector);
    let status = match client.status(name).await {
        Err(e) if e.is_not_found() => {
            anyhow::bail!("there is no connector {name} yet: make it with: cargo xtask deploy-connector")
        }
        other => other?,
    };
    let offsets = client.offsets(name).await?;
    if args.json {
        return console::json(&json!({"status": status.raw, "offsets": offsets.raw()}));
    }
    let mut rows = vec![vec!["connector".into(), name.clone(), status.connector.to_string()]];
    let tasks = status.tasks.iter().map(|t| vec!["task".to_owned(), t.id.to_string(), t.state.to_string()]);
    rows.extend(tasks);
    console::table(&["what", "name", "state"], &rows);
    if let Some(failure) = status.failure() {
        console::say(&failure);
    }
    console::data(&format!(
        "stored offset: lsn {}, lsn_proc {}, lsn_commit {}",
        or_none(offsets.lsn()),
        or_none(offsets.lsn_proc()),
        or_none(offsets.lsn_commit())
    ));
    Ok(Outcome::Done)
}
