//! A run that held, read for planting: its events and what its ledger says of each key. It is held in
//! memory, which limits the self-test to runs of about a million events; nothing is written to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use artifacts::consumed::{self, Record};
use artifacts::ledger::{self, Entry, Fate, Op};
use artifacts::row::{self, Column, Digest, Tables, Wide};
use artifacts::{Error, Result, RunDir};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::avro::{Decoder, Schemas};
use crate::verify::rows::step_folder;

/// Table and primary key.
pub(super) type Key = (String, i64);

/// A record of a topic, with what planting needs of it.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) topic: Rc<str>,
    pub(super) partition: i32,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) record_key: Option<String>,
    /// None is a tombstone.
    pub(super) value: Option<String>,
    /// None for heartbeats and markers.
    pub(super) at: Option<Key>,
    pub(super) op: Option<Op>,
    /// Version of the row after it; for a deletion and its tombstone, the deleted one.
    pub(super) ver: Option<u32>,
    /// Transaction and position of a change.
    pub(super) xid: Option<u64>,
    pub(super) lsn: Option<u64>,
    /// Digest of the row that it leaves; none when it leaves the wide column out.
    pub(super) row: Option<Digest>,
    /// The wide column of that row.
    pub(super) wide: Option<Wide>,
    /// It has a row before, which is compared.
    pub(super) has_before: bool,
    pub(super) before_cut: bool,
}

impl Event {
    /// With another value, read again.
    pub(super) fn edited(&self, columns: &[Column], change: impl FnOnce(&mut Value)) -> Self {
        let mut event = self.clone();
        let mut value: Value =
            self.value.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        change(&mut value);
        event.read(&value, columns);
        event.value = Some(value.to_string());
        event
    }

    fn read(&mut self, value: &Value, columns: &[Column]) {
        (self.op, self.row) = (None, None);
        self.op = match value["op"].as_str() {
            Some("r") => Some(Op::Read),
            Some("c") => Some(Op::Create),
            Some("u") => Some(Op::Update),
            Some("d") => Some(Op::Delete),
            _ => None,
        };
        (self.xid, self.lsn) = (value["source"]["txId"].as_u64(), value["source"]["lsn"].as_u64());
        let image = if self.op == Some(Op::Delete) { "before" } else { "after" };
        self.ver = value[image]["ver"].as_u64().and_then(|n| u32::try_from(n).ok());
        if self.op == Some(Op::Delete) && !row::is_full(columns) {
            self.ver = None;
        }
        self.has_before = value["before"].is_object() && row::is_full(columns);
        let image = value["after"].as_object().and_then(|after| row::image(columns, after).ok());
        (self.row, self.wide) = image.map_or((None, None), |image| (image.digest, image.wide));
    }
}

/// A change that is known to be committed and touched a row, or a seed row ([`Op::Read`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: Key,
    pub(super) ver: u32,
    pub(super) op: Op,
}

/// See the module.
pub(super) struct Original {
    pub(super) run: RunDir,
    pub(super) prefix: String,
    pub(super) tables: Tables,
    pub(super) events: Vec<Rc<Event>>,
    /// Every record of a key, as indices of [`Original::events`], in their order.
    pub(super) of_key: BTreeMap<Key, Vec<usize>>,
    pub(super) ledger: Vec<Entry>,
    pub(super) changes: Vec<Change>,
    /// Keys of transactions whose fate nobody found out: nothing is planted there.
    pub(super) odd: BTreeSet<Key>,
    /// Rows of the new database at the end.
    pub(super) rows: HashMap<Key, Digest>,
    /// Digests of their columns are there too.
    pub(super) columns_known: bool,
}

impl Original {
    pub(super) fn read(run: &RunDir) -> Result<Self> {
        let path = run.path("consumed.jsonl.zst");
        let names = run.run()?.names;
        let cut = run.collected()?.map(|collected| collected.cut).unwrap_or_default();
        let mut ledger = Vec::new();
        for entry in ledger::Reader::open(&run.ledger())? {
            ledger.push(entry?.1);
        }
        let tables = match ledger.first() {
            Some(Entry::Header { tables, .. }) => tables.clone(),
            _ => Tables::new(),
        };
        let prefix = names.prefix;
        let (mut events, mut of_key) = (Vec::new(), BTreeMap::<Key, Vec<usize>>::new());
        let mut topics: HashMap<String, Rc<str>> = HashMap::new();
        let mut versions: HashMap<Key, u32> = HashMap::new();
        let schemas = Schemas::read(run);
        let decoder = Decoder::new(&schemas);
        for record in consumed::Reader::open(&path)? {
            let mut record = record?;
            decoder.decode(&mut record).map_err(|cause| {
                let Record { topic, partition, offset, .. } = &record;
                Error::corrupt(&path, format!("{topic} partition {partition} offset {offset}"), cause)
            })?;
            let topic = topics.entry(record.topic.clone()).or_insert_with(|| record.topic.as_str().into());
            let first_after = cut.get(&record.topic).and_then(|p| p.get(&record.partition)).copied();
            let before_cut = record.offset < first_after.unwrap_or(0);
            let mut event = event(record, topic.clone(), before_cut, &prefix, &tables);
            if let Some(at) = &event.at {
                match event.op {
                    // Without FULL, a deletion does not say which version goes: the one before it.
                    Some(Op::Tombstone | Op::Delete) => event.ver = event.ver.or(versions.get(at).copied()),
                    _ => versions.extend(event.ver.map(|ver| (at.clone(), ver))),
                }
                of_key.entry(at.clone()).or_default().push(events.len());
            }
            events.push(Rc::new(event));
        }
        let (changes, odd) = committed(&ledger);
        let (rows, columns_known) = rows(run, &tables)?;
        let run = run.clone();
        Ok(Self { run, prefix, tables, events, of_key, ledger, changes, odd, rows, columns_known })
    }

    /// The columns of a table.
    pub(super) fn columns(&self, table: &str) -> &[Column] {
        self.tables.get(table).map(Vec::as_slice).unwrap_or_default()
    }
}

fn event(record: Record, topic: Rc<str>, before_cut: bool, prefix: &str, tables: &Tables) -> Event {
    let text = |raw: Option<Box<RawValue>>| raw.map(|raw| raw.get().to_owned());
    let table = record.topic.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    let table = table.and_then(|table| tables.get_key_value(table));
    let key = record.key.as_ref().and_then(|key| serde_json::from_str::<Value>(key.get()).ok());
    let at = table.and_then(|(name, columns)| {
        let key = key.as_ref()?.get(&columns.first()?.name)?.as_i64()?;
        Some((name.clone(), key))
    });
    let value = text(record.value);
    let mut event = Event {
        topic,
        partition: record.partition,
        timestamp_ms: record.timestamp_ms,
        record_key: text(record.key),
        at,
        op: None,
        ver: None,
        xid: None,
        lsn: None,
        row: None,
        wide: None,
        has_before: false,
        before_cut,
        value: None,
    };
    let columns = table.map(|(_, columns)| columns.as_slice()).unwrap_or_default();
    match value.as_deref().map(serde_json::from_str::<Value>) {
        None => event.op = Some(Op::Tombstone),
        Some(Ok(parsed)) if event.at.is_some() => event.read(&parsed, columns),
        Some(_) => {}
    }
    event.value = value;
    event
}

/// Changes of a transaction, their keys, and how many rows each touched.
type Open<'a> = (&'a [ledger::Change], &'a [Option<i64>], &'a [u32]);

/// Committed changes and seed rows, and the keys of transactions of unknown fate.
fn committed(ledger: &[Entry]) -> (Vec<Change>, BTreeSet<Key>) {
    let mut open: HashMap<&str, Open<'_>> = HashMap::new();
    let mut changes = Vec::new();
    for entry in ledger {
        match entry {
            Entry::Seed { table, key, ver, .. } => {
                changes.push(Change { at: (table.clone(), *key), ver: *ver, op: Op::Read });
            }
            Entry::Invoke { tx, changes, .. } => drop(open.insert(tx, (changes, &[], &[]))),
            Entry::Returned { tx, keys, counts, .. } => {
                if let Some(open) = open.get_mut(tx.as_str()) {
                    (open.1, open.2) = (keys, counts);
                }
            }
            Entry::Ok { tx, .. } | Entry::Settled { tx, fate: Fate::Ok, .. } => {
                let (made, keys, counts) = open.remove(tx.as_str()).unwrap_or_default();
                let touched = made.iter().zip(keys).zip(counts).filter(|(_, n)| **n > 0);
                changes.extend(touched.filter_map(|((change, key), _)| {
                    let at = (change.table.clone(), (*key)?);
                    Some(Change { at, ver: change.ver, op: change.op })
                }));
            }
            Entry::Fail { tx, .. } | Entry::Settled { tx, .. } => drop(open.remove(tx.as_str())),
            Entry::Header { .. } | Entry::Info { .. } | Entry::Resumed { .. } => {}
        }
    }
    let mut odd = BTreeSet::new();
    for (made, keys, _) in open.into_values() {
        for (i, change) in made.iter().enumerate() {
            let key = keys.get(i).copied().flatten().or(change.key);
            odd.extend(key.map(|key| (change.table.clone(), key)));
        }
    }
    (changes, odd)
}

/// The rows of the new database at the end, from `capture-after`.
fn rows(run: &RunDir, tables: &Tables) -> Result<(HashMap<Key, Digest>, bool)> {
    let step = step_folder(run, "capture-after").unwrap_or_default();
    let (mut rows, mut columns) = (HashMap::new(), true);
    for table in tables.keys() {
        let path = run.path(format!("{step}/rows-{table}.jsonl"));
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        for (n, line) in text.lines().enumerate() {
            let (key, digest) = parsed(line).ok_or_else(|| no_row(&path, n))?;
            columns &= line.contains("\"columns\":");
            rows.insert((table.clone(), key), digest);
        }
    }
    Ok((rows, columns))
}

fn parsed(line: &str) -> Option<(i64, Digest)> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some((line["key"].as_i64()?, line["row"].as_str()?.parse().ok()?))
}

fn no_row(path: &Path, n: usize) -> Error {
    Error::corrupt(path, format!("line {}", n + 1), "no row")
}
