//! `consumed.jsonl.zst` becomes deliveries, and is held against what `collected.json` says was
//! read: a file that ends early or has a hole proves nothing about what is missing.

pub(super) mod part;

use std::collections::BTreeMap;
use std::path::Path;

use artifacts::collected::{Collected, ReadTo};
use artifacts::consumed::Frames;
use artifacts::drain::Drain;
use artifacts::ledger::{Op, Phase};
use artifacts::row::Tables;
use artifacts::{Error, Result};

use serde::{Deserialize, Serialize};

use super::record::{Delivered, Item};
use super::sort::Sorter;
use super::transactions::Transactions;
use crate::avro::Decoder;
use crate::curves::Curve;
use crate::parallel;
use part::{Look, Part};

/// Name of the topic of BEGIN and END events, behind the prefix.
pub const TRANSACTION: &str = "transaction";

/// What the topics say beside the deliveries.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Topics {
    /// Records read.
    pub records: u64,
    /// Events of rows among them.
    pub events: u64,
    /// Names of all tables: those of the ledger, then those that only topics name.
    pub tables: Vec<String>,
    /// Events of changes, at the time stamp of their record.
    pub(crate) curve: Curve,
    /// What END events count, and what the topics hold of it.
    pub transactions: Transactions,
    /// Sentences about holes between `collected.json` and what is in the file.
    pub holes: Vec<String>,
    /// The file cannot be read to its end, or holds events that cannot be decoded.
    #[serde(skip)]
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
    decoder: &Decoder<'_>,
    prefix: &str,
    tables: &Tables,
    collected: Option<&Collected>,
    marker: Option<&Drain>,
    sorter: &mut Sorter,
) -> Result<Topics> {
    let mut reading = Reading {
        path,
        prefix,
        collected,
        topics: Vec::new(),
        out: Topics { tables: tables.keys().cloned().collect(), ..Topics::default() },
    };
    let marker = marker.and_then(|drain| Some((drain.arrived.as_ref()?, drain.nonce.as_str())));
    reading.out.marker_found = marker.map(|_| false);
    let look = Look { decoder, prefix, tables, marker };
    let mut pushed = Ok(());
    match Frames::open(path) {
        Err(e) => reading.out.damage = Some(e),
        Ok(frames) => parallel::ordered(
            frames,
            |frame| look.at(frame),
            |part| {
                pushed = reading.take(part, sorter);
                pushed.is_ok() && reading.out.damage.is_none()
            },
        ),
    }
    reading.find_ends();
    pushed?;
    let mut out = reading.out;
    if out.damage.is_none() {
        out.transactions.compare(path, &look, sorter.dir())?;
    }
    Ok(out)
}

/// Puts the parts together: what can be said only in the order of the file.
struct Reading<'a> {
    path: &'a Path,
    prefix: &'a str,
    collected: Option<&'a Collected>,
    topics: Vec<Topic>,
    out: Topics,
}

struct Topic {
    name: String,
    /// Index of the table; none for topics that hold no rows.
    table: Option<u16>,
    /// Partition to the offset that comes next, and the first one after the cut.
    partitions: BTreeMap<i32, (i64, i64)>,
}

impl Reading<'_> {
    fn take(&mut self, part: Part, sorter: &mut Sorter) -> Result<()> {
        let topics: Vec<usize> = part.topics.iter().map(|name| self.topic(name)).collect();
        for (n, seen) in part.records.into_iter().enumerate() {
            self.out.records += 1;
            if let Some((_, found)) = part.marker.filter(|(at, _)| *at == n) {
                self.out.marker_found = Some(found);
            }
            let phase = match self.phase(topics[seen.topic], seen.partition, seen.offset) {
                Ok(phase) => phase,
                Err(cause) => return self.damaged(self.out.records, cause),
            };
            let Some(table) = self.topics[topics[seen.topic]].table else { continue };
            let (key, event) = match seen.row {
                Ok(row) => row,
                Err(cause) => return self.damaged(self.out.records, cause),
            };
            self.out.events += 1;
            if let Some(at_ms) = seen.at_ms.filter(|_| !matches!(event.op, Some(Op::Read | Op::Tombstone))) {
                // Without a cut nothing is known to have come after the upgrade.
                let cut = self.collected.is_some_and(|collected| !collected.cut.is_empty());
                self.out.curve.add(at_ms, 1, if cut { phase } else { Phase::Before });
            }
            let delivered = Delivered { partition: seen.partition, offset: seen.offset, phase, event };
            sorter.push(Item::delivered(table, key, delivered))?;
        }
        self.out.transactions.add(&part.transactions);
        part.damage.map_or(Ok(()), |cause| self.damaged(self.out.records + 1, cause))
    }

    fn damaged(&mut self, line: u64, cause: String) -> Result<()> {
        self.out.damage = Some(Error::corrupt(self.path, format!("line {line}"), cause));
        Ok(())
    }

    /// The phase of an offset, which must be the one that comes next in its partition.
    fn phase(&mut self, topic: usize, partition: i32, offset: i64) -> std::result::Result<Phase, String> {
        let collected = self.collected;
        let Topic { name, partitions, .. } = &mut self.topics[topic];
        let (next, cut) = partitions.entry(partition).or_insert_with(|| {
            let start = read_to(collected, name, partition).map_or(0, |to| to.start);
            let cut = collected.and_then(|c| c.cut.get(name)?.get(&partition).copied());
            (start, cut.unwrap_or(0))
        });
        if offset != *next {
            let before = next.saturating_sub(1);
            return Err(format!("offset {offset} of {name} partition {partition} follows {before}"));
        }
        *next = next.saturating_add(1);
        Ok(if offset < *cut { Phase::Before } else { Phase::After })
    }

    /// Index of a topic.
    fn topic(&mut self, name: &str) -> usize {
        if let Some(known) = self.topics.iter().position(|topic| topic.name == name) {
            return known;
        }
        let table = table_of(self.prefix, name).map(|table| {
            let tables = &mut self.out.tables;
            let known = tables.iter().position(|known| known == table);
            known.unwrap_or_else(|| {
                tables.push(table.to_owned());
                tables.len() - 1
            })
        });
        let table = table.map(|i| i as u16);
        self.topics.push(Topic { name: name.to_owned(), table, partitions: BTreeMap::new() });
        self.topics.len() - 1
    }

    fn find_ends(&mut self) {
        let Some(collected) = self.collected else { return };
        for topic in &self.topics {
            for partition in topic.partitions.keys() {
                if read_to(Some(collected), &topic.name, *partition).is_none() {
                    let text = format!("{} partition {partition} is not in collected.json", topic.name);
                    self.out.holes.push(text);
                }
            }
        }
        self.out.holes.sort_unstable();
        for (topic, partitions) in &collected.topics {
            let seen = self.topics.iter().find(|seen| seen.name == *topic);
            for (partition, to) in partitions {
                let seen = seen.and_then(|t| t.partitions.get(partition)).map_or(to.start, |p| p.0);
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

/// The table of a topic. Heartbeat, message and transaction topics are allowed beside the tables';
/// topics of others are not ours.
fn table_of<'t>(prefix: &str, topic: &'t str) -> Option<&'t str> {
    match topic.strip_prefix(prefix)?.strip_prefix('.')? {
        "message" | TRANSACTION => None,
        table => Some(table),
    }
}

/// Whether it is the topic of BEGIN and END events.
fn is_of_transactions(prefix: &str, topic: &str) -> bool {
    topic.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) == Some(TRANSACTION)
}

fn read_to<'c>(collected: Option<&'c Collected>, topic: &str, partition: i32) -> Option<&'c ReadTo> {
    collected?.topics.get(topic)?.get(&partition)
}
