//! `consumed.jsonl.zst` becomes deliveries, and is held against what `collected.json` says was
//! read: a file that ends early or has a hole proves nothing about what is missing.

use std::collections::HashMap;
use std::path::Path;

use artifacts::collected::{Collected, ReadTo};
use artifacts::consumed::{Reader, Record};
use artifacts::drain::Drain;
use artifacts::ledger::Phase;
use artifacts::row::{Column, Tables};
use artifacts::{Error, Result};

use super::event;
use super::record::{Delivered, Item};
use super::sort::Sorter;

/// What the topics say beside the deliveries.
#[derive(Debug, Default)]
pub struct Topics {
    /// Records read.
    pub records: u64,
    /// Events of rows among them.
    pub events: u64,
    /// Names of all tables: those of the ledger, then those that only topics name.
    pub tables: Vec<String>,
    /// Sentences about holes between `collected.json` and what is in the file.
    pub holes: Vec<String>,
    /// The file cannot be read to its end, or holds events that cannot be decoded.
    pub damage: Option<Error>,
    /// Whether the last marker is where the drain saw it; none when there is none to look for.
    pub marker_found: Option<bool>,
}

/// Reads the file and hands every event of a row to `sorter`. Damage is no error: what was read up
/// to it counts, and [`Topics::damage`] tells.
///
/// # Errors
/// The sorter cannot spill.
pub fn read(
    path: &Path,
    prefix: &str,
    tables: &Tables,
    collected: Option<&Collected>,
    marker: Option<&Drain>,
    sorter: &mut Sorter,
) -> Result<Topics> {
    let mut reading = Reading {
        prefix,
        tables,
        collected,
        topics: HashMap::new(),
        out: Topics { tables: tables.keys().cloned().collect(), ..Topics::default() },
        marker: marker.and_then(|drain| Some((drain.arrived.as_ref()?, drain.nonce.as_str()))),
    };
    reading.out.marker_found = reading.marker.map(|_| false);
    match Reader::open(path) {
        Err(e) => reading.out.damage = Some(e),
        Ok(records) => {
            for (n, record) in records.enumerate() {
                match record.and_then(|record| reading.take(path, n as u64 + 1, record)) {
                    Ok(Some(item)) => sorter.push(item)?,
                    Ok(None) => {}
                    Err(e) => {
                        reading.out.damage = Some(e);
                        break;
                    }
                }
            }
        }
    }
    reading.find_ends();
    Ok(reading.out)
}

struct Reading<'a> {
    prefix: &'a str,
    tables: &'a Tables,
    collected: Option<&'a Collected>,
    topics: HashMap<String, Topic<'a>>,
    marker: Option<(&'a (String, i32, i64), &'a str)>,
    out: Topics,
}

struct Topic<'a> {
    /// Index of the table; none for topics that hold no rows.
    table: Option<u16>,
    columns: &'a [Column],
    /// Partition to the offset that comes next, and the first one after the cut.
    partitions: HashMap<i32, (i64, i64)>,
}

impl<'a> Reading<'a> {
    fn take(&mut self, path: &Path, line: u64, record: Record) -> Result<Option<Item>> {
        if !self.topics.contains_key(&record.topic) {
            let topic = self.topic(&record.topic);
            self.topics.insert(record.topic.clone(), topic);
        }
        self.out.records += 1;
        self.find_marker(&record);
        let Some(topic) = self.topics.get_mut(&record.topic) else { return Ok(None) };
        let collected = self.collected;
        let (next, cut) = topic.partitions.entry(record.partition).or_insert_with(|| {
            let start = read_to(collected, &record.topic, record.partition).map_or(0, |to| to.start);
            let cut = collected.and_then(|c| c.cut.get(&record.topic)?.get(&record.partition).copied());
            (start, cut.unwrap_or(0))
        });
        if record.offset != *next {
            let cause = format!(
                "offset {} of {} partition {} follows {}",
                record.offset,
                record.topic,
                record.partition,
                next.saturating_sub(1)
            );
            return Err(Error::corrupt(path, format!("line {line}"), cause));
        }
        *next = next.saturating_add(1);
        let phase = if record.offset < *cut { Phase::Before } else { Phase::After };
        let (Some(table), columns) = (topic.table, topic.columns) else { return Ok(None) };
        if record.value.as_ref().is_some_and(|value| value.get().starts_with("{\"$base64\"")) {
            let cause = "the event is not JSON; this version cannot decode it";
            return Err(Error::corrupt(path, format!("line {line}"), cause));
        }
        self.out.events += 1;
        let column = columns.first().map_or("id", |column| column.name.as_str());
        let key = record.key.as_ref().and_then(|key| event::key(key, column));
        let event = event::parse(record.value.as_deref(), columns);
        let delivered = Delivered { partition: record.partition, offset: record.offset, phase, event };
        Ok(Some(Item::delivered(table, key, delivered)))
    }

    /// Heartbeat, message and transaction topics are allowed beside the tables'; topics of others
    /// are not ours.
    fn topic(&mut self, name: &str) -> Topic<'a> {
        let rest = name.strip_prefix(self.prefix).and_then(|rest| rest.strip_prefix('.'));
        let table = match rest {
            None | Some("message" | "transaction") => None,
            Some(table) => Some(self.out.tables.iter().position(|t| t == table).unwrap_or_else(|| {
                self.out.tables.push(table.to_owned());
                self.out.tables.len() - 1
            })),
        };
        let columns = rest.and_then(|table| self.tables.get(table)).map_or(&[][..], Vec::as_slice);
        Topic { table: table.map(|i| i as u16), columns, partitions: HashMap::new() }
    }

    fn find_marker(&mut self, record: &Record) {
        let Some(((topic, partition, offset), nonce)) = self.marker else { return };
        if record.offset == *offset && record.partition == *partition && record.topic == *topic {
            let found = record.value.as_ref().is_some_and(|value| event::carries(value, nonce));
            self.out.marker_found = Some(found);
        }
    }

    fn find_ends(&mut self) {
        let Some(collected) = self.collected else { return };
        for (topic, seen) in &self.topics {
            for partition in seen.partitions.keys() {
                if read_to(Some(collected), topic, *partition).is_none() {
                    let text = format!("{topic} partition {partition} is not in collected.json");
                    self.out.holes.push(text);
                }
            }
        }
        self.out.holes.sort_unstable();
        for (topic, partitions) in &collected.topics {
            for (partition, to) in partitions {
                let seen = self.topics.get(topic).and_then(|t| t.partitions.get(partition)).map(|p| p.0);
                let seen = seen.unwrap_or(to.start);
                if !to.complete() {
                    let ReadTo { start, end, read } = to;
                    let text =
                        format!("{topic} partition {partition} holds {start} to {end}, read up to {read}");
                    self.out.holes.push(text);
                } else if seen < to.read {
                    let read = to.read;
                    let text = format!(
                        "{topic} partition {partition} was read up to {read}, the file holds it up to {seen}"
                    );
                    self.out.holes.push(text);
                }
            }
        }
    }
}

fn read_to<'c>(collected: Option<&'c Collected>, topic: &str, partition: i32) -> Option<&'c ReadTo> {
    collected?.topics.get(topic)?.get(&partition)
}
