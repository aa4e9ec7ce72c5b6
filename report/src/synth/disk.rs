//! A simulated rehearsal on disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use artifacts::drain::Drain;
use artifacts::events::{Event, EventKind};
use artifacts::ledger::{Entry, Phase};
use artifacts::row::Digest;
use artifacts::run_dir::SUMS;
use artifacts::snapshot::Snapshot;
use artifacts::summary::Summary;
use artifacts::{Error, Result, RunDir, consumed, seal};
use serde::Serialize;
use serde_json::value::RawValue;

use super::story::{Told, tell};
use super::{Plan, Record, Sink};

const LEVEL: i32 = 3;

/// The run directory `dir`, which must not be there yet, sealed. Ledger and topics are written as
/// they come.
///
/// # Errors
/// There is something at `dir`, or it cannot be written.
pub fn write(plan: &Plan, dir: &Path) -> Result<RunDir> {
    fs::create_dir(dir).map_err(Error::io("create", dir))?;
    let mut disk = Disk::create(dir)?;
    let told = tell(plan, &mut disk)?;
    let Told { run, snapshots, events, rows_after, columns_after, .. } = told;
    let Told { first_drain, drain_again, collected, summaries, .. } = told;
    disk.finish()?;
    let small = Small {
        events: &events,
        snapshots: &snapshots,
        rows_after: Some(&rows_after),
        columns_after: &columns_after,
        first_drain: Some(&first_drain),
        drain_again: Some(&drain_again),
        summaries: &summaries,
    };
    // The folder may have any name: the run has this one.
    let id = dir.file_name().map_or(run.id.clone(), |name| name.to_string_lossy().into_owned());
    let out = Folder(dir);
    out.json("run.json", &artifacts::run::Run { id, ..run })?;
    out.json("collected.json", &collected)?;
    small.write(dir)?;
    let sums = seal::sums(dir)?;
    out.text(SUMS, &sums)?;
    RunDir::open(dir)
}

/// The files of a run beside `run.json`, its ledger and what was collected.
pub struct Small<'a> {
    /// `events.jsonl`
    pub events: &'a [Event],
    /// `snapshots/*.json`
    pub snapshots: &'a BTreeMap<String, Snapshot>,
    /// Rows of the new database at the end: table to key to digest.
    pub rows_after: Option<&'a BTreeMap<String, BTreeMap<i64, Digest>>>,
    /// Digests of their columns, where they are written down.
    pub columns_after: &'a BTreeMap<String, BTreeMap<i64, String>>,
    /// The drain before the cut.
    pub first_drain: Option<&'a Drain>,
    /// The last drain.
    pub drain_again: Option<&'a Drain>,
    /// What the data generator says.
    pub summaries: &'a BTreeMap<Phase, Summary>,
}

impl Small<'_> {
    /// Writes them below `dir`, which is there.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let out = Folder(dir);
        out.lines("events.jsonl", self.events.iter())?;
        for (name, snapshot) in self.snapshots {
            out.json(&format!("snapshots/{name}.json"), snapshot)?;
        }
        for (phase, summary) in self.summaries {
            let step = if *phase == Phase::Before { "03-start-generator" } else { "18-restart-generator" };
            out.json(&format!("steps/{step}/summary.json"), summary)?;
        }
        if let Some(drain) = self.first_drain {
            out.json("steps/07-drain/drain.json", drain)?;
        }
        if let Some(drain) = self.drain_again {
            out.json("steps/21-drain-again/drain.json", drain)?;
        }
        for (table, rows) in self.rows_after.into_iter().flatten() {
            let columns = self.columns_after.get(table);
            let columns = |key| columns.and_then(|columns| columns.get(key));
            let rows = rows.iter().map(|(key, row)| match columns(key) {
                Some(columns) => serde_json::json!({"key": key, "row": row, "columns": columns}),
                None => serde_json::json!({"key": key, "row": row}),
            });
            out.lines(&format!("steps/22-capture-after/rows-{table}.jsonl"), rows)?;
        }
        for event in self.events {
            if let EventKind::Http { out: Some(answer), .. } | EventKind::Command { out: Some(answer), .. } =
                &event.kind
            {
                out.text(answer, "{}\n")?;
            }
        }
        Ok(())
    }
}

struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn text(&self, name: &str, text: &str) -> Result<()> {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        fs::write(&path, text).map_err(Error::io("write", &path))
    }

    fn json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value);
        let text = text.map_err(|e| Error::corrupt(&self.0.join(name), "value", e))?;
        self.text(name, &(text + "\n"))
    }

    fn lines<T: Serialize>(&self, name: &str, list: impl Iterator<Item = T>) -> Result<()> {
        let mut text = String::new();
        for value in list {
            let line = serde_json::to_string(&value);
            text.push_str(&line.map_err(|e| Error::corrupt(&self.0.join(name), "value", e))?);
            text.push('\n');
        }
        self.text(name, &text)
    }
}

/// Writes ledger and topics as they come.
struct Disk {
    path: PathBuf,
    ledger: zstd::Encoder<'static, BufWriter<File>>,
    records: consumed::Writer,
    ends: BTreeMap<(String, i32), i64>,
    line: Vec<u8>,
}

impl Disk {
    fn create(dir: &Path) -> Result<Self> {
        let path = dir.join("ledger.jsonl.zst");
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        let io = |e| Error::io("write", &path)(e);
        let mut ledger = zstd::Encoder::new(BufWriter::new(file), LEVEL).map_err(io)?;
        ledger.include_checksum(true).map_err(io)?;
        let records = consumed::Writer::create(&dir.join("consumed.jsonl.zst"))?;
        Ok(Self { path, ledger, records, ends: BTreeMap::new(), line: Vec::new() })
    }

    fn finish(self) -> Result<()> {
        let Self { path, ledger, records, .. } = self;
        ledger.finish().and_then(|mut out| out.flush()).map_err(Error::io("write", &path))?;
        records.finish()
    }
}

impl Sink for Disk {
    fn entry(&mut self, entry: Entry) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, &entry).map_err(|e| Error::corrupt(&self.path, "entry", e))?;
        self.line.push(b'\n');
        self.ledger.write_all(&self.line).map_err(Error::io("write", &self.path))
    }

    fn record(&mut self, record: Record) -> Result<()> {
        let raw = |text: Option<String>| text.map(RawValue::from_string).transpose();
        let raw = |text| raw(text).map_err(|e| Error::corrupt(&self.path, "record", e));
        let end = self.ends.entry((record.topic.clone(), record.partition)).or_default();
        *end += 1;
        self.records.write(&consumed::Record {
            topic: record.topic,
            partition: record.partition,
            offset: *end - 1,
            timestamp_ms: Some(record.at_ms),
            key: raw(record.key)?,
            value: raw(record.value)?,
        })
    }
}
