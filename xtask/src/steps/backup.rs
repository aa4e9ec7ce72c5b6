//! `backup` (original README: step 4). The dump stays in the stack's folder, as it holds data; its
//! list and its checksum go into the step's folder.

use anyhow::{Context, bail};
use artifacts::snapshot::Role;

use crate::cx::Cx;

/// The folder of the stack's backups.
pub(crate) const FOLDER: &str = "backups";

/// Dumps roles and database with the programs of the source's version, as the original README does:
/// a pg_dump older than the source's minor release can print statements that fail (facts, case 10).
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let database = cx.info.names.database.clone();
    let observer = cx.observer();
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
    if cx.keeps("drain") {
        super::capture::nothing_left(cx).await?;
    }
    let (bytes, sum) = (std::fs::metadata(&dump)?.len(), artifacts::seal::sha256_file(&dump)?);
    let globals_sum = artifacts::seal::sha256_file(&globals)?;
    let sums = format!("{sum}  {database}.dump\n{globals_sum}  globals.sql\n");
    cx.run.write_text(&cx.folder("backup.sha256"), &sums)?;
    cx.run.write_text(&cx.folder("contents.txt"), &list)?;
    cx.say(format!("{} KiB, sha256 {}...", bytes.div_ceil(1024), &sum[..12]));
    Ok(())
}

/// Where the backup of this run is.
pub(crate) fn folder(cx: &mut Cx) -> anyhow::Result<std::path::PathBuf> {
    let id = cx.run.id();
    Ok(cx.stack()?.state_dir().join(FOLDER).join(id))
}
