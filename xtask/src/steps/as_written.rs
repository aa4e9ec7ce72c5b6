//! `--as-written`: the snippets of the original README, literally, on the service that each names.

use anyhow::{Context, bail};
use artifacts::row::{self, tables};
use artifacts::snapshot::Role;

use crate::cx::Cx;

/// Step 5. Option a starts the new version on the files of the old one. Option b starts a new
/// instance and restores into it; the roles, which the original README does not have, are made first.
pub(super) async fn upgrade_database(cx: &mut Cx) -> anyhow::Result<()> {
    let observer = cx.observer();
    if cx.info.option == "a" {
        let started = cx.stack()?.start_on_old_files(&observer).await;
        return started
            .context("step 5 of the original README; the old server is stopped, there is no other");
    }
    cx.stack()?.replace_postgres(&observer).await?;
    super::upgrade_database::roles(cx).await?;
    let database = cx.info.names.database.clone();
    let dump = super::backup::folder(cx)?.join(format!("{database}.dump")).display().to_string();
    cx.stack()?.exec("pg_restore", Role::New, &["-d", &database, &dump], &observer).await?;
    cx.say("restored into the new instance; everything else still points at the old one");
    Ok(())
}

/// Step 6, whose statements go to the service `postgres`: the old server.
pub(super) async fn recreate_slot(cx: &mut Cx) -> anyhow::Result<()> {
    let names = cx.info.names.clone();
    let mut statements = vec![
        format!("SELECT * FROM pg_create_logical_replication_slot('{}', 'pgoutput')", names.slot),
        format!("CREATE PUBLICATION {} FOR TABLE public.orders, public.customers", names.publication),
    ];
    let full = tables().into_iter().filter(|(_, columns)| row::is_full(columns));
    statements.extend(full.map(|(table, _)| format!("ALTER TABLE {table} REPLICA IDENTITY FULL")));
    let (pg, mut failed) = (cx.pg(Role::Old).await?, Vec::new());
    for statement in statements {
        // One session of psql: it goes on after an error.
        if let Err(e) = pg.execute(&statement).await {
            failed.push(e.to_string());
        }
    }
    if !failed.is_empty() {
        bail!(
            "step 6 of the original README went to the old server, which is still the live one, while the new \
             one has the backup and no slot: {}",
            failed.join("; ")
        );
    }
    Ok(())
}
