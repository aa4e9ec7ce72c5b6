//! `stop-generator` and `stop-generator-again` (original README: step 3): the workload before the
//! connector. The generator writes its summary into the folder of the step that started it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use artifacts::ledger::{Entry, Reader};
use artifacts::snapshot::Role;
use stack::wait::{self, Probe};

use crate::cx::{self, Cx};
use crate::generator;
use crate::steps::Step;

/// How long the ledger may stand still while changes are still to be made.
const STANDSTILL: Duration = Duration::from_secs(60);
const DOUBT: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Transactions of a workload that outlives its connector.
const LATE: usize = 50;
const STOP: Duration = Duration::from_secs(15);

/// Waits until the generator has made its changes, or stops it when it has no end of its own.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let started = if cx.step.role == Role::Old { "start-generator" } else { "restart-generator" };
    let folder = super::find(started).map(Step::folder).unwrap_or_default();
    if !cx.run.path(&folder).exists() {
        cx.say("there is no workload to end");
        return Ok(());
    }
    if generator::goes_on(&cx.info, cx.step.phase()) {
        late(cx).await?;
    } else if cx.info.workload.changes.is_some() || cx.info.workload.duration_s.is_some() {
        finished(cx).await?;
    }
    let exit = cx.stack()?.stop(generator::SERVICE, STOP).await?;
    // Written at an orderly end only: the ledger is complete. An exit code is known to the command
    // that started the generator, which is another one when steps are typed.
    if exit.killed || !cx.run.path(format!("{folder}/summary.json")).exists() {
        bail!("the data generator did not end in order: {}", cx.stack()?.last_log_lines(generator::SERVICE));
    }
    cx.say("the workload has ended, its ledger is complete");
    Ok(())
}

/// The connector has been stopped before the writers: some changes are committed after that.
async fn late(cx: &mut Cx) -> anyhow::Result<()> {
    let observer = cx.observer();
    let ledger = cx.run.path("ledger.jsonl");
    let before = acknowledged(&ledger)?;
    wait::until(&*observer, "changes committed behind the connector's back", STANDSTILL, || {
        let now = acknowledged(&ledger);
        async move {
            match now {
                Ok(now) if now >= before + LATE => Probe::Ready(()),
                Ok(now) => Probe::NotYet(format!("{} transactions", now - before)),
                Err(e) => Probe::NotYet(e.to_string()),
            }
        }
    })
    .await?;
    Ok(())
}

/// Acknowledged transactions in the ledger.
fn acknowledged(ledger: &Path) -> artifacts::Result<usize> {
    let mut count = 0;
    for entry in Reader::open(ledger)? {
        count += usize::from(matches!(entry?.1, Entry::Ok { .. }));
    }
    Ok(count)
}

async fn finished(cx: &mut Cx) -> anyhow::Result<()> {
    let observer = cx.observer();
    let ledger = cx.run.path("ledger.jsonl");
    let size = || std::fs::metadata(&ledger).map(|m| m.len()).unwrap_or_default();
    let mut last = (size(), Instant::now());
    let role = cx.step.role;
    let stack = &*cx.stack()?;
    wait::until(&*observer, "data generator has made its changes", LONGEST, || {
        let alive = stack.service(generator::SERVICE).is_some_and(|s| s.alive);
        let now = size();
        if now != last.0 {
            last = (now, Instant::now());
        }
        let still = last.1.elapsed();
        async move {
            if !alive {
                Probe::Ready(())
            } else if let Some(why) = (still > DOUBT).then(|| cx::dead(stack, role)).flatten() {
                Probe::Never(why)
            } else if still > STANDSTILL {
                Probe::Never(format!("the ledger has not grown for {} s", still.as_secs()))
            } else {
                Probe::NotYet(format!("{now} bytes of ledger"))
            }
        }
    })
    .await?;
    Ok(())
}
