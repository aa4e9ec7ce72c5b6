//! What can go wrong with a PostgreSQL server, each in one sentence.

use std::error::Error as _;

use artifacts::snapshot::Role;

use crate::wait::WaitError;

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that names the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("cannot connect to the {role} server as {target}: {cause}; cargo xtask ps shows what runs")]
    Connect {
        /// `user@host:port/database`
        target: String,
        /// Which server.
        role: Role,
        /// Why.
        cause: String,
    },
    /// The connection ended while a statement was under way, or before.
    #[error("the {role} server ended the connection of {target}: {cause}; was sending: {statement}")]
    Lost {
        /// `user@host:port/database`
        target: String,
        /// Which server.
        role: Role,
        /// Why, as far as it is known.
        cause: String,
        /// The statement, shortened.
        statement: String,
    },
    /// The server refused a statement.
    #[error("the {role} server refused ({target}): {cause}; statement: {statement}")]
    Refused {
        /// `user@host:port/database`
        target: String,
        /// Which server.
        role: Role,
        /// Message, SQLSTATE, detail and hint.
        cause: String,
        /// The statement, shortened.
        statement: String,
        /// SQLSTATE.
        sqlstate: Option<String>,
    },
    /// The answer is not what the statement asked for.
    #[error("unexpected answer of {target}: {answer}; statement: {statement}")]
    Unexpected {
        /// `user@host:port/database`
        target: String,
        /// The statement.
        statement: String,
        /// What came.
        answer: String,
    },
    /// A slot could not be made in time.
    #[error("cannot create slot {slot} within {} s: it waits for {blockers}; {left}", timeout.as_secs_f64())]
    SlotBlocked {
        /// The slot.
        slot: String,
        /// How long the server tried.
        timeout: std::time::Duration,
        /// Sessions and prepared transactions with an open write.
        blockers: String,
        /// Whether a slot was left behind.
        left: String,
    },
    /// The slot is in use.
    #[error("slot {slot} is in use by process {pid}: stop the connector first (cargo xtask stop-connector)")]
    SlotActive {
        /// The slot.
        slot: String,
        /// The process that streams from it.
        pid: String,
    },
    /// There is no such slot.
    #[error("there is no slot {slot} on the {role} server; see SELECT slot_name FROM pg_replication_slots")]
    NoSlot {
        /// The slot.
        slot: String,
        /// Which server.
        role: Role,
    },
    /// A condition did not come true.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

const SHOWN: usize = 300;

impl Error {
    pub(super) fn connect(target: &str, role: Role, e: &tokio_postgres::Error) -> Self {
        Self::Connect { target: target.into(), role, cause: sentence(e) }
    }

    pub(super) fn statement(
        target: &str,
        role: Role,
        statement: &str,
        e: &tokio_postgres::Error,
        end: Option<String>,
    ) -> Self {
        let target = target.to_owned();
        let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut shown: String = line.chars().take(SHOWN).collect();
        if shown.len() < line.len() {
            shown.push_str(" ...");
        }
        // 57P01 to 57P03: terminated by an administrator, a crash or a shutdown.
        let ended = e.code().is_some_and(|code| code.code().starts_with("57P0"));
        if e.is_closed() || ended {
            let cause = end.filter(|_| e.is_closed()).unwrap_or_else(|| sentence(e));
            return Self::Lost { target, role, cause, statement: shown };
        }
        let sqlstate = e.code().map(|code| code.code().to_owned());
        Self::Refused { target, role, cause: sentence(e), statement: shown, sqlstate }
    }

    /// The SQLSTATE, when the server gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Refused { sqlstate, .. } => sqlstate.as_deref(),
            _ => None,
        }
    }
}

/// Everything the server said, in one line.
pub(super) fn sentence(e: &tokio_postgres::Error) -> String {
    if let Some(db) = e.as_db_error() {
        let mut text = format!("{} (SQLSTATE {})", db.message(), db.code().code());
        for more in [db.detail(), db.hint()].into_iter().flatten() {
            text.push_str("; ");
            text.push_str(more);
        }
        return text.replace('\n', " ");
    }
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
