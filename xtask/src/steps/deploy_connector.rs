//! `deploy-connector` (original README: quick start 3 and 4). Writes connector.json into its folder.

use std::time::Duration;

use artifacts::snapshot::Role;
use stack::wait::{self, Probe};

use crate::cx::Cx;
use crate::snapshots;

const SNAPSHOT: Duration = Duration::from_secs(120);

/// Creates the connector; waits until its task runs, every seed row is in the topics and the slot
/// is active, which it is when streaming has begun.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let info = cx.info.clone();
    let names = &info.names;
    let config = snapshots::connector_config(cx, Role::Old)?;
    cx.run.write(
        &cx.folder("connector.json"),
        &artifacts::redact::Redactor::default().json(serde_json::to_value(&config)?),
    )?;
    cx.connect()?.put_config(&names.connector, &config).await?;
    let (observer, connect) = (cx.observer(), cx.connect()?.quiet());
    let (kafka, pg) = (cx.kafka()?.quiet(), cx.pg(Role::Old).await?.quiet());
    let rows = info.workload.seed_rows * names.topics.len() as u64;
    let delivered =
        wait::until(&*observer, "task RUNNING, snapshot ended, slot active", SNAPSHOT, || async {
            let task = match snapshots::task_state(&connect, &names.connector).await {
                Probe::Ready(state) => state,
                Probe::NotYet(seen) => return Probe::NotYet(seen),
                Probe::Never(why) => return Probe::Never(why),
            };
            let delivered = snapshots::records(&kafka, names).await.unwrap_or_default();
            let active = pg.slot_active_pid(&names.slot).await.is_ok_and(|pid| pid.is_some());
            if delivered >= rows && active {
                Probe::Ready(delivered)
            } else {
                Probe::NotYet(format!("{task}, {delivered} of {rows} rows, slot active: {active}"))
            }
        })
        .await?;
    cx.say(format!("{delivered} events of the snapshot, streaming"));
    Ok(())
}
