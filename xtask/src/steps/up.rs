//! `up` (original README: quick start 1 and 2). Begins a run: header and seed rows of the ledger.

use std::time::Duration;

use anyhow::Context;
use artifacts::Lsn;
use artifacts::snapshot::Role;
use stack::Parts;
use stack::postgres::{AHEAD_BYTES, Roles};

use crate::cx::{Cx, Who};
use crate::{generator, request};

const ANSWER: Duration = Duration::from_secs(5);
const ADVANCE: Duration = Duration::from_secs(120);

/// Starts the stack with a fresh source database, puts its WAL where `--lsn-case` wants it,
/// prepares it and fills the tables.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let (from, to) = (cx.info.from, cx.info.to);
    let parts = Parts { zookeeper: cx.info.kafka == "zookeeper", registry: cx.info.format == "avro" };
    let observer = cx.observer();
    let building = observer.clone();
    tokio::task::spawn_blocking(move || generator::build(&*building)).await??;
    remove_connectors(cx).await;
    let stack = cx.stack()?;
    stack.up(from, to, parts, &observer).await?;
    let (generation, versions, secrets) = (stack.generation(), stack.versions(), stack.secrets().clone());
    let builds = stack.builds();
    cx.info.names = request::names(generation);
    cx.info.versions.extend(versions);
    cx.info.builds = builds;
    cx.save_info()?;
    let run = cx.run.clone();
    request::set_current(cx.stack()?, &run)?;
    cx.reach("started");
    // What Kafka Connect has kept while it was down.
    delete_all(&cx.connect()?).await?;
    let pg = cx.pg(Role::Old).await?;
    if cx.info.lsn_case != "behind" {
        let now = pg.wal_lsn().await?;
        pg.advance_wal_past(Lsn(now.0 + AHEAD_BYTES), ADVANCE).await?;
    }
    let roles = Roles {
        debezium_password: secrets.debezium.clone(),
        writer_password: secrets.app_writer.clone(),
        writer_login: true,
    };
    pg.prepare_source(&roles, &cx.info.names.publication, cx.info.audit).await?;
    seed(cx).await?;
    // As in production, the planner has statistics.
    pg.execute("ANALYZE").await?;
    let position = pg.position().await?;
    cx.say(format!("PostgreSQL, Kafka and Kafka Connect answer; source at {position}"));
    Ok(())
}

/// Takes the connectors of the rehearsal before from a Kafka Connect that answers, while their databases are there: one that
/// has lost its own looks for it for 10 s, and for as long Java remembers that it did not find it.
async fn remove_connectors(cx: &mut Cx) {
    if !cx.stack().is_ok_and(|stack| stack.generation() > 0) {
        return;
    }
    let Ok(connect) = cx.connect().map(|connect| connect.quiet()) else { return };
    // One that does not answer is made anew.
    let _ = tokio::time::timeout(ANSWER, delete_all(&connect)).await;
}

async fn delete_all(connect: &stack::connect::Client) -> anyhow::Result<()> {
    for connector in connect.connectors().await? {
        connect.delete(&connector).await?;
    }
    Ok(())
}

/// Rows that are there before the connector starts.
async fn seed(cx: &mut Cx) -> anyhow::Result<()> {
    let workload = cx.info.workload.clone();
    let ledger = cx.run.path("ledger.jsonl");
    // An earlier try has filled a database that is gone.
    if ledger.exists() {
        std::fs::remove_file(&ledger).with_context(|| format!("cannot replace {}", ledger.display()))?;
    }
    let login = cx.login(Role::Old, Who::Writer)?;
    data_generator::seed(&login.config(), &ledger, workload.seed, workload.seed_rows).await?;
    Ok(())
}
