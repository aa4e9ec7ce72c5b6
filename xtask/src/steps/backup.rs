//! `backup` (original README: step 4). The dump stays in the stack's folder, as it holds data; its
//! list and its checksum go into the step's folder.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use artifacts::snapshot::Role;

use crate::cx::Cx;
use crate::steps;

/// The folder of the stack's backups.
pub(crate) const FOLDER: &str = "backups";
/// In the step's folder: what the backup has to be.
const SUMS: &str = "backup.sha256";

/// Dumps roles and database with the programs of the source's version, as the original README does:
/// a pg_dump older than the source's minor release can print statements that fail (facts, case 10).
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let database = cx.info.names.database.clone();
    let observer = cx.observer();
    require_space(cx).await?;
    let folder = folder(cx)?;
    // A half-made backup of an earlier try is made anew.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (globals, dump) = (folder.join("globals.sql"), folder.join(format!("{database}.dump")));
    let (globals_text, dump_text) = (globals.display().to_string(), dump.display().to_string());
    let stack = cx.stack()?;
    stack
        .exec(
            "pg_dumpall",
            Role::Old,
            &["--globals-only", "--no-role-passwords", "-f", &globals_text],
            &observer,
        )
        .await?;
    stack.exec("pg_dump", Role::Old, &["-F", "c", "-f", &dump_text, &database], &observer).await?;
    let list = stack.exec("pg_restore", Role::Old, &["--list", &dump_text], &observer).await?;
    if !list.contains("TABLE DATA") {
        bail!("{dump_text} lists no table data");
    }
    if cx.keeps("drain") && cx.keeps("writers-first") {
        super::capture::nothing_left(cx).await?;
    }
    let (bytes, sum) = (std::fs::metadata(&dump)?.len(), artifacts::seal::sha256_file(&dump)?);
    let globals_sum = artifacts::seal::sha256_file(&globals)?;
    let sums = format!("{sum}  {database}.dump\n{globals_sum}  globals.sql\n");
    cx.run.write_text(&cx.folder(SUMS), &sums)?;
    cx.run.write_text(&cx.folder("contents.txt"), &list)?;
    cx.say(format!("{} KiB, sha256 {}...", bytes.div_ceil(1024), &sum[..12]));
    Ok(())
}

/// A backup that is whole.
pub(super) struct Backup {
    pub(super) folder: PathBuf,
    pub(super) globals: PathBuf,
    pub(super) dump: PathBuf,
}

/// The backup of this run, compared with the sums taken when it was made.
///
/// # Errors
/// A file is missing or was changed.
pub(super) fn checked(cx: &mut Cx) -> anyhow::Result<Backup> {
    let folder = folder(cx)?;
    let sums = steps::find("backup")
        .map(|step| cx.run.path(format!("{}/{SUMS}", step.folder())))
        .unwrap_or_default();
    let text = std::fs::read_to_string(&sums).with_context(|| {
        format!("there is no backup ({}), make it with: cargo xtask backup", sums.display())
    })?;
    compare(&folder, &text)?;
    let database = &cx.info.names.database;
    let (globals, dump) = (folder.join("globals.sql"), folder.join(format!("{database}.dump")));
    Ok(Backup { folder, globals, dump })
}

fn compare(folder: &Path, sums: &str) -> anyhow::Result<()> {
    for (sum, name) in sums.lines().filter_map(|line| line.split_once("  ")) {
        let file = folder.join(name);
        if !file.exists() {
            bail!("{} is not there, make the backup anew: cargo xtask backup", file.display());
        }
        let found = artifacts::seal::sha256_file(&file)?;
        if found != sum {
            bail!(
                "{} has sha256 {found}, not {sum} as when it was made; make the backup anew: cargo xtask backup",
                file.display()
            );
        }
    }
    Ok(())
}

/// Room for the dump and for the new cluster, which each may become as large as the database; linked
/// files take none.
async fn require_space(cx: &mut Cx) -> anyhow::Result<()> {
    let dump = cx.pg(Role::Old).await?.database_bytes().await?;
    let cluster = if cx.info.transfer.as_deref() == Some("link") { 0 } else { dump };
    let stack = cx.stack()?;
    let (dir, data) = (stack.state_dir(), stack.data_dir().await);
    let elsewhere = "make room, or set PG_CDC_STATE to a folder on another disk";
    let Some(data) = data.filter(|data| device(data) != device(dir)) else {
        return enough(stack::free_bytes(dir), dump + cluster, dir, elsewhere);
    };
    enough(stack::free_bytes(dir), dump, dir, elsewhere)?;
    enough(stack::free_bytes(&data), cluster, &data, "make room there: docker system df")
}

/// Which disk a folder is on.
fn device(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|there| there.dev())
}

fn enough(free: Option<u64>, needed: u64, dir: &Path, remedy: &str) -> anyhow::Result<()> {
    match free {
        Some(free) if free < needed => Err(stack::Error::preflight(
            format!(
                "{} MiB are free at {}, the dump and the new cluster may need {} MiB there",
                free >> 20,
                dir.display(),
                needed >> 20
            ),
            remedy,
        )
        .into()),
        _ => Ok(()),
    }
}

/// Where the backup of this run is.
pub(crate) fn folder(cx: &mut Cx) -> anyhow::Result<PathBuf> {
    let id = cx.run.id();
    Ok(cx.stack()?.state_dir().join(FOLDER).join(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sizes_are_told() {
        let dir = Path::new("/x");
        assert!(enough(Some(7 << 20), 7 << 20, dir, "").is_ok() && enough(None, 1, dir, "").is_ok());
        let error = enough(Some(7 << 20), 8 << 20, dir, "make room").unwrap_err();
        assert!(error.to_string().contains("7 MiB are free at /x") && error.to_string().contains("8 MiB"));
        assert!(error.to_string().ends_with("; make room"), "{error}");
        assert!(error.downcast_ref::<stack::Error>().is_some_and(stack::Error::is_preflight), "exit code 3");
    }

    #[test]
    fn a_backup_that_is_not_what_it_was_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dump = dir.path().join("testdb.dump");
        let sums = |text: &str| {
            std::fs::write(&dump, text).unwrap();
            format!("{}  testdb.dump\n", artifacts::seal::sha256_file(&dump).unwrap())
        };
        let sums = sums("a");
        compare(dir.path(), &sums).unwrap();
        std::fs::write(&dump, "b").unwrap();
        assert!(compare(dir.path(), &sums).unwrap_err().to_string().contains("has sha256"));
        std::fs::remove_file(&dump).unwrap();
        assert!(compare(dir.path(), &sums).unwrap_err().to_string().contains("is not there"));
    }
}
