//! Who the server is and where its WAL stands.

use std::time::Duration;

use artifacts::position::By;
use artifacts::snapshot::Server;
use artifacts::{Lsn, Position};

use super::{Client, Result, literal};
use crate::wait::{self, Probe};

/// The prefix of marker messages; Debezium delivers it in `message.prefix`.
pub const MARKER_PREFIX: &str = "drain";

impl Client {
    /// Version, identity and `pg_current_wal_lsn()`.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn server(&self) -> Result<Server> {
        let version: String = self.parsed("SHOW server_version").await?;
        let version = version.split(' ').next().unwrap_or_default().to_owned();
        let version_num = self.parsed("SHOW server_version_num").await?;
        Ok(Server { role: self.role(), version, version_num, position: self.position().await? })
    }

    /// `pg_current_wal_lsn()`: what was written so far.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn position(&self) -> Result<Position> {
        let lsn = self.wal_lsn().await?;
        self.attribute(lsn).await
    }

    /// `pg_current_wal_lsn()` without the server's identity.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn wal_lsn(&self) -> Result<Lsn> {
        self.parsed("SELECT pg_current_wal_lsn()").await
    }

    /// `pg_current_wal_insert_lsn()`: everything acknowledged so far lies below it.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn wal_insert_lsn(&self) -> Result<Lsn> {
        self.parsed("SELECT pg_current_wal_insert_lsn()").await
    }

    /// A position of this server's history.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn attribute(&self, lsn: Lsn) -> Result<Position> {
        let (system_identifier, timeline) = self.history().await?;
        Ok(Position { lsn, system_identifier, timeline, by: By::Server })
    }

    /// System identifier and timeline; asked once per connection.
    async fn history(&self) -> Result<(String, u32)> {
        if let Some(known) = self.shared.history.get() {
            return Ok(known.clone());
        }
        // The name of a WAL file begins with its timeline in hexadecimal. The timeline in the
        // control file lags behind until the first checkpoint after a promotion.
        let system = self.parsed("SELECT system_identifier FROM pg_control_system()").await?;
        let timeline = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";
        let history = (system, self.parsed(timeline).await?);
        Ok(self.shared.history.get_or_init(|| history).clone())
    }

    /// Writes a marker that Debezium delivers to `<prefix>.message`, and returns its end.
    ///
    /// The transaction id makes the commit flush the marker: without one it would wait for the
    /// WAL writer, on an idle server for seconds. A transaction goes before it: a connector that has
    /// been given a rebased offset holds back everything until the first one (docs/findings.md).
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn emit_marker(&self, nonce: &str) -> Result<Position> {
        self.execute(&format!("SELECT pg_logical_emit_message(true, 'wake', {})", literal(nonce))).await?;
        let statement = format!(
            "SELECT m FROM pg_logical_emit_message(false, {}, {}) AS m, pg_current_xact_id()",
            literal(MARKER_PREFIX),
            literal(nonce)
        );
        let lsn = self.parsed(&statement).await?;
        self.attribute(lsn).await
    }

    /// Switches WAL segments until `pg_current_wal_lsn()` is past `target`; returns where it is.
    ///
    /// A switch does nothing in an empty segment, hence the small message before each. PostgreSQL
    /// fills the rest of a segment with zeros, so that distance costs disk and time (on a fresh
    /// server about 35 ms per segment of 16 MB): see [`AHEAD_BYTES`]. Do it before a slot exists,
    /// which would keep every segment. An empty server can be put anywhere at once, before its
    /// first start, by `pg_resetwal -l`.
    ///
    /// # Errors
    /// As [`Client::execute`]; the target was not reached within `deadline`.
    pub async fn advance_wal_past(&self, target: Lsn, deadline: Duration) -> Result<Lsn> {
        let what = format!("WAL of the {} server past {target}", self.role());
        let quiet = self.quiet();
        // New segments need not be filled with zeros before they are filled with zeros.
        self.execute("SET wal_init_zero = off").await?;
        let reached = wait::until(&*self.observer, &what, deadline, || async {
            match quiet.switch_towards(target).await {
                Ok(lsn) if lsn > target => Probe::Ready(lsn),
                Ok(lsn) => Probe::NotYet(lsn.to_string()),
                Err(e) => Probe::Never(e.to_string()),
            }
        })
        .await;
        self.execute("RESET wal_init_zero").await?;
        Ok(reached?)
    }

    /// A bounded number of switches, so that the deadline is looked at in between.
    async fn switch_towards(&self, target: Lsn) -> Result<Lsn> {
        let mut lsn = self.wal_lsn().await?;
        for _ in 0..SWITCHES_PER_LOOK {
            if lsn > target {
                break;
            }
            self.execute(SWITCH).await?;
            lsn = self.wal_lsn().await?;
        }
        Ok(lsn)
    }
}

const SWITCH: &str = "SELECT pg_logical_emit_message(false, 'pad', ''); SELECT pg_switch_wal()";
const SWITCHES_PER_LOOK: usize = 64;

/// How far above a new server's WAL the old one is put for `--lsn-case ahead`: 512 MiB, 32
/// segments. A new server starts at about 26 MB, and 100,000 changes of 1 kB rows write about
/// 200 MB, so that it stays below.
pub const AHEAD_BYTES: u64 = 512 << 20;
