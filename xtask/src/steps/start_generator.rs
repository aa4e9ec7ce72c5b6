//! `start-generator` and `restart-generator`: the workload (original README: the Data Generator
//! service, step 8). Reads and appends the ledger.

use std::time::Duration;

use artifacts::ledger::{Entry, Phase, Reader};
use stack::wait::{self, Probe};

use crate::cx::Cx;
use crate::generator;

const FIRST_CHANGE: Duration = Duration::from_secs(30);

/// Starts the generator and waits until its first change is acknowledged, or until it has ended
/// because it had none to make.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let (role, phase) = (cx.step.role, cx.step.phase());
    generator::start(cx, role, phase).await?;
    let observer = cx.observer();
    let ledger = cx.run.path("ledger.jsonl");
    let none_asked = cx.info.workload.changes == Some(0);
    let stack = cx.stack()?;
    wait::until(&*observer, "first change acknowledged", FIRST_CHANGE, || async {
        if acknowledged(&ledger, phase) {
            return Probe::Ready(());
        }
        match stack.service(generator::SERVICE) {
            Some(service) if service.alive => Probe::NotYet("no acknowledged change in the ledger".into()),
            _ if none_asked => Probe::Ready(()),
            _ => Probe::Never(format!("it has ended: {}", stack.last_log_lines(generator::SERVICE))),
        }
    })
    .await?;
    Ok(())
}

/// Whether a transaction of the phase was acknowledged.
fn acknowledged(ledger: &std::path::Path, wanted: Phase) -> bool {
    let Ok(reader) = Reader::open(ledger) else { return false };
    let mut of_phase = std::collections::BTreeSet::new();
    for (_, entry) in reader.map_while(Result::ok) {
        match entry {
            Entry::Invoke { tx, phase, .. } if phase == wanted => {
                of_phase.insert(tx);
            }
            Entry::Ok { tx, .. } if of_phase.contains(&tx) => return true,
            Entry::Ok { tx, .. } | Entry::Fail { tx, .. } | Entry::Info { tx, .. } => {
                of_phase.remove(&tx);
            }
            _ => {}
        }
    }
    false
}
