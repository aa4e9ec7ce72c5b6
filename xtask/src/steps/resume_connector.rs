//! `resume-connector` (original README: step 7). Writes snapshots/at-resume.json first: what the
//! connector is about to start from.

use std::time::Duration;

use artifacts::snapshot::Role;
use stack::postgres;
use stack::wait::{self, Probe};

use crate::cx::Cx;
use crate::snapshots::{self, Pending};

const RESUME: Duration = Duration::from_secs(90);

/// Resumes; waits until the task runs and the slot is active on the new server.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let names = cx.info.names.clone();
    let connect = cx.connect()?;
    // What an interrupted try has resumed no longer shows what it started from.
    let begun = !connect.quiet().status(&names.connector).await?.stopped();
    if !begun || cx.run.snapshot("at-resume")?.is_none() {
        let snapshot = snapshots::take(cx, "at-resume", Role::New, Pending::Skip).await?;
        cx.run.write("snapshots/at-resume.json", &snapshot)?;
    }
    connect.resume(&names.connector).await?;
    cx.reach("resumed");
    let (observer, quiet, pg) = (cx.observer(), connect.quiet(), cx.pg(Role::New).await?.quiet());
    let old = if cx.keeps("repoint-connector") { None } else { Some(cx.pg(Role::Old).await?.quiet()) };
    wait::until(&*observer, "task RUNNING, slot active on the new server", RESUME, || async {
        match snapshots::task_state(&quiet, &names.connector).await {
            Probe::Ready(_) => match pg.slot_active_pid(&names.slot).await {
                Ok(Some(_)) => Probe::Ready(()),
                Ok(None) => reads_old(old.as_ref(), &names.slot).await,
                Err(e) => Probe::NotYet(e.to_string()),
            },
            Probe::NotYet(seen) => Probe::NotYet(seen),
            Probe::Never(why) => Probe::Never(why),
        }
    })
    .await?;
    cx.say("task RUNNING, slot active on the new server");
    Ok(())
}

/// A connector that was not repointed never comes to the new server.
async fn reads_old(old: Option<&postgres::Client>, slot: &str) -> Probe<()> {
    if let Some(old) = old
        && old.slot_active_pid(slot).await.is_ok_and(|pid| pid.is_some())
    {
        return Probe::Never("the task is RUNNING, and reads the slot of the old server".into());
    }
    Probe::NotYet("task RUNNING, slot inactive".into())
}
