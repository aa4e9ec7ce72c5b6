//! The PostgreSQL client: one connection to one of the two servers.
//!
//! Statements are sent as text by the simple protocol. What stands in the evidence can therefore
//! be pasted into psql, and answers need no type mapping. By topic: [`position`](Client::position)
//! and WAL, admin (roles, schema, publication), slots, the fence, and what snapshots capture.

mod admin;
mod capture;
mod error;
mod fence;
mod position;
mod slot;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use artifacts::events::EventKind;
use artifacts::snapshot::Role;
use serde_json::{Map, Value};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use crate::observe::{Shared, silent};
use crate::wait::WaitError;

pub use admin::{ADD_COLUMN_SQL, DEBEZIUM_ROLE, Roles, SCHEMA_SQL, WRITER_ROLE};
pub use capture::Sample;
pub use error::{Error, Result};
pub use fence::{Fenced, XactStatus};
pub use position::{AHEAD_BYTES, MARKER_PREFIX};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Generous: what takes longer hangs.
const STATEMENT_DEADLINE: Duration = Duration::from_secs(600);
const APPLICATION_NAME: &str = "cdc-upgrade-rehearsal";

/// Where to connect and as whom. It has no `Debug`: it holds a password.
#[derive(Clone)]
pub struct Login {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Database.
    pub database: String,
}

impl Login {
    /// The same for a client of one's own.
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .password(&self.password)
            .dbname(&self.database);
        config
    }
}

/// A connection. Clones share it; statements of clones are sent one after another.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Connection>,
    observer: Shared,
}

struct Connection {
    client: tokio_postgres::Client,
    role: Role,
    target: String,
    /// System identifier and timeline, asked once.
    history: OnceLock<(String, u32)>,
    /// Why the connection ended.
    end: Arc<Mutex<Option<String>>>,
}

/// The rows of an answer; every value is text or null.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

impl Client {
    /// Connects. `role` says which of the two servers it is in the evidence.
    ///
    /// # Errors
    /// Nobody listens, the password is wrong, there is no such database.
    pub async fn connect(login: &Login, role: Role, observer: Shared) -> Result<Self> {
        let target = format!("{}@{}:{}/{}", login.user, login.host, login.port, login.database);
        let failed = |e| Error::connect(&target, role, &e);
        let (client, connection) = login
            .config()
            .application_name(APPLICATION_NAME)
            .connect_timeout(CONNECT_TIMEOUT)
            .connect(NoTls)
            .await
            .map_err(failed)?;
        let end = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&end);
        tokio::spawn(async move {
            let why = match connection.await {
                Ok(()) => "closed".to_owned(),
                Err(e) => error::sentence(&e),
            };
            if let Ok(mut slot) = noted.lock() {
                *slot = Some(why);
            }
        });
        let shared = Connection { client, role, target, history: OnceLock::new(), end };
        Ok(Self { shared: Arc::new(shared), observer })
    }

    /// The same connection without evidence: for probes that are repeated and for sampling.
    pub fn quiet(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), observer: silent() }
    }

    /// Which of the two servers this is.
    pub fn role(&self) -> Role {
        self.shared.role
    }

    /// Sends a statement, or several, and forgets the answer.
    ///
    /// # Errors
    /// The server refuses it, or the connection is gone.
    pub async fn execute(&self, statement: &str) -> Result<()> {
        self.rows(statement).await.map(drop)
    }

    /// The rows of a query as JSON objects, one key per column.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn json(&self, query: &str) -> Result<Vec<Map<String, Value>>> {
        let statement = format!("SELECT to_jsonb(t) FROM ({query}) AS t");
        let rows = self.rows(&statement).await?;
        rows.into_iter()
            .map(|row| {
                let text = row.into_iter().next().flatten().unwrap_or_default();
                serde_json::from_str(&text)
                    .map_err(|e| self.unexpected(&statement, &format!("'{text}': {e}")))
            })
            .collect()
    }

    pub(crate) async fn rows(&self, statement: &str) -> Result<Rows> {
        self.rows_shown_as(statement, statement).await
    }

    /// For statements that hold a secret: evidence and errors get `shown`.
    async fn rows_shown_as(&self, statement: &str, shown: &str) -> Result<Rows> {
        let start = Instant::now();
        let asked = self.shared.client.simple_query(statement);
        let answer = tokio::time::timeout(STATEMENT_DEADLINE, asked).await;
        let ms = start.elapsed().as_millis() as u64;
        let server = self.shared.role.to_string();
        self.observer.event(EventKind::Sql { server, statement: shown.into(), ms }, None);
        let answer = answer.map_err(|_| self.unanswered(shown))?;
        let messages = answer.map_err(|e| self.failed(shown, &e))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The only value of a query; null and no row are both none.
    async fn value(&self, statement: &str) -> Result<Option<String>> {
        Ok(self.rows(statement).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// The only value of a query, which must be there and of the right form.
    async fn parsed<T: std::str::FromStr>(&self, statement: &str) -> Result<T> {
        let value = self.value(statement).await?;
        value
            .as_deref()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.unexpected(statement, value.as_deref().unwrap_or("null")))
    }

    fn failed(&self, statement: &str, e: &tokio_postgres::Error) -> Error {
        let end = self.shared.end.lock().ok().and_then(|end| end.clone());
        Error::statement(&self.shared.target, self.shared.role, statement, e, end)
    }

    fn unanswered(&self, statement: &str) -> Error {
        let what = format!("answer of {} to: {statement}", self.shared.target);
        let last = "no answer; SELECT * FROM pg_stat_activity shows what it waits for".into();
        WaitError::Deadline { what, last, deadline: STATEMENT_DEADLINE }.into()
    }

    fn unexpected(&self, statement: &str, answer: &str) -> Error {
        let target = self.shared.target.clone();
        Error::Unexpected { target, statement: statement.into(), answer: answer.into() }
    }
}

/// A string as SQL literal.
pub fn literal(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", escaped.replace('\\', "\\\\")) } else { format!("'{escaped}'") }
}

/// A name as SQL identifier.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A qualified table name (`public.orders`) as SQL identifiers.
pub fn qualified(table: &str) -> String {
    table.splitn(2, '.').map(identifier).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_quotes_and_backslashes() {
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(qualified("public.Orders"), "\"public\".\"Orders\"");
    }

    #[tokio::test]
    async fn nobody_listens() {
        let login = Login {
            host: "127.0.0.1".into(),
            port: 1,
            user: "u".into(),
            password: "hidden".into(),
            database: "d".into(),
        };
        let message = match Client::connect(&login, Role::Old, silent()).await {
            Ok(_) => panic!("somebody listens on port 1"),
            Err(e) => e.to_string(),
        };
        assert!(message.contains("u@127.0.0.1:1/d") && message.contains("refused"), "{message}");
        assert!(!message.contains("hidden"), "{message}");
    }
}
