//! A copy of a run's evidence, spoiled and sealed. The original is read only.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use artifacts::drain::Offsets;
use artifacts::ledger::Entry;
use artifacts::run_dir::SUMS;
use artifacts::{Error, Result, RunDir, consumed, seal};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::original::{Event, Original};
use crate::verify::rows::step_folder;

/// A change of a JSON file.
pub(super) type Edit = Box<dyn Fn(&mut Value)>;
/// A change of the bytes of a file.
pub(super) type Damage = Box<dyn Fn(&mut Vec<u8>)>;

/// What becomes of the evidence. What is none or empty stays as it was.
#[derive(Default)]
pub(super) struct Spoil {
    /// All records, in their order; offsets, ends and the cut follow from them.
    pub(super) events: Option<Vec<Rc<Event>>>,
    /// As if nobody had counted again after `events` became fewer.
    pub(super) keep_counts: bool,
    /// All entries of the ledger.
    pub(super) ledger: Option<Vec<Entry>>,
    /// File to change of its JSON.
    pub(super) edits: Vec<(String, Edit)>,
    /// File to change of its bytes.
    pub(super) damage: Vec<(String, Damage)>,
    /// The damage comes after the seal.
    pub(super) after_seal: bool,
}

impl Spoil {
    /// Writes the spoiled copy to `dir`, replacing what is there.
    pub(super) fn write(&self, original: &Original, dir: &Path) -> Result<RunDir> {
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(Error::io("remove", dir))?;
        }
        copy(original.run.root(), dir)?;
        if let Some(ledger) = &self.ledger {
            write_ledger(ledger, &dir.join(ledger_name(original)))?;
        }
        for (name, edit) in &self.edits {
            change(&dir.join(name), edit)?;
        }
        if let Some(events) = &self.events {
            let ends = write_events(events, &dir.join("consumed.jsonl.zst"))?;
            if !self.keep_counts {
                count_again(original, dir, &ends)?;
            }
        }
        if !self.after_seal {
            self.damage(dir)?;
        }
        let path = dir.join(SUMS);
        fs::write(&path, seal::sums(dir)?).map_err(Error::io("write", &path))?;
        if self.after_seal {
            self.damage(dir)?;
        }
        RunDir::open(dir)
    }

    fn damage(&self, dir: &Path) -> Result<()> {
        for (name, damage) in &self.damage {
            let path = dir.join(name);
            let mut bytes = fs::read(&path).map_err(Error::io("read", &path))?;
            damage(&mut bytes);
            fs::write(&path, bytes).map_err(Error::io("write", &path))?;
        }
        Ok(())
    }
}

/// `ledger.jsonl` or `ledger.jsonl.zst`.
pub(super) fn ledger_name(original: &Original) -> String {
    original.run.ledger().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Everything that is evidence, without its seal.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let sums = from.join(SUMS);
    let sealed = fs::read_to_string(&sums).map_err(Error::io("read", &sums))?;
    for line in sealed.lines() {
        let Some((_, name)) = line.split_once("  ") else { continue };
        let path = to.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        fs::copy(from.join(name), &path).map_err(Error::io("write", &path))?;
    }
    Ok(())
}

fn change(path: &Path, edit: impl Fn(&mut Value)) -> Result<()> {
    let text = fs::read(path).map_err(Error::io("read", path))?;
    let mut value = serde_json::from_slice(&text).map_err(|e| Error::corrupt(path, "value", e))?;
    edit(&mut value);
    fs::write(path, value.to_string()).map_err(Error::io("write", path))
}

fn write_ledger(ledger: &[Entry], path: &Path) -> Result<()> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    let mut out = zstd::Encoder::new(file, 1).map_err(Error::io("write", path))?;
    out.include_checksum(true).map_err(Error::io("write", path))?;
    for entry in ledger {
        let mut line = serde_json::to_vec(entry).map_err(|e| Error::corrupt(path, "entry", e))?;
        line.push(b'\n');
        out.write_all(&line).map_err(Error::io("write", path))?;
    }
    out.finish().map(drop).map_err(Error::io("write", path))
}

/// Where each partition ends before the cut, and where it ends.
type Ends = [Offsets; 2];

fn write_events(events: &[Rc<Event>], path: &Path) -> Result<Ends> {
    let mut ends = Ends::default();
    let mut writer = consumed::Writer::create(path)?;
    let raw = |text: &Option<String>| text.clone().map(RawValue::from_string).transpose();
    for event in events {
        let count = |ends: &mut Offsets| {
            if !ends.contains_key(&*event.topic) {
                ends.insert(event.topic.to_string(), BTreeMap::new());
            }
            let end = ends.entry(event.topic.to_string()).or_default().entry(event.partition).or_default();
            *end += 1;
            *end - 1
        };
        let offset = count(&mut ends[1]);
        if event.before_cut {
            count(&mut ends[0]);
        }
        let corrupt = |e| Error::corrupt(path, format!("offset {offset}"), e);
        writer.write(&consumed::Record {
            topic: event.topic.to_string(),
            partition: event.partition,
            offset,
            timestamp_ms: event.timestamp_ms,
            key: raw(&event.record_key).map_err(corrupt)?,
            value: raw(&event.value).map_err(corrupt)?,
        })?;
    }
    writer.finish()?;
    Ok(ends)
}

/// What was seen of the topics, as if they had held these records.
fn count_again(original: &Original, dir: &Path, ends: &Ends) -> Result<()> {
    let [cut, end] = ends;
    let cuts = |value: &mut Value, of: fn(i64) -> Value| set(value, cut, of);
    change(&dir.join("collected.json"), |collected| {
        cuts(&mut collected["cut"], |end| json!(end));
        set(&mut collected["topics"], end, |end| json!({"start": 0, "end": end, "read": end}));
    })?;
    let bounds = |end| json!({"start": 0, "end": end});
    change(&dir.join("snapshots/after.json"), |after| set(&mut after["topics"], end, bounds))?;
    match step_folder(&original.run, "drain") {
        Some(step) => {
            change(&dir.join(step).join("drain.json"), |drain| cuts(&mut drain["ends"], |end| json!(end)))
        }
        None => change(&dir.join("snapshots/cut.json"), |snapshot| cuts(&mut snapshot["topics"], bounds)),
    }
}

/// Sets every partition that is named; one that nothing is left of ends at 0.
fn set(topics: &mut Value, ends: &Offsets, of: impl Fn(i64) -> Value) {
    for (topic, partitions) in topics.as_object_mut().into_iter().flatten() {
        for (partition, value) in partitions.as_object_mut().into_iter().flatten() {
            let number = partition.parse::<i32>().unwrap_or_default();
            let end = ends.get(topic).and_then(|partitions| partitions.get(&number));
            *value = of(end.copied().unwrap_or(0));
        }
    }
}
