//! `recreate-slot` (original README: step 6): publication before slot, slot before writers.

use std::time::Duration;

use artifacts::row::{self, tables};
use artifacts::snapshot::Role;

use crate::cx::Cx;

/// The slot waits for every open write transaction; this is the server-side limit.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Publication, replica identities, slot.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    if cx.info.as_written {
        return super::as_written::recreate_slot(cx).await;
    }
    let names = cx.info.names.clone();
    let pg = cx.pg(Role::New).await?;
    if !cx.keeps("keep-publication") {
        pg.drop_publication(&names.publication).await?;
    }
    let made = cx.keeps("keep-publication") && pg.ensure_publication(&names.publication).await?;
    let identities = pg.replica_identity(&tables()).await?;
    for (table, columns) in &tables() {
        if identities.get(table).map(String::as_str) != Some(row::replica_identity(columns)) {
            pg.set_replica_identity(table, row::is_full(columns)).await?;
        }
    }
    cx.reach("published");
    if pg.slot_row(&names.slot).await?.is_some() {
        // Of an interrupted try. An active one is refused by the server.
        pg.drop_slot(&names.slot).await?;
        cx.note(&format!("the slot {} was there already: dropped and made anew", names.slot));
    }
    let lsn = pg.create_slot(&names.slot, TIMEOUT).await?;
    // The order of the original README: the slot first.
    let made = made || pg.ensure_publication(&names.publication).await?;
    let publication = if made { "made" } else { "kept" };
    cx.say(format!("publication {publication}, slot {} at {lsn}", names.slot));
    Ok(())
}
