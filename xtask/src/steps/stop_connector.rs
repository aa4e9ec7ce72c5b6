//! `stop-connector` (original README: step 2, which pauses instead, as `--without stop-connector`
//! does). STOPPED alone proves nothing: Connect only persists the target state, so the offset is read again afterwards.

use std::time::Duration;

use anyhow::bail;
use artifacts::drain::Drain;
use artifacts::snapshot::Role;
use stack::connect;
use stack::wait::{self, Probe};

use crate::cx::Cx;
use crate::runner::or_none;

const STOP: Duration = Duration::from_secs(60);

/// Stops the connector; waits for STOPPED, no tasks, an inactive slot; reads the offset again.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let names = cx.info.names.clone();
    let connect = cx.connect()?;
    if !cx.keeps("stop-connector") {
        return pause(cx, &connect, &names.connector).await;
    }
    connect.stop(&names.connector).await?;
    let (observer, quiet, pg) = (cx.observer(), connect.quiet(), cx.pg(Role::Old).await?.quiet());
    wait::until(&*observer, "connector STOPPED, no tasks, slot inactive", STOP, || async {
        let status = match quiet.status(&names.connector).await {
            Ok(status) => status,
            Err(e) => return Probe::NotYet(e.to_string()),
        };
        match pg.slot_active_pid(&names.slot).await {
            Ok(None) if status.stopped() => Probe::Ready(()),
            Ok(pid) => Probe::NotYet(format!("{status}, slot active: {}", pid.is_some())),
            Err(e) => Probe::NotYet(e.to_string()),
        }
    })
    .await?;
    let stored = connect.offsets(&names.connector).await?.lsn_commit();
    if let Some(drain) = super::drain::of_phase(cx, Role::Old)? {
        check(&drain, stored)?;
    }
    cx.say(format!("STOPPED, slot inactive, stored lsn_commit {}", or_none(stored)));
    Ok(())
}

/// `PUT /pause`: the task stays, with its replication connection.
async fn pause(cx: &mut Cx, connect: &connect::Client, connector: &str) -> anyhow::Result<()> {
    connect.pause(connector).await?;
    let paused = |status: &connect::Status| {
        if status.paused() { Probe::Ready(()) } else { Probe::NotYet(status.to_string()) }
    };
    connect.wait_for(connector, "connector and task PAUSED", STOP, paused).await?;
    cx.say("PAUSED, the slot is still in use");
    Ok(())
}

/// After a proven drain the stored offset is at the marker or past it.
fn check(drain: &Drain, stored: Option<artifacts::Lsn>) -> anyhow::Result<()> {
    if stored < Some(drain.marker.lsn) {
        bail!(
            "the stored offset fell back behind the drain: lsn_commit {}, marker at {}",
            or_none(stored),
            drain.marker.lsn
        );
    }
    Ok(())
}
