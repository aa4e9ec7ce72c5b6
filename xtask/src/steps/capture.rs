//! `capture-before`, `capture-cut`, `capture-restored` and `capture-after` (original README: steps 1
//! and 9). Writes `snapshots/<name>.json`; the last one also the rows of the new database as digests.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, bail};
use artifacts::Lsn;
use artifacts::events::EventKind;
use artifacts::row::tables;
use artifacts::snapshot::Role;

use crate::cx::Cx;
use crate::snapshots::{self, Pending};

/// The snapshot of the step's name.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let name = cx.step.name.trim_start_matches("capture-");
    let role = cx.step.role;
    let pending = if matches!(name, "cut" | "after") { Pending::Look } else { Pending::Skip };
    let snapshot = snapshots::take(cx, name, role, pending).await?;
    cx.run.write(&format!("snapshots/{name}.json"), &snapshot)?;
    match name {
        "cut" => nothing_left(cx).await?,
        "after" => {
            rows(cx, role).await?;
            memory(cx)?;
        }
        _ => {}
    }
    let rows: u64 = snapshot.tables.values().map(|t| t.rows).sum();
    cx.say(format!(
        "PostgreSQL {}, {rows} rows, WAL at {}",
        snapshot.server.version, snapshot.server.position.lsn
    ));
    Ok(())
}

/// After a proven drain the old server's slot has nothing left to deliver behind the marker. What it has
/// before that was delivered: after a crash of the server a slot may have gone back. A logical message is
/// not a row.
pub(super) async fn nothing_left(cx: &mut Cx) -> anyhow::Result<()> {
    let names = cx.info.names.clone();
    if !cx.keeps("stop-connector") {
        cx.note("a paused connector keeps its slot in use: what is left in it cannot be looked at");
        return Ok(());
    }
    let marker = super::drain::of_phase(cx, Role::Old)?.map_or(Lsn(0), |drain| drain.marker.lsn);
    let rows = cx.pg(Role::Old).await?.peek_count(&names.slot, &names.publication, marker).await?;
    if rows > 0 && cx.keeps("drain") && cx.keeps("writers-first") {
        bail!(
            "the slot {} still holds {rows} rows behind a proven drain: somebody wrote after the fence",
            names.slot
        );
    }
    cx.note(&format!("the slot peeks {rows} rows behind {marker}"));
    Ok(())
}

/// `rows-<table>.jsonl`: a line `{"key":1,"row":"<digest>","columns":"<digests>"}` per row, ordered by key.
async fn rows(cx: &mut Cx, role: Role) -> anyhow::Result<()> {
    let pg = cx.pg(role).await?;
    for (table, columns) in tables() {
        let path = cx.run.path(cx.folder(&format!("rows-{table}.jsonl")));
        std::fs::create_dir_all(path.parent().unwrap_or(cx.run.root()))?;
        let mut out =
            BufWriter::new(File::create(&path).with_context(|| format!("cannot create {}", path.display()))?);
        let mut failure = None;
        pg.row_digests(&table, &columns, |key, row, columns| {
            if failure.is_none() {
                let line = format!("{{\"key\":{key},\"row\":\"{row}\",\"columns\":\"{columns}\"}}");
                failure = writeln!(out, "{line}").err();
            }
        })
        .await?;
        if let Some(e) = failure.or_else(|| out.flush().err()) {
            return Err(e).with_context(|| format!("cannot write {}", path.display()));
        }
    }
    Ok(())
}

/// Memory while everything runs and has worked.
fn memory(cx: &mut Cx) -> anyhow::Result<()> {
    let components_bytes = cx.stack()?.processes().iter().filter_map(|p| p.rss_bytes).sum();
    cx.observer().event(EventKind::Memory { components_bytes, tool_peak_bytes: peak_bytes() }, None);
    Ok(())
}

/// The most memory that this process had so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() * 1024
}
