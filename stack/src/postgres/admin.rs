//! Preparing a server: database, roles, schema, publication, audit.

use super::{Client, Result, identifier, literal, qualified};

/// The role that Debezium connects as.
pub const DEBEZIUM_ROLE: &str = "debezium";
/// The role of the workload; the fence shuts it out.
pub const WRITER_ROLE: &str = "app_writer";

/// Tables, replica identities and grants.
pub const SCHEMA_SQL: &str = include_str!("../../sql/schema.sql");
/// The column of `--add-column`; may be repeated.
pub const ADD_COLUMN_SQL: &str = include_str!("../../sql/add-column.sql");
const ROLES_SQL: &str = include_str!("../../sql/roles.sql");
const PUBLICATION_SQL: &str = include_str!("../../sql/publication.sql");
const AUDIT_SQL: &str = include_str!("../../sql/audit.sql");

/// Passwords of the roles. It has no `Debug`.
#[derive(Clone)]
pub struct Roles {
    /// Of [`DEBEZIUM_ROLE`].
    pub debezium_password: String,
    /// Of [`WRITER_ROLE`].
    pub writer_password: String,
    /// Whether writers may log in at once; on a new server only the lifting of the fence lets
    /// them.
    pub writer_login: bool,
}

impl Client {
    /// Makes the database unless it exists. Connect to another one for it, `postgres`.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn create_database(&self, name: &str) -> Result<bool> {
        let exists = format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(name));
        if self.value(&exists).await?.is_some() {
            return Ok(false);
        }
        self.execute(&format!("CREATE DATABASE {}", identifier(name))).await?;
        Ok(true)
    }

    /// Everything a source needs: roles, schema, publication, and the audit if wanted. Safe to
    /// repeat.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn prepare_source(&self, roles: &Roles, publication: &str, audit: bool) -> Result<()> {
        self.prepare_roles(roles).await?;
        self.execute(SCHEMA_SQL).await?;
        self.ensure_publication(publication).await?;
        if audit {
            self.execute(AUDIT_SQL).await?;
        }
        Ok(())
    }

    /// Makes the roles unless they exist and sets their passwords. Safe to repeat.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn prepare_roles(&self, roles: &Roles) -> Result<()> {
        self.execute(ROLES_SQL).await?;
        self.set_login(WRITER_ROLE, roles.writer_login).await?;
        self.set_password(DEBEZIUM_ROLE, &roles.debezium_password).await?;
        self.set_password(WRITER_ROLE, &roles.writer_password).await
    }

    /// Sets a password; neither the evidence nor the server's log gets to see it.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn set_password(&self, role: &str, password: &str) -> Result<()> {
        let unlogged = "SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1; \
                        SET LOCAL log_min_error_statement = 'panic'";
        self.execute(&format!("BEGIN; {unlogged}")).await?;
        let alter = |password: String| format!("ALTER ROLE {} PASSWORD {password}", identifier(role));
        let shown = alter(format!("'{}'", artifacts::redact::REDACTED));
        let set = self.rows_shown_as(&alter(literal(password)), &shown).await;
        self.execute(if set.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        set.map(drop)
    }

    pub(super) async fn set_login(&self, role: &str, login: bool) -> Result<()> {
        let login = if login { "LOGIN" } else { "NOLOGIN" };
        self.execute(&format!("ALTER ROLE {} {login}", identifier(role))).await
    }

    /// Makes the publication of the captured tables unless it exists; true when it was made.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn ensure_publication(&self, name: &str) -> Result<bool> {
        let exists = format!("SELECT 1 FROM pg_publication WHERE pubname = {}", literal(name));
        if self.value(&exists).await?.is_some() {
            return Ok(false);
        }
        self.execute(&PUBLICATION_SQL.replace(":\"publication\"", &identifier(name))).await?;
        Ok(true)
    }

    /// Drops the publication if it is there.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn drop_publication(&self, name: &str) -> Result<()> {
        self.execute(&format!("DROP PUBLICATION IF EXISTS {}", identifier(name))).await
    }

    /// `REPLICA IDENTITY FULL` or `DEFAULT` for a table (`public.orders`).
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn set_replica_identity(&self, table: &str, full: bool) -> Result<()> {
        let identity = if full { "FULL" } else { "DEFAULT" };
        self.execute(&format!("ALTER TABLE {} REPLICA IDENTITY {identity}", qualified(table))).await
    }
}
