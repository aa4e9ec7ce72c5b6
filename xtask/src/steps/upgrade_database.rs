//! `upgrade-database` (original README: step 5). Option b: a new instance, filled from the backup.
//! Option a: pg_upgrade, in the same place. Writers stay shut out in both.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use artifacts::snapshot::Role;
use stack::Transfer;
use stack::postgres::{Roles, WRITER_ROLE};

use super::backup::{self, Backup};
use crate::cx::Cx;

/// pg_upgrade from this version on carries logical slots over.
const FIRST_WITH_SLOTS: u32 = 17;
const ADVANCE: Duration = Duration::from_secs(120);

/// By the option of the run.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    if cx.info.as_written {
        return super::as_written::upgrade_database(cx).await;
    }
    if !cx.keeps("pg-upgrade") {
        let observer = cx.observer();
        return Ok(cx.stack()?.start_on_old_files(&observer).await?);
    }
    if cx.info.option == "a" { in_place(cx).await } else { new_instance(cx).await }
}

/// pg_upgrade; then what it has carried over is looked at, and said.
async fn in_place(cx: &mut Cx) -> anyhow::Result<()> {
    let transfer = match cx.info.transfer.as_deref() {
        Some("link") => Transfer::Link,
        _ => Transfer::Copy,
    };
    // A repeated try may find the old server stopped; the first one has looked.
    if cx.stack()?.service("postgres-old").is_some_and(|service| service.alive) {
        older_minor(cx).await?;
        release_slot(cx).await?;
    }
    let (observer, logs) = (cx.observer(), cx.run.path(cx.folder("pg_upgrade")));
    cx.stack()?.upgrade_in_place(transfer, &logs, &observer).await?;
    cx.reach("upgraded");
    let pg = cx.pg(Role::New).await?;
    let slots = pg.slots().await?.len() as u64;
    let statistics = pg.analyzed_columns().await?;
    pg.execute("ANALYZE").await?;
    let count = |n: u64, what: &str| if n == 0 { format!("no {what}") } else { format!("{n} {what}") };
    cx.note(&format!(
        "carried over by pg_upgrade: databases, roles with passwords, publications, sequences, {}, {}",
        count(slots, "replication slots"),
        count(statistics, "columns of statistics")
    ));
    cx.note("not carried over: postgresql.conf, ALTER SYSTEM settings, pg_hba.conf; ANALYZE was run");
    let server = pg.server().await?;
    cx.say(format!("PostgreSQL {} at {} by pg_upgrade --{transfer}", server.version, server.position));
    Ok(())
}

/// pg_upgrade dumps with the new version. One that was released before the old server's minor version
/// prints `pg_attver` options as statements that fail, after a `--check` that has found nothing.
async fn older_minor(cx: &mut Cx) -> anyhow::Result<()> {
    let endpoints = cx.stack()?.endpoints();
    let (Some(old), Some(new)) = (endpoints.postgres(Role::Old), endpoints.postgres(Role::New)) else {
        return Ok(());
    };
    if !released_before(&new.version, &old.version) {
        return Ok(());
    }
    let text = format!("PostgreSQL {} was released before {}", new.version, old.version);
    if cx.pg(Role::Old).await?.has_pg_attver().await? {
        bail!(
            "{text} and its pg_dump fails on the pg_attver options of this database: use a later minor version"
        );
    }
    cx.note(&format!("{text}: a later minor version is the better target"));
    Ok(())
}

/// From 17 on pg_upgrade carries logical slots over, and refuses while one has anything in front of it,
/// be it the commit of the marker of the drain. Only a slot without changes is advanced past that.
async fn release_slot(cx: &mut Cx) -> anyhow::Result<()> {
    let names = cx.info.names.clone();
    let pg = cx.pg(Role::Old).await?;
    let inactive = |row: &serde_json::Map<_, _>| row.get("active") == Some(&serde_json::Value::Bool(false));
    if cx.info.from < FIRST_WITH_SLOTS || !pg.slot_row(&names.slot).await?.as_ref().is_some_and(inactive) {
        return Ok(());
    }
    match pg.advance_empty_slot(&names.slot, &names.publication).await? {
        Some(lsn) => cx.note(&format!("the slot {} has nothing to deliver: advanced to {lsn}", names.slot)),
        None => cx.note(&format!("the slot {} has changes to deliver: pg_upgrade will refuse", names.slot)),
    }
    Ok(())
}

/// Minor versions of different majors compare by release day: 15.18, 16.14, 17.10 and 18.4 are of one.
fn released_before(new: &str, old: &str) -> bool {
    let round = |version: &str| {
        let mut numbers = version.split('.').map_while(|n| n.parse::<i64>().ok());
        let (major, minor) = (numbers.next()?, numbers.next()?);
        let first = [(15, 18), (16, 14), (17, 10), (18, 4)].iter().find(|(m, _)| *m == major)?.1;
        Some(minor - first)
    };
    round(new).zip(round(old)).is_some_and(|(new, old)| new < old)
}

/// New instance, roles, restore, statistics; for `--lsn-case behind` its WAL past the stored offset.
async fn new_instance(cx: &mut Cx) -> anyhow::Result<()> {
    let database = cx.info.names.database.clone();
    let observer = cx.observer();
    // Before anything is touched.
    let Backup { folder, globals, dump } = backup::checked(cx)?;
    let stack = cx.stack()?;
    stack.replace_postgres(&observer).await?;
    let text =
        std::fs::read_to_string(&globals).with_context(|| format!("cannot read {}", globals.display()))?;
    // initdb has made this role already, everything else must succeed.
    let text = text.replace("CREATE ROLE postgres;\n", "");
    let filtered = folder.join("globals-without-postgres.sql");
    psql(cx, &filtered, &text).await?;
    let dump = dump.display().to_string();
    let restore = ["--exit-on-error", "-d", &database, &dump];
    cx.stack()?.exec("pg_restore", Role::New, &restore, &observer).await?;
    settings(cx, &folder, &dump).await?;
    roles(cx).await?;
    let pg = cx.pg(Role::New).await?;
    pg.execute("ANALYZE").await?;
    if cx.info.lsn_case == "behind" {
        let old = cx.pg(Role::Old).await?.wal_lsn().await?;
        pg.advance_wal_past(old, ADVANCE).await?;
    }
    let server = pg.server().await?;
    cx.say(format!("PostgreSQL {} at {}, {WRITER_ROLE} shut out", server.version, server.position));
    Ok(())
}

/// The dump of roles leaves passwords out; behind a fence writers stay shut out until open-writers.
pub(super) async fn roles(cx: &mut Cx) -> anyhow::Result<()> {
    let secrets = cx.stack()?.secrets().clone();
    let roles = Roles {
        debezium_password: secrets.debezium,
        writer_password: secrets.app_writer,
        writer_login: !cx.keeps("fence"),
    };
    Ok(cx.pg(Role::New).await?.prepare_roles(&roles).await?)
}

/// Settings of the database (`ALTER DATABASE ... SET`), which pg_restore only carries when it also
/// creates the database: taken from what it would run.
async fn settings(cx: &mut Cx, folder: &Path, dump: &str) -> anyhow::Result<()> {
    let observer = cx.observer();
    let print = ["--create", "--section=pre-data", "-f", "-", dump];
    let text = cx.stack()?.exec("pg_restore", Role::New, &print, &observer).await?;
    let set = |line: &&str| {
        (line.starts_with("ALTER DATABASE") || line.starts_with("ALTER ROLE")) && line.contains(" SET ")
    };
    let lines: Vec<&str> = text.lines().filter(set).collect();
    if lines.is_empty() {
        return Ok(());
    }
    psql(cx, &folder.join("settings.sql"), &(lines.join("\n") + "\n")).await
}

/// Writes statements to a file and runs it on the new server.
async fn psql(cx: &mut Cx, file: &Path, statements: &str) -> anyhow::Result<()> {
    std::fs::write(file, statements).with_context(|| format!("cannot write {}", file.display()))?;
    let (observer, file) = (cx.observer(), file.display().to_string());
    let run = ["-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-f", &file];
    cx.stack()?.exec("psql", Role::New, &run, &observer).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_versions_compare_by_release_day() {
        assert!(!released_before("16.14", "15.18") && !released_before("18.6", "15.18"));
        assert!(released_before("16.14", "15.20") && released_before("18.4", "17.11"));
        assert!(!released_before("19.1", "15.20"), "unknown");
    }
}
