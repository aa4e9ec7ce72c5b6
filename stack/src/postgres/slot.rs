//! Logical replication slots.

use std::time::Duration;

use artifacts::{Lsn, Position};
use serde_json::{Map, Value};

use super::{Client, Error, Result, literal};

/// SQLSTATE of a statement that ran into `statement_timeout`.
const QUERY_CANCELED: &str = "57014";

impl Client {
    /// The row of `pg_replication_slots`, every column the server has; none: no such slot.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn slot_row(&self, slot: &str) -> Result<Option<Map<String, Value>>> {
        let query = format!("SELECT * FROM pg_replication_slots WHERE slot_name = {}", literal(slot));
        Ok(self.json(&query).await?.into_iter().next())
    }

    /// All rows of `pg_replication_slots`.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn slots(&self) -> Result<Vec<Map<String, Value>>> {
        self.json("SELECT * FROM pg_replication_slots ORDER BY slot_name").await
    }

    /// The process that streams from a slot; none when it is inactive.
    ///
    /// # Errors
    /// As [`Client::execute`]; there is no such slot.
    pub async fn slot_active_pid(&self, slot: &str) -> Result<Option<String>> {
        let query = format!(
            "SELECT active, active_pid FROM pg_replication_slots WHERE slot_name = {}",
            literal(slot)
        );
        let no_slot = || Error::NoSlot { slot: slot.into(), role: self.role() };
        let row = self.rows(&query).await?.into_iter().next().ok_or_else(no_slot)?;
        Ok(row.into_iter().nth(1).flatten())
    }

    /// Makes a slot for pgoutput and returns its consistent point.
    ///
    /// It waits for every open write transaction. When `timeout` passes first, nothing is left
    /// behind and the error names who blocks.
    ///
    /// # Errors
    /// As [`Client::execute`]; the slot exists; [`Error::SlotBlocked`].
    pub async fn create_slot(&self, slot: &str, timeout: Duration) -> Result<Position> {
        self.execute(&format!("SET statement_timeout = {}", timeout.as_millis())).await?;
        let statement =
            format!("SELECT lsn FROM pg_create_logical_replication_slot({}, 'pgoutput')", literal(slot));
        let made = self.parsed::<Lsn>(&statement).await;
        self.execute("RESET statement_timeout").await?;
        match made {
            Ok(lsn) => self.attribute(lsn).await,
            Err(e) if e.sqlstate() == Some(QUERY_CANCELED) => Err(self.blocked(slot, timeout).await?),
            Err(e) => Err(e),
        }
    }

    async fn blocked(&self, slot: &str, timeout: Duration) -> Result<Error> {
        let blockers = match self.open_writes().await? {
            list if list.is_empty() => "transactions that have ended since".to_owned(),
            list => list.join("; "),
        };
        let left = if self.slot_row(slot).await?.is_some() {
            self.drop_slot(slot).await?;
            "the slot that the server had left behind was dropped"
        } else {
            "no slot was left behind"
        };
        Ok(Error::SlotBlocked { slot: slot.into(), timeout, blockers, left: left.into() })
    }

    /// Drops a slot; false when there was none.
    ///
    /// # Errors
    /// As [`Client::execute`]; the slot is in use.
    pub async fn drop_slot(&self, slot: &str) -> Result<bool> {
        if self.slot_row(slot).await?.is_none() {
            return Ok(false);
        }
        if let Some(pid) = self.slot_active_pid(slot).await? {
            return Err(Error::SlotActive { slot: slot.into(), pid });
        }
        self.execute(&format!("SELECT pg_drop_replication_slot({})", literal(slot))).await?;
        Ok(true)
    }

    /// Rows that an inactive slot has yet to deliver, as pgoutput protocol 1 counts them: begin,
    /// change and commit each count, logical messages do not; only what lies behind a position.
    ///
    /// # Errors
    /// As [`Client::execute`]; the slot is in use.
    pub async fn peek_count(&self, slot: &str, publication: &str, behind: Lsn) -> Result<u64> {
        if let Some(pid) = self.slot_active_pid(slot).await? {
            return Err(Error::SlotActive { slot: slot.into(), pid });
        }
        let rows = peek(slot, publication);
        self.parsed(&format!("SELECT count(*) FROM {rows} WHERE lsn > {}", literal(&behind.to_string())))
            .await
    }

    /// Confirms everything up to now, if the slot has nothing to deliver: what is left then are commits
    /// without changes of published tables. Returns where it stands; none when it has changes to deliver.
    ///
    /// # Errors
    /// As [`Client::peek_count`].
    pub async fn advance_empty_slot(&self, slot: &str, publication: &str) -> Result<Option<Lsn>> {
        if self.peek_count(slot, publication, Lsn(0)).await? > 0 {
            return Ok(None);
        }
        let advance = format!("pg_replication_slot_advance({}, pg_current_wal_lsn())", literal(slot));
        self.parsed(&format!("SELECT end_lsn FROM {advance}")).await.map(Some)
    }

    /// Ids (low 32 bits, ascending) of the transactions that a slot has yet to confirm. It works
    /// on an active slot: a temporary copy is peeked at and dropped.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn pending_xids(&self, slot: &str, publication: &str) -> Result<Vec<u32>> {
        let copy = format!("peek_{}", self.parsed::<u32>("SELECT pg_backend_pid()").await?);
        let (from, to) = (literal(slot), literal(&copy));
        self.execute(&format!("SELECT pg_copy_logical_replication_slot({from}, {to}, true, 'pgoutput')"))
            .await?;
        let query = format!(
            "SELECT DISTINCT xid::text::bigint FROM {} WHERE xid <> '0' ORDER BY 1",
            peek(&copy, publication)
        );
        let rows = self.rows(&query).await;
        self.execute(&format!("SELECT pg_drop_replication_slot({to})")).await?;
        let parse = |row: &Vec<Option<String>>| row.first()?.as_deref()?.parse().ok();
        rows?
            .iter()
            .map(|row| parse(row).ok_or_else(|| self.unexpected(&query, &format!("{row:?}"))))
            .collect()
    }
}

fn peek(slot: &str, publication: &str) -> String {
    format!(
        "pg_logical_slot_peek_binary_changes({}, NULL, NULL, 'proto_version', '1', 'publication_names', {})",
        literal(slot),
        // A list of identifiers: quoted, so that case and commas survive.
        literal(&super::identifier(publication))
    )
}
