//! The fence: nobody can commit any more. "The generator has stopped" is not that: a client that
//! was killed in mid-statement leaves a backend that may commit later.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Client, Result, Rows, literal};
use crate::wait::{self, Probe};

/// What the fence did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fenced {
    /// The role that can no longer log in.
    pub role: String,
    /// Backends of it that were ended, each counted once.
    pub terminated: u64,
}

/// The fate of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XactStatus {
    /// It is durable.
    Committed,
    /// It never happened: rolled back, or its id is later than any that the server has given out.
    /// After a crash that is the id of a transaction of which no WAL had reached the disk.
    Aborted,
    /// It may still become either.
    InProgress,
    /// Its id is so old that the server no longer knows.
    Unknown,
}

impl std::fmt::Display for XactStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::InProgress => "in progress",
            Self::Unknown => "unknown",
        })
    }
}

/// SQLSTATE of an id that the server has not given out yet.
const INVALID_PARAMETER: &str = "22023";

impl Client {
    /// Shuts writers out and waits until no transaction can commit any more: the role cannot log
    /// in, its backends are gone, no other session has a transaction id, nothing is prepared.
    /// Safe to repeat.
    ///
    /// # Errors
    /// As [`Client::execute`]; at the deadline the error names who is still there: process, role,
    /// state and statement.
    pub async fn fence(&self, writer_role: &str, deadline: Duration) -> Result<Fenced> {
        self.set_login(writer_role, false).await?;
        // A backend may need more than one look to end.
        let (terminated, quiet_looks) = (Mutex::new(BTreeSet::new()), AtomicU64::new(0));
        let what = format!("no open write on the {} server", self.role());
        let quiet = self.quiet();
        let waited = wait::until(&*self.observer, &what, deadline, || async {
            match quiet.still_writing(writer_role).await {
                // Two looks: a login that began before ALTER ROLE may show up after the first.
                Ok((ended, open)) if ended.is_empty() && open.is_empty() => {
                    match quiet_looks.fetch_add(1, Relaxed) {
                        0 => Probe::NotYet("nobody, looking once more".into()),
                        _ => Probe::Ready(()),
                    }
                }
                Ok((ended, open)) => {
                    quiet_looks.store(0, Relaxed);
                    let of_role = format!("{} backends of {writer_role}", ended.len());
                    terminated.lock().unwrap_or_else(PoisonError::into_inner).extend(ended);
                    Probe::NotYet(if open.is_empty() { of_role } else { open.join("; ") })
                }
                Err(e) => Probe::Never(e.to_string()),
            }
        });
        waited.await?;
        let terminated = terminated.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Fenced { role: writer_role.into(), terminated: terminated.len() as u64 })
    }

    /// Ends the role's backends; which there were, and who else has an open write.
    async fn still_writing(&self, role: &str) -> Result<(Vec<String>, Vec<String>)> {
        let role = literal(role);
        let end =
            format!("SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {role}");
        Ok((first_column(self.rows(&end).await?), self.open_writes().await?))
    }

    /// Sessions that have a transaction id, and prepared transactions, each in a few words. Our
    /// own session is left out.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn open_writes(&self) -> Result<Vec<String>> {
        const SESSIONS: &str = "SELECT 'process ' || pid || ' of ' || coalesce(usename, backend_type) \
            || ' (' || coalesce(state, 'no state') || ', xid ' || backend_xid || ', since ' \
            || coalesce(to_char(xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS'), '?') || ' UTC): ' \
            || left(regexp_replace(query, '\\s+', ' ', 'g'), 120) \
            FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY pid";
        const PREPARED: &str = "SELECT 'prepared transaction ' || quote_literal(gid) || ' of ' || owner \
            || ' in ' || database || ' (xid ' || transaction || '): COMMIT PREPARED or ROLLBACK PREPARED it' \
            FROM pg_prepared_xacts ORDER BY gid";
        let mut open = first_column(self.rows(SESSIONS).await?);
        open.extend(first_column(self.rows(PREPARED).await?));
        Ok(open)
    }

    /// Lets writers in.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn lift_fence(&self, writer_role: &str) -> Result<()> {
        self.set_login(writer_role, true).await
    }

    /// The fate of a transaction, by the full id that `pg_current_xact_id()` gave.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn xact_status(&self, xid: &str) -> Result<XactStatus> {
        let status = self.value(&format!("SELECT pg_xact_status({}::xid8)", literal(xid))).await;
        match status {
            Ok(Some(text)) => Ok(match text.as_str() {
                "committed" => XactStatus::Committed,
                "aborted" => XactStatus::Aborted,
                _ => XactStatus::InProgress,
            }),
            Ok(None) => Ok(XactStatus::Unknown),
            Err(e) if e.sqlstate() == Some(INVALID_PARAMETER) => Ok(XactStatus::Aborted),
            Err(e) => Err(e),
        }
    }
}

fn first_column(rows: Rows) -> Vec<String> {
    rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
}
