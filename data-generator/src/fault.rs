//! What a statement or a connection came to, in a form that decides the fate of a transaction.

use std::error::Error as _;
use std::fmt;

use tokio_postgres::error::Severity;

/// Why there was no answer, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Null when the server said nothing.
    pub(crate) sqlstate: Option<String>,
    /// The server refused and goes on: severity ERROR. FATAL and PANIC end the connection, and say
    /// nothing about a commit that was under way.
    pub(crate) refused: bool,
    /// The connection broke, or there was none to be had.
    pub(crate) broken: bool,
    /// One line.
    pub(crate) text: String,
}

impl Fault {
    /// A fault that did not come from the server.
    pub(crate) fn ours(text: impl Into<String>) -> Self {
        Self { sqlstate: None, refused: false, broken: false, text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sqlstate {
            Some(code) => write!(f, "{} (SQLSTATE {code})", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let code = db.code().code();
            // Connection exceptions and "statement completion unknown": a proxy may send them.
            let unsure = code.starts_with("08") || code == "40003";
            return Self {
                sqlstate: Some(code.to_owned()),
                broken: false,
                refused: db.parsed_severity() == Some(Severity::Error) && !unsure,
                text: db.message().to_owned(),
            };
        }
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        let broken = error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>());
        Self { broken, ..Self::ours(text) }
    }
}
