//! `rebase-offsets`: the stored offset becomes a position of the new server.
//!
//! The whole offset is replaced by `{"lsn": N, "lsn_proc": N}`: `lsn` alone would switch off the
//! only guard that Debezium has, and a left-over `messageType` or `lsn_proc` drops changes (facts,
//! case 15).

use std::time::Duration;

use anyhow::{Context, bail};
use artifacts::Lsn;
use artifacts::snapshot::Role;
use serde_json::{Map, Value, json};
use stack::connect;
use stack::wait::{self, Probe};

use crate::cx::Cx;

const READ_BACK: Duration = Duration::from_secs(30);

/// Patches the offset to the inactive slot's confirmed_flush_lsn and reads it back.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let names = cx.info.names.clone();
    let pg = cx.pg(Role::New).await?;
    let row = pg
        .slot_row(&names.slot)
        .await?
        .with_context(|| format!("there is no slot {} on the new server", names.slot))?;
    let n = target(&row, pg.wal_lsn().await?)?;
    let connect = cx.connect()?;
    if cx.info.offsets == "reset" {
        connect.delete_offsets(&names.connector).await?;
        cx.say(format!("deleted; with snapshot.mode=no_data the connector starts at the slot, {n}"));
        return Ok(());
    }
    if connect.offsets(&names.connector).await?.incremental_snapshot() {
        bail!("an incremental snapshot is in flight, its progress would be lost: let it end first");
    }
    let partition = json!({ "server": names.prefix });
    connect.patch_offsets(&names.connector, &partition, &connect::rebased(n)).await?;
    cx.reach("patched");
    let (observer, quiet) = (cx.observer(), connect.quiet());
    wait::until(&*observer, "stored offset is the new one", READ_BACK, || async {
        match quiet.offsets(&names.connector).await {
            Ok(stored) if *stored.offset() == connect::rebased(n) => Probe::Ready(()),
            Ok(stored) => Probe::NotYet(stored.offset().to_string()),
            Err(e) => Probe::NotYet(e.to_string()),
        }
    })
    .await?;
    cx.say(format!("stored offset {n} of the new server"));
    Ok(())
}

/// `restart_lsn <= confirmed_flush_lsn <= WAL`, of a slot that nobody uses.
fn target(slot: &Map<String, Value>, wal: Lsn) -> anyhow::Result<Lsn> {
    if slot.get("active").and_then(Value::as_bool) != Some(false) {
        bail!("the slot is active: stop the connector first: cargo xtask stop-connector");
    }
    let lsn = |column: &str| -> anyhow::Result<Lsn> {
        let text =
            slot.get(column).and_then(Value::as_str).with_context(|| format!("the slot has no {column}"))?;
        text.parse().map_err(|e: String| anyhow::anyhow!("{column}: {e}"))
    };
    let (restart, confirmed) = (lsn("restart_lsn")?, lsn("confirmed_flush_lsn")?);
    if restart > confirmed || confirmed > wal {
        bail!("restart_lsn {restart} <= confirmed_flush_lsn {confirmed} <= WAL {wal} does not hold");
    }
    Ok(confirmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(active: bool, restart: &str, confirmed: &str) -> Map<String, Value> {
        let row = json!({"active": active, "restart_lsn": restart, "confirmed_flush_lsn": confirmed});
        row.as_object().unwrap().clone()
    }

    #[test]
    fn the_target_lies_between_the_slot_and_the_wal() {
        assert_eq!(target(&slot(false, "0/10", "0/20"), Lsn(0x30)).unwrap(), Lsn(0x20));
        assert!(target(&slot(true, "0/10", "0/20"), Lsn(0x30)).is_err());
        assert!(target(&slot(false, "0/21", "0/20"), Lsn(0x30)).is_err());
        assert!(target(&slot(false, "0/10", "0/31"), Lsn(0x30)).is_err());
    }
}
