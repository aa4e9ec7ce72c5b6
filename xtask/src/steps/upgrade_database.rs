//! `upgrade-database` (original README: step 5, option B): a new instance, filled from the backup.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use artifacts::snapshot::Role;
use stack::postgres::{Roles, WRITER_ROLE};

use crate::cx::Cx;

const ADVANCE: Duration = Duration::from_secs(120);

/// New instance, roles, restore, statistics; for `--lsn-case behind` its WAL past the stored offset.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let database = cx.info.names.database.clone();
    let observer = cx.observer();
    let folder = super::backup::folder(cx)?;
    let stack = cx.stack()?;
    stack.replace_postgres(&observer).await?;
    let globals = folder.join("globals.sql");
    let text = std::fs::read_to_string(&globals)?;
    // initdb has made this role already, everything else must succeed.
    let text = text.replace("CREATE ROLE postgres;\n", "");
    let filtered = folder.join("globals-without-postgres.sql");
    std::fs::write(&filtered, text)?;
    let filtered = filtered.display().to_string();
    stack
        .exec(
            "psql",
            Role::New,
            &["-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-f", &filtered],
            &observer,
        )
        .await?;
    let dump = folder.join(format!("{database}.dump")).display().to_string();
    stack.exec("pg_restore", Role::New, &["--exit-on-error", "-d", &database, &dump], &observer).await?;
    settings(cx, &folder, &dump).await?;
    let secrets = cx.stack()?.secrets().clone();
    let pg = cx.pg(Role::New).await?;
    // The dump of roles leaves passwords out; writers stay shut out until open-writers.
    pg.prepare_roles(&Roles {
        debezium_password: secrets.debezium,
        writer_password: secrets.app_writer,
        writer_login: false,
    })
    .await?;
    pg.execute("ANALYZE").await?;
    if cx.info.lsn_case == "behind" {
        let old = cx.pg(Role::Old).await?.wal_lsn().await?;
        pg.advance_wal_past(old, ADVANCE).await?;
    }
    let server = pg.server().await?;
    cx.say(format!("PostgreSQL {} at {}, {WRITER_ROLE} shut out", server.version, server.position));
    Ok(())
}

/// Settings of the database (`ALTER DATABASE ... SET`), which pg_restore only carries when it also
/// creates the database: taken from what it would run.
async fn settings(cx: &mut Cx, folder: &Path, dump: &str) -> anyhow::Result<()> {
    let observer = cx.observer();
    let stack = cx.stack()?;
    let text = stack
        .exec("pg_restore", Role::New, &["--create", "--section=pre-data", "-f", "-", dump], &observer)
        .await?;
    let set = |line: &&str| {
        (line.starts_with("ALTER DATABASE") || line.starts_with("ALTER ROLE")) && line.contains(" SET ")
    };
    let lines: Vec<&str> = text.lines().filter(set).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let file = folder.join("settings.sql");
    std::fs::write(&file, lines.join("\n") + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    let file = file.display().to_string();
    stack
        .exec("psql", Role::New, &["-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-f", &file], &observer)
        .await?;
    Ok(())
}
