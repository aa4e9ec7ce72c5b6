//! `start-generator` and `restart-generator`: the workload (original README: the Data Generator
//! service, step 8). Reads and appends the ledger.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use artifacts::ledger::Entry;
use stack::wait::{self, Probe};

use crate::cx::Cx;
use crate::generator;

const FIRST_CHANGE: Duration = Duration::from_secs(30);

/// Starts the generator and waits until its first change is acknowledged, or until it has ended
/// because it had none to make.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let (role, phase) = (cx.step.role, cx.step.phase());
    let ledger = cx.run.path("ledger.jsonl");
    let earlier = std::fs::metadata(&ledger).map(|m| m.len()).unwrap_or_default();
    generator::start(cx, role, phase).await?;
    let observer = cx.observer();
    let none_asked = cx.info.workload.changes == Some(0);
    let stack = cx.stack()?;
    wait::until(&*observer, "first change acknowledged", FIRST_CHANGE, || async {
        match acknowledged(&ledger, earlier) {
            Ok(true) => return Probe::Ready(()),
            Ok(false) => {}
            Err(e) => return Probe::NotYet(format!("{}: {e}", ledger.display())),
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

/// Whether the ledger has an acknowledged transaction behind what was there earlier.
fn acknowledged(ledger: &Path, earlier: u64) -> io::Result<bool> {
    let mut file = File::open(ledger)?;
    file.seek(SeekFrom::Start(earlier))?;
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    Ok(lines
        .filter_map(|line| serde_json::from_slice(&line).ok())
        .any(|entry| matches!(entry, Entry::Ok { .. })))
}
