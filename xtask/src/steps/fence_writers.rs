//! `fence-writers` and `fence-again`: nobody can commit any more. "The generator has stopped" is not
//! "writers have stopped": a backend whose client is dead may still commit (facts, case 14).
//! Appends `settled` entries to the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use artifacts::ledger::{Entry, Fate, Reader, Writer};
use artifacts::snapshot::Role;
use stack::postgres::{self, WRITER_ROLE, XactStatus};

use crate::cx::Cx;

/// How long a transaction of somebody else may keep its id.
const FENCE: Duration = Duration::from_secs(60);

/// Fences, then settles every unknown fate.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let role = cx.step.role;
    let pg = cx.pg(role).await?;
    let ended = pg.fence(WRITER_ROLE, FENCE).await?.terminated;
    let unknown = unknown_fates(&cx.run.ledger(), cx.step.phase())?;
    let mut ledger = Writer::open(&cx.run.ledger(), cx.info.workload.seed, artifacts::row::tables())?;
    let settled = unknown.len();
    for (tx, xid) in unknown {
        let (fate, by) = settle(&pg, role, &tx, xid).await?;
        ledger.write(&Entry::Settled { tx, fate, by })?;
    }
    cx.say(format!("{ended} backends ended, {settled} unknown fates settled"));
    Ok(())
}

/// A transaction without `returned` never sent COMMIT; for any other the server knows.
async fn settle(
    pg: &postgres::Client,
    role: Role,
    tx: &str,
    xid: Option<String>,
) -> anyhow::Result<(Fate, String)> {
    let Some(xid) = xid else { return Ok((Fate::Fail, "COMMIT was never sent".into())) };
    match pg.xact_status(&xid).await? {
        XactStatus::Committed => Ok((Fate::Ok, format!("pg_xact_status({xid}) on the {role} server"))),
        XactStatus::Aborted => Ok((Fate::Fail, format!("pg_xact_status({xid}) on the {role} server"))),
        XactStatus::InProgress => bail!("transaction {tx} (xid {xid}) is still in progress behind the fence"),
        XactStatus::Unknown => {
            bail!("the {role} server no longer knows the fate of transaction {tx} (xid {xid})")
        }
    }
}

/// Transactions of the phase without a known fate, with their id when COMMIT may have been sent.
fn unknown_fates(
    ledger: &std::path::Path,
    wanted: artifacts::ledger::Phase,
) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let mut open = BTreeMap::new();
    for entry in Reader::open(ledger)? {
        match entry?.1 {
            Entry::Invoke { tx, phase, .. } if phase == wanted => {
                open.insert(tx, None);
            }
            Entry::Returned { tx, xid, .. } => {
                if let Some(known) = open.get_mut(&tx) {
                    *known = Some(xid);
                }
            }
            Entry::Ok { tx, .. } | Entry::Fail { tx, .. } | Entry::Settled { tx, .. } => {
                open.remove(&tx);
            }
            _ => {}
        }
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::ledger::Phase;
    use artifacts::row::tables;

    #[test]
    fn only_what_may_have_been_committed_needs_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let mut ledger = Writer::open(&path, 1, tables()).unwrap();
        let t = artifacts::time::now();
        for tx in ["a", "b", "c"] {
            let entry =
                Entry::Invoke { tx: tx.into(), t, phase: Phase::Before, lsn_floor: None, changes: vec![] };
            ledger.write(&entry).unwrap();
        }
        for tx in ["b", "c"] {
            let returned = Entry::Returned {
                tx: tx.into(),
                xid: format!("7{tx}"),
                keys: vec![],
                counts: vec![],
                rows: vec![],
            };
            ledger.write(&returned).unwrap();
        }
        ledger.write(&Entry::Ok { tx: "c".into(), t }).unwrap();
        ledger.write(&Entry::Info { tx: "b".into(), t, error: "x".into() }).unwrap();
        let open = unknown_fates(&path, Phase::Before).unwrap();
        assert_eq!(open, BTreeMap::from([("a".into(), None), ("b".into(), Some("7b".into()))]));
        assert!(unknown_fates(&path, Phase::After).unwrap().is_empty());
    }
}
