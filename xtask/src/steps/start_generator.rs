//! `start-generator` and `restart-generator`: the workload (original README: the Data Generator
//! service, step 8). Reads and appends the ledger.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use artifacts::ledger::{Entry, Phase};
use artifacts::snapshot::Role;
use stack::wait::{self, Probe};

use crate::cx::Cx;
use crate::generator;

const OVERTAKE: Duration = Duration::from_secs(120);
const FIRST_CHANGE: Duration = Duration::from_secs(30);

/// Starts the generator and waits until its first change is acknowledged, or until it has ended
/// because it had none to make. One that an interrupted try has started goes on.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let (role, phase) = (cx.step.role, cx.step.phase());
    let ledger = cx.run.path("ledger.jsonl");
    let mut from = 0;
    if cx.stack()?.service(generator::SERVICE).is_some_and(|service| service.alive) {
        cx.note("the data generator of an earlier try goes on");
    } else {
        from = std::fs::metadata(&ledger).map(|m| m.len()).unwrap_or_default();
        generator::start(cx, role, phase).await?;
    }
    cx.reach("started");
    let observer = cx.observer();
    let none_asked = cx.info.workload.changes == Some(0);
    let stack = cx.stack()?;
    wait::until(&*observer, "first change acknowledged", FIRST_CHANGE, || async {
        match acknowledged(&ledger, from, phase) {
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
    cx.say(if none_asked { "no change to make" } else { "the first change is acknowledged" });
    if role == Role::New && cx.info.lsn_case == "overtaken" {
        overtake(cx).await?;
    }
    Ok(())
}

/// `--lsn-case overtaken`: the new server's WAL passes the offset that was stored at the cut, while
/// the workload goes on.
async fn overtake(cx: &mut Cx) -> anyhow::Result<()> {
    let cut =
        cx.run.snapshot("cut")?.and_then(|cut| cut.offset).context("no offset was stored at the cut")?;
    let pg = cx.pg(Role::New).await?;
    let before = pg.wal_lsn().await?;
    pg.advance_wal_past(cut.position.lsn, OVERTAKE).await?;
    cx.say(format!("WAL from {before} past the offset {} of the cut", cut.position.lsn));
    Ok(())
}

/// Whether the ledger has an acknowledged transaction of the phase behind what was there earlier.
fn acknowledged(ledger: &Path, from: u64, wanted: Phase) -> io::Result<bool> {
    let mut file = File::open(ledger)?;
    file.seek(SeekFrom::Start(from))?;
    let mut open = BTreeSet::new();
    for line in BufReader::new(file).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(Entry::Invoke { tx, phase, .. }) if phase == wanted => drop(open.insert(tx)),
            Ok(Entry::Ok { tx, .. }) if open.contains(&tx) => return Ok(true),
            // The last line may still be being written.
            _ => {}
        }
    }
    Ok(false)
}
