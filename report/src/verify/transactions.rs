//! `<prefix>.transaction`: what Debezium's END events count of each transaction, held against the events that
//! the topics hold of it. It needs no ledger.
//!
//! First a sum: every event of a table adds a hash of transaction and table, every END event takes away as
//! many as it counts. Two sums that are equal mean that every transaction agrees, but for one case in 2^64.
//! Where they are not, the topics are read once more and sorted by table and transaction; what was
//! delivered twice counts once then.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use artifacts::Result;
use artifacts::consumed::Frames;
use artifacts::ledger::Op;
use artifacts::row::Tables;
use serde::{Deserialize, Serialize};

use super::deliver::part::{Look, Part};
use super::record::{Fact, Item, OfTransaction};
use super::sort::{Merged, Sorter};
use crate::parallel;

/// Differences that are named.
const NAMED: usize = 5;
/// Bytes to sort in when the sums differ.
const MEMORY_BYTES: usize = 32 << 20;

/// What END events count, and what the topics hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transactions {
    /// END events.
    pub ends: u64,
    /// Events of captured tables that they count.
    pub counted: u64,
    /// Events of captured tables in the topics, without those of snapshots and tombstones.
    pub events: u64,
    /// Transactions, by table, of which END events count other than the topics hold.
    pub differing: u64,
    /// The first of them.
    pub named: Vec<Difference>,
    /// Hashes of the events without those of what END events count.
    sum: u64,
}

/// A transaction of which END event and topic count differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Table, `public.orders`.
    pub table: String,
    /// Transaction id.
    pub xid: u64,
    /// Events of the table that its END event counts; none when no END event names the transaction and
    /// table.
    pub counted: Option<u64>,
    /// Different events in the table's topic.
    pub held: u64,
    /// Offset of the END event in the topic of transactions.
    pub offset: Option<i64>,
}

/// An END event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// Hash of its id, `<transaction id>:<position>`.
    id: u64,
    xid: u64,
    /// Number of the table, and of its events.
    counts: Vec<(u16, u64)>,
}

#[derive(Deserialize)]
struct Value<'a> {
    status: &'a str,
    id: &'a str,
    #[serde(borrow)]
    data_collections: Option<Vec<Collection<'a>>>,
}

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(borrow)]
    data_collection: Cow<'a, str>,
    event_count: u64,
}

impl End {
    /// The value of a record, which was JSON if there is a result: an END event, or none for a BEGIN. Tables
    /// that are not captured do not count.
    pub(super) fn parse(value: &str, tables: &Tables) -> Option<Option<Self>> {
        let Value { status, id, data_collections } = serde_json::from_str(value).ok()?;
        let xid = id.split(':').next()?.parse().ok()?;
        let no = |name: &str| tables.keys().position(|table| table == name);
        let count = |of: Collection<'_>| Some((no(&of.data_collection)? as u16, of.event_count));
        let counts = data_collections.into_iter().flatten().filter_map(count).collect();
        Some((status == "END").then(|| Self { id: hash(id), xid, counts }))
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Whether an event is one of those that END events count.
fn counts(op: Option<Op>) -> bool {
    matches!(op, Some(Op::Create | Op::Update | Op::Delete))
}

impl Transactions {
    /// Counts an END event.
    pub(super) fn end(&mut self, end: &End) {
        self.ends += 1;
        for (table, n) in &end.counts {
            self.counted = self.counted.saturating_add(*n);
            self.sum = self.sum.wrapping_sub(hash((table, end.xid)).wrapping_mul(*n));
        }
    }

    /// Counts an event of a captured table.
    pub(super) fn event(&mut self, table: u16, op: Option<Op>, xid: Option<u64>) {
        if counts(op) {
            self.events += 1;
            self.sum = self.sum.wrapping_add(hash((table, xid.unwrap_or_default())));
        }
    }

    /// Counts what a frame holds, too.
    pub(super) fn add(&mut self, of: &Self) {
        self.ends += of.ends;
        self.counted = self.counted.saturating_add(of.counted);
        self.events += of.events;
        self.sum = self.sum.wrapping_add(of.sum);
    }

    /// Where there are END events and the sums differ, reads the topics once more for the transactions that do.
    ///
    /// # Errors
    /// The sorter in `dir` cannot spill. A file that is damaged now and was not before ends the reading.
    pub(super) fn compare(&mut self, path: &Path, look: &Look<'_>, dir: &Path) -> Result<()> {
        if self.ends == 0 || self.sum == 0 {
            return Ok(());
        }
        let mut sorter = Sorter::new(dir, MEMORY_BYTES);
        let mut pushed = Ok(());
        parallel::ordered(
            Frames::open(path)?,
            |frame| items(look, &look.at(frame)),
            |items| {
                pushed = items.into_iter().try_for_each(|item| sorter.push(item));
                pushed.is_ok()
            },
        );
        pushed?;
        let mut merged = Merged::new(dir, vec![sorter])?;
        let mut group = Group::default();
        while let Some(item) = merged.pop()? {
            if group.of != (item.place.table, item.place.key) {
                self.judge(&std::mem::take(&mut group), look.tables);
                group.of = (item.place.table, item.place.key);
            }
            group.take(&item.fact);
        }
        self.judge(&group, look.tables);
        Ok(())
    }

    fn judge(&mut self, group: &Group, tables: &Tables) {
        let counted = (!group.ends.is_empty())
            .then(|| group.ends.values().fold(0, |sum: u64, n| sum.saturating_add(*n)));
        if counted.unwrap_or(0) == group.held {
            return;
        }
        self.differing += 1;
        if self.named.len() < NAMED {
            let table = tables.keys().nth(usize::from(group.of.0)).cloned().unwrap_or_default();
            let xid = group.of.1.unwrap_or_default() as u64;
            self.named.push(Difference { table, xid, counted, held: group.held, offset: group.offset });
        }
    }
}

/// A transaction's events of a table.
#[derive(Default)]
struct Group {
    of: (u16, Option<i64>),
    held: u64,
    last: Option<u64>,
    /// What END events count, by their ids: two servers can have had a transaction of the same number.
    ends: BTreeMap<u64, u64>,
    offset: Option<i64>,
}

impl Group {
    /// Facts come in order: events of the same identity one behind the other.
    fn take(&mut self, fact: &Fact) {
        let Fact::OfTransaction(OfTransaction { id, counted, offset }) = fact else { return };
        match counted {
            None if self.last == Some(*id) => {}
            None => (self.last, self.held) = (Some(*id), self.held + 1),
            Some(n) => {
                let most = self.ends.entry(*id).or_default();
                *most = (*most).max(*n);
                self.offset = self.offset.or(Some(*offset));
            }
        }
    }
}

/// What a frame holds of transactions, to be sorted.
fn items(look: &Look<'_>, part: &Part) -> Vec<Item> {
    let tables = part.tables(look);
    let events = part.records.iter().filter_map(|seen| {
        let (table, (key, event)) = (tables[seen.topic]?, seen.row.as_ref().ok()?);
        // Another key, operation, version or position is another event.
        let id = hash((key, event.op, event.ver, event.lsn));
        let fact = OfTransaction { id, counted: None, offset: seen.offset };
        counts(event.op).then(|| Item::of_transaction(table, event.xid.unwrap_or_default(), fact))
    });
    let ends = part.ends.iter().flat_map(|(n, end)| {
        let offset = part.records[*n].offset;
        end.counts.iter().map(move |(table, n)| {
            Item::of_transaction(*table, end.xid, OfTransaction { id: end.id, counted: Some(*n), offset })
        })
    });
    events.chain(ends).collect()
}
