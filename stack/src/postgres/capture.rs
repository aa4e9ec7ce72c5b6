//! What a snapshot captures of a database.

use std::collections::BTreeMap;

use artifacts::Lsn;
use artifacts::row::{self, Column, Digest, Tables};
use artifacts::snapshot::TableState;
use serde_json::Value;

use super::{Client, Result, literal, qualified};

/// Rows per FETCH while a table is streamed.
const FETCH: usize = 10_000;

/// Settings that matter to logical replication; a server leaves out those it does not have.
const SETTINGS: [&str; 18] = [
    "data_checksums",
    "default_transaction_read_only",
    "hot_standby_feedback",
    "idle_replication_slot_timeout",
    "logical_decoding_work_mem",
    "max_connections",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_wal_senders",
    "max_wal_size",
    "output_plugin_libraries",
    "password_encryption",
    "server_encoding",
    "synchronous_commit",
    "wal_level",
    "wal_segment_size",
    "wal_sender_timeout",
    "TimeZone",
];

/// Positions for the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// `pg_current_wal_lsn()`.
    pub wal_lsn: Lsn,
    /// The slot's; null without a slot.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// WAL kept for the slot (from its restart_lsn), in bytes.
    pub retained_bytes: Option<u64>,
}

impl Client {
    /// The publication as `{name, tables:[..], insert, update, delete, truncate}`; none: no such
    /// publication.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn publication(&self, name: &str) -> Result<Option<Value>> {
        let query = format!(
            "SELECT pubname AS name, pubinsert AS insert, pubupdate AS update, pubdelete AS delete, \
             pubtruncate AS truncate, ARRAY(SELECT schemaname || '.' || tablename FROM pg_publication_tables t \
             WHERE t.pubname = p.pubname ORDER BY 1) AS tables FROM pg_publication p WHERE pubname = {}",
            literal(name)
        );
        Ok(self.json(&query).await?.into_iter().next().map(Value::Object))
    }

    /// Table to `relreplident`: d default, f full, i index, n nothing. A table that does not exist
    /// is left out.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn replica_identity(&self, tables: &Tables) -> Result<BTreeMap<String, String>> {
        let names: Vec<String> = tables.keys().map(|name| literal(name)).collect();
        let query = format!(
            "SELECT n.nspname || '.' || c.relname, c.relreplident FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname || '.' || c.relname IN ({}) AND c.relkind IN ('r', 'p')",
            names.join(", ")
        );
        self.map(&query).await
    }

    /// Rows and fingerprint of each table; one that does not exist is left out.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn tables(&self, tables: &Tables) -> Result<BTreeMap<String, TableState>> {
        let mut states = BTreeMap::new();
        for (name, columns) in tables {
            let exists = format!("SELECT to_regclass({})", literal(&qualified(name)));
            if self.value(&exists).await?.is_none() {
                continue;
            }
            let query = row::fingerprint_sql(&qualified(name), columns);
            let mut rows = self.rows(&query).await?.into_iter().flatten();
            let (count, fingerprint) = (rows.next().flatten(), rows.next().flatten());
            let state = count.as_deref().and_then(|n| n.parse().ok()).zip(fingerprint);
            let (rows, fingerprint) = state.ok_or_else(|| self.unexpected(&query, "no count"))?;
            states.insert(name.clone(), TableState { rows, fingerprint });
        }
        Ok(states)
    }

    /// Hands every row's primary key (`id`), digest and [`row::column_digests_sql`] to `each`, ordered by
    /// key, of one moment.
    /// At most [`FETCH`] rows are in memory.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn row_digests(
        &self,
        table: &str,
        columns: &[Column],
        each: impl FnMut(i64, Digest, &str),
    ) -> Result<()> {
        let open = format!(
            "BEGIN READ ONLY; DECLARE rows NO SCROLL CURSOR FOR SELECT id, {}, {} FROM {} ORDER BY id",
            row::digest_sql(columns),
            row::column_digests_sql(columns),
            qualified(table)
        );
        self.execute(&open).await?;
        let read = self.fetch_digests(each).await;
        self.execute(if read.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        read
    }

    async fn fetch_digests(&self, mut each: impl FnMut(i64, Digest, &str)) -> Result<()> {
        let fetch = format!("FETCH {FETCH} FROM rows");
        loop {
            let rows = self.rows(&fetch).await?;
            for row in &rows {
                let text = |i: usize| row.get(i).and_then(Option::as_deref);
                let key = text(0).and_then(|id| id.parse().ok());
                let digest = text(1).and_then(|d| Digest::try_from(d.to_owned()).ok());
                let (key, digest) =
                    key.zip(digest).ok_or_else(|| self.unexpected(&fetch, &format!("{row:?}")))?;
                each(key, digest, text(2).unwrap_or_default());
            }
            if rows.len() < FETCH {
                return Ok(());
            }
        }
    }

    /// Sequence (`public.orders_id_seq`) to `last_value`; 0 when it was never used. Sequences of
    /// system schemas and of the audit are left out.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn sequences(&self) -> Result<BTreeMap<String, i64>> {
        let query = "SELECT schemaname || '.' || sequencename, coalesce(last_value, 0) FROM pg_sequences \
                     WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'audit')";
        let map = self.map(query).await?;
        map.into_iter()
            .map(|(name, value)| Ok((name, value.parse().map_err(|_| self.unexpected(query, &value))?)))
            .collect()
    }

    /// Role to its attributes (`login replication`) and memberships, without passwords; roles of
    /// the server itself (`pg_...`) are left out.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn roles(&self) -> Result<BTreeMap<String, String>> {
        self.map(
            "SELECT rolname, concat_ws(' ', CASE WHEN rolsuper THEN 'superuser' END, \
             CASE WHEN rolinherit THEN 'inherit' END, CASE WHEN rolcreaterole THEN 'createrole' END, \
             CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolcanlogin THEN 'login' END, \
             CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypassrls' END, \
             CASE WHEN rolconnlimit >= 0 THEN 'connection limit ' || rolconnlimit END, \
             (SELECT 'member of ' || string_agg(g.rolname, ', ' ORDER BY g.rolname) FROM pg_auth_members m \
              JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)) \
             FROM pg_roles r WHERE rolname NOT LIKE 'pg\\_%'",
        )
        .await
    }

    /// Settings that matter to logical replication, and the database's collation.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn settings(&self) -> Result<BTreeMap<String, String>> {
        let names: Vec<String> = SETTINGS.iter().map(|name| literal(name)).collect();
        let query = format!(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name IN ({}) \
             UNION ALL SELECT 'lc_collate', datcollate FROM pg_database WHERE datname = current_database() \
             UNION ALL SELECT 'lc_ctype', datctype FROM pg_database WHERE datname = current_database()",
            names.join(", ")
        );
        self.map(&query).await
    }

    /// Changes counted by the audit's triggers, table to operation (`c`, `u`, `d`) to count; none
    /// without an audit.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn audit(&self) -> Result<Option<BTreeMap<String, BTreeMap<String, u64>>>> {
        if self.value("SELECT to_regclass('audit.changes')").await?.is_none() {
            return Ok(None);
        }
        const QUERY: &str = include_str!("../../sql/audit-counts.sql");
        let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for row in self.rows(QUERY.trim()).await? {
            let [Some(table), Some(op), Some(n)] = row.as_slice() else {
                return Err(self.unexpected(QUERY, &format!("{row:?}")));
            };
            let n = n.parse().map_err(|_| self.unexpected(QUERY, n))?;
            counts.entry(table.clone()).or_default().insert(op.clone(), n);
        }
        Ok(Some(counts))
    }

    /// Whether columns carry `pg_attver` options, which pg_dump of an older minor release turns
    /// into statements that fail.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn has_pg_attver(&self) -> Result<bool> {
        let query = "SELECT count(*) FROM pg_attribute WHERE attoptions::text LIKE '%pg_attver%'";
        Ok(self.parsed::<u64>(query).await? > 0)
    }

    /// Size of the database in bytes.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn database_bytes(&self) -> Result<u64> {
        self.parsed("SELECT pg_database_size(current_database())").await
    }

    /// Columns of the users' tables that the planner has statistics of.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn analyzed_columns(&self) -> Result<u64> {
        let catalogs = "('pg_catalog', 'information_schema')";
        self.parsed(&format!("SELECT count(*) FROM pg_stats WHERE schemaname NOT IN {catalogs}")).await
    }

    /// Where WAL and slot stand, in one statement.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn sample(&self, slot: &str) -> Result<Sample> {
        let query = format!(
            "SELECT w, confirmed_flush_lsn, w - restart_lsn FROM pg_current_wal_lsn() AS w \
             LEFT JOIN pg_replication_slots ON slot_name = {}",
            literal(slot)
        );
        let row = self.rows(&query).await?.into_iter().next().unwrap_or_default();
        let text = |i: usize| row.get(i).and_then(Option::as_deref);
        let wal_lsn = text(0).and_then(|lsn| lsn.parse().ok());
        Ok(Sample {
            wal_lsn: wal_lsn.ok_or_else(|| self.unexpected(&query, &format!("{row:?}")))?,
            confirmed_flush_lsn: text(1).and_then(|lsn| lsn.parse().ok()),
            retained_bytes: text(2).and_then(|n| n.parse().ok()),
        })
    }

    /// A query with two columns as a map.
    async fn map(&self, query: &str) -> Result<BTreeMap<String, String>> {
        let rows = self.rows(query).await?;
        let pair = |row: Vec<Option<String>>| {
            let mut row = row.into_iter();
            Some((row.next()??, row.next()?.unwrap_or_default()))
        };
        Ok(rows.into_iter().filter_map(pair).collect())
    }
}
