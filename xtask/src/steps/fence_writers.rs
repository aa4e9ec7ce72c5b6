//! `fence-writers` and `fence-again`: nobody can commit any more. "The generator has stopped" is not
//! "writers have stopped": a backend whose client is dead may still commit (facts, case 14).
//! Appends `settled` entries to the ledger.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use artifacts::ledger::{Change, Entry, Fate, Phase, Reader, Writer};
use artifacts::snapshot::Role;
use stack::postgres::{self, WRITER_ROLE, XactStatus};

use crate::cx::{Cx, Who};

/// How long a transaction of somebody else may keep its id.
const FENCE: Duration = Duration::from_secs(60);

/// Fences, then settles every unknown fate.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let role = cx.step.role;
    let pg = cx.pg(role).await?;
    let ended = pg.fence(WRITER_ROLE, FENCE).await?.terminated;
    cx.reach("fenced");
    let path = cx.run.path("ledger.jsonl");
    let unknown = unknown_fates(&path, cx.step.phase())?;
    let (mut settled, open) = (0, unknown.len());
    if open > 0 {
        let mut ledger = Writer::open(&path, cx.info.workload.seed, artifacts::row::tables())?;
        let rows = connect(&cx.login(role, Who::Superuser)?).await?;
        for (tx, open) in unknown {
            let Some((fate, by)) = settle(&pg, &rows, role, &tx, &open).await? else {
                cx.note(&format!("the {role} server no longer knows the fate of transaction {tx}"));
                continue;
            };
            ledger.write(&Entry::Settled { tx, fate, by })?;
            settled += 1;
        }
    }
    cx.say(format!("{ended} backends ended, {settled} of {open} unknown fates settled"));
    Ok(())
}

/// A transaction whose fate is not in the ledger.
#[derive(Debug, Default, PartialEq)]
struct Open {
    changes: Vec<Change>,
    /// None: it never got as far as sending COMMIT.
    returned: Option<Returned>,
}

#[derive(Debug, PartialEq)]
struct Returned {
    xid: String,
    keys: Vec<Option<i64>>,
    counts: Vec<u32>,
}

/// A transaction without `returned` never sent COMMIT. For any other the server knows, but after a
/// crash it may have given the id to another transaction: its rows have to be there as well. None:
/// the server has forgotten; such a transaction is all-or-none and never a finding.
async fn settle(
    pg: &postgres::Client,
    rows: &tokio_postgres::Client,
    role: Role,
    tx: &str,
    open: &Open,
) -> anyhow::Result<Option<(Fate, String)>> {
    let Some(Returned { xid, keys, counts }) = &open.returned else {
        return Ok(Some((Fate::Fail, "COMMIT was never sent".into())));
    };
    let by = format!("pg_xact_status({xid}) on the {role} server");
    Ok(Some(match pg.xact_status(xid).await? {
        XactStatus::Committed if data_generator::left_its_rows(rows, &open.changes, keys, counts).await? => {
            (Fate::Ok, format!("{by}, and its rows"))
        }
        XactStatus::Committed => {
            (Fate::Fail, format!("{by} is of another transaction: its rows are not there"))
        }
        XactStatus::Aborted => (Fate::Fail, by),
        XactStatus::InProgress => bail!("transaction {tx} (xid {xid}) is still in progress behind the fence"),
        XactStatus::Unknown => return Ok(None),
    }))
}

/// A plain connection, for the generator's own questions.
async fn connect(login: &postgres::Login) -> anyhow::Result<tokio_postgres::Client> {
    let (client, connection) = login.config().connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Transactions of the phase without a known fate.
fn unknown_fates(ledger: &Path, wanted: Phase) -> anyhow::Result<BTreeMap<String, Open>> {
    let mut open = BTreeMap::new();
    for entry in Reader::open(ledger)? {
        match entry?.1 {
            Entry::Invoke { tx, phase, changes, .. } if phase == wanted => {
                open.insert(tx, Open { changes, returned: None });
            }
            Entry::Returned { tx, xid, keys, counts, .. } => {
                if let Some(open) = open.get_mut(&tx) {
                    open.returned = Some(Returned { xid, keys, counts });
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
        let xids: Vec<_> =
            open.iter().map(|(tx, o)| (tx.as_str(), o.returned.as_ref().map(|r| r.xid.as_str()))).collect();
        assert_eq!(xids, [("a", None), ("b", Some("7b"))]);
        assert!(unknown_fates(&path, Phase::After).unwrap().is_empty());
    }
}
