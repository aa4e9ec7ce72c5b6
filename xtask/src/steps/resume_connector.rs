//! `resume-connector` (original README: step 7). Writes snapshots/at-resume.json first: what the
//! connector is about to start from.

use std::time::Duration;

use artifacts::snapshot::Role;
use stack::wait::{self, Probe};

use crate::cx::Cx;
use crate::snapshots::{self, Pending};

const RESUME: Duration = Duration::from_secs(90);

/// Resumes; waits until the task runs and the slot is active on the new server.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let names = cx.info.names.clone();
    let snapshot = snapshots::take(cx, "at-resume", Role::New, Pending::Skip).await?;
    cx.run.write("snapshots/at-resume.json", &snapshot)?;
    let connect = cx.connect()?;
    connect.resume(&names.connector).await?;
    let (observer, quiet, pg) = (cx.observer(), connect.quiet(), cx.pg(Role::New).await?.quiet());
    wait::until(&*observer, "task RUNNING, slot active on the new server", RESUME, || async {
        match snapshots::task_state(&quiet, &names.connector).await {
            Probe::Ready(_) => match pg.slot_active_pid(&names.slot).await {
                Ok(Some(_)) => Probe::Ready(()),
                Ok(None) => Probe::NotYet("task RUNNING, slot inactive".into()),
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
