//! What the walk goes over: one fact about one key, small enough to sort by the million.

use artifacts::findings::KafkaPlace;
use artifacts::ledger::{Op, Phase};
use artifacts::position::Lsn;
use artifacts::row::{Digest, Wide};

use super::event::RowEvent;

/// The place of a fact in the walk: by table, key, side, and order within the side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index into the names of the tables.
    pub table: u16,
    /// Primary key; none for an event whose key cannot be read.
    pub key: Option<i64>,
    side: u8,
    order: (u64, u64),
}

/// A fact and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Where it is sorted to.
    pub place: Place,
    /// What it says.
    pub fact: Fact,
}

/// A fact about a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The ledger expects this.
    Expected(Expected),
    /// The topics hold this.
    Delivered(Delivered),
    /// The new database ends with this row.
    Row(Digest),
    /// A transaction has this.
    OfTransaction(OfTransaction),
}

/// An event of a transaction, or what its END event counts of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfTransaction {
    /// Hash of what tells events apart, or END events.
    pub id: u64,
    /// Events that the END event counts; none for an event.
    pub counted: Option<u64>,
    /// Offset.
    pub offset: i64,
}

/// A change of the ledger, or a seed row (`op` is [`Op::Read`], `change_id` 0).
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The change.
    pub change_id: u64,
    /// Operation.
    pub op: Op,
    /// Version of the row after it; for a delete, the one deleted.
    pub ver: u32,
    /// Phase, by the ledger.
    pub phase: Phase,
    /// Acknowledged or settled as committed; false: nobody knows.
    pub committed: bool,
    /// The row as RETURNING gave it.
    pub row: Option<Digest>,
    /// Transaction id.
    pub xid: Option<u64>,
    /// A position below the change.
    pub lsn_floor: Option<Lsn>,
    /// Line of the transaction's `invoke`: names the transaction.
    pub line: u64,
}

/// An event of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Before or after the cut.
    pub phase: Phase,
    /// What it says.
    pub event: RowEvent,
}

/// An event of a topic is mostly asked for what it says.
impl std::ops::Deref for Delivered {
    type Target = RowEvent;

    fn deref(&self) -> &RowEvent {
        &self.event
    }
}

impl Delivered {
    /// Its address, in the topic of its table.
    pub fn at(&self, topic: &str) -> KafkaPlace {
        KafkaPlace { topic: topic.to_owned(), partition: self.partition, offset: self.offset }
    }
}

impl Item {
    /// An expectation of the ledger.
    pub fn expected(table: u16, key: i64, fact: Expected) -> Self {
        let order = (u64::from(fact.ver) << 8 | u64::from(op_code(fact.op)), fact.change_id);
        Self { place: Place { table, key: Some(key), side: 0, order }, fact: Fact::Expected(fact) }
    }

    /// An event.
    pub fn delivered(table: u16, key: Option<i64>, fact: Delivered) -> Self {
        let order = (fact.partition as u64, fact.offset as u64);
        Self { place: Place { table, key, side: 1, order }, fact: Fact::Delivered(fact) }
    }

    /// A row of the new database.
    pub fn row(table: u16, key: i64, row: Digest) -> Self {
        Self { place: Place { table, key: Some(key), side: 2, order: (0, 0) }, fact: Fact::Row(row) }
    }

    /// Of a transaction: its events by their ids, then its END events. The transaction takes the place of
    /// the key.
    pub fn of_transaction(table: u16, xid: u64, fact: OfTransaction) -> Self {
        let order = (u64::from(fact.counted.is_some()), fact.id);
        Self {
            place: Place { table, key: Some(xid as i64), side: 3, order },
            fact: Fact::OfTransaction(fact),
        }
    }

    /// Bytes it takes in memory.
    pub fn size(&self) -> usize {
        let Fact::Delivered(delivered) = &self.fact else { return size_of::<Self>() };
        let fault = delivered.fault.as_ref().map_or(0, |text| text.len());
        let wide = delivered.wide.as_deref().map_or(0, |wide| match wide {
            Wide::Given(text) => size_of::<Wide>() + text.len(),
            Wide::LeftOut(head, tail) => size_of::<Wide>() + head.len() + tail.len(),
        });
        size_of::<Self>() + fault + wide
    }

    /// Appends its bytes; [`Item::decode`] reads them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.place.table.to_le_bytes());
        put(out, self.place.key.map(i64::to_le_bytes));
        match &self.fact {
            Fact::Expected(e) => {
                out.extend([0, op_code(e.op), e.phase as u8, u8::from(e.committed)]);
                out.extend(e.change_id.to_le_bytes());
                out.extend(e.ver.to_le_bytes());
                out.extend(e.line.to_le_bytes());
                put(out, e.row.map(|d| d.0));
                put(out, e.xid.map(u64::to_le_bytes));
                put(out, e.lsn_floor.map(|lsn| lsn.0.to_le_bytes()));
            }
            Fact::Delivered(d) => {
                out.extend([1, d.op.map_or(u8::MAX, op_code), d.phase as u8]);
                out.extend(d.partition.to_le_bytes());
                out.extend(d.offset.to_le_bytes());
                put(out, d.ver.map(u32::to_le_bytes));
                put(out, d.before_ver.map(u32::to_le_bytes));
                put(out, d.change_id.map(u64::to_le_bytes));
                put(out, d.lsn.map(|lsn| lsn.0.to_le_bytes()));
                put(out, d.xid.map(u64::to_le_bytes));
                put(out, d.made.map(u32::to_le_bytes));
                put(out, d.row.map(|d| d.0));
                put(out, d.before_row.map(|d| d.0));
                put_text(out, d.fault.as_deref());
                let (head, tail) = match d.wide.as_deref() {
                    None => (None, None),
                    Some(Wide::Given(text)) => (Some(text), None),
                    Some(Wide::LeftOut(head, tail)) => (Some(head), Some(tail)),
                };
                put_text(out, head.map(|text| &**text));
                put_text(out, tail.map(|text| &**text));
            }
            Fact::Row(row) => {
                out.push(2);
                out.extend(row.0);
            }
            Fact::OfTransaction(OfTransaction { id, counted, offset }) => {
                out.push(3);
                out.extend(id.to_le_bytes());
                put(out, counted.map(u64::to_le_bytes));
                out.extend(offset.to_le_bytes());
            }
        }
    }

    /// Reads what [`Item::encode`] wrote; none when the bytes end early.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let table = u16::from_le_bytes(take(input)?);
        let key = maybe(input)?.map(i64::from_le_bytes);
        let [kind] = take(input)?;
        match kind {
            0 => Some(Self::expected(table, key?, decode_expected(input)?)),
            1 => Some(Self::delivered(table, key, decode_delivered(input)?)),
            2 => Some(Self::row(table, key?, Digest(take(input)?))),
            _ => {
                let (id, counted) = (u64::from_le_bytes(take(input)?), maybe(input)?.map(u64::from_le_bytes));
                let fact = OfTransaction { id, counted, offset: i64::from_le_bytes(take(input)?) };
                Some(Self::of_transaction(table, key? as u64, fact))
            }
        }
    }
}

fn decode_expected(input: &mut &[u8]) -> Option<Expected> {
    let [op, phase, committed] = take(input)?;
    Some(Expected {
        op: op_of(op)?,
        phase: phase_of(phase),
        committed: committed != 0,
        change_id: u64::from_le_bytes(take(input)?),
        ver: u32::from_le_bytes(take(input)?),
        line: u64::from_le_bytes(take(input)?),
        row: maybe(input)?.map(Digest),
        xid: maybe(input)?.map(u64::from_le_bytes),
        lsn_floor: maybe(input)?.map(|b| Lsn(u64::from_le_bytes(b))),
    })
}

fn decode_delivered(input: &mut &[u8]) -> Option<Delivered> {
    let [op, phase] = take(input)?;
    let (partition, offset) = (i32::from_le_bytes(take(input)?), i64::from_le_bytes(take(input)?));
    let mut event = RowEvent {
        op: op_of(op),
        ver: maybe(input)?.map(u32::from_le_bytes),
        before_ver: maybe(input)?.map(u32::from_le_bytes),
        change_id: maybe(input)?.map(u64::from_le_bytes),
        lsn: maybe(input)?.map(|b| Lsn(u64::from_le_bytes(b))),
        xid: maybe(input)?.map(u64::from_le_bytes),
        made: maybe(input)?.map(u32::from_le_bytes),
        row: maybe(input)?.map(Digest),
        before_row: maybe(input)?.map(Digest),
        fault: maybe_text(input)?,
        wide: None,
    };
    event.wide = match (maybe_text(input)?, maybe_text(input)?) {
        (None, _) => None,
        (Some(text), None) => Some(Box::new(Wide::Given(text))),
        (Some(head), Some(tail)) => Some(Box::new(Wide::LeftOut(head, tail))),
    };
    Some(Delivered { partition, offset, phase: phase_of(phase), event })
}

fn put<const N: usize>(out: &mut Vec<u8>, bytes: Option<[u8; N]>) {
    out.push(u8::from(bytes.is_some()));
    out.extend(bytes.iter().flatten());
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*bytes)
}

fn maybe<const N: usize>(input: &mut &[u8]) -> Option<Option<[u8; N]>> {
    let [there] = take(input)?;
    if there == 0 { Some(None) } else { take(input).map(Some) }
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    put(out, text.map(|text| (text.len() as u32).to_le_bytes()));
    out.extend(text.unwrap_or_default().as_bytes());
}

fn maybe_text(input: &mut &[u8]) -> Option<Option<Box<str>>> {
    let Some(len) = maybe(input)?.map(u32::from_le_bytes) else { return Some(None) };
    let (text, rest) = input.split_at_checked(len as usize)?;
    *input = rest;
    Some(Some(String::from_utf8_lossy(text).into()))
}

const OPS: [Op; 5] = [Op::Read, Op::Create, Op::Update, Op::Delete, Op::Tombstone];

fn op_code(op: Op) -> u8 {
    op as u8
}

fn op_of(code: u8) -> Option<Op> {
    OPS.get(usize::from(code)).copied()
}

fn phase_of(code: u8) -> Phase {
    if code == Phase::Before as u8 { Phase::Before } else { Phase::After }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::option::of;
    use proptest::prelude::*;
    use proptest::sample::select;

    pub(crate) fn items() -> impl Strategy<Value = Item> {
        let op = || select(OPS.to_vec());
        let phase = || select(vec![Phase::Before, Phase::After]);
        let digest = || any::<[u8; 16]>().prop_map(Digest);
        let ids = || (0..3u16, any::<i64>());
        let expected =
            (ids(), op(), phase(), any::<(u64, u32, u64, bool)>(), of(digest()), any::<Option<u64>>())
                .prop_map(|((table, key), op, phase, (change_id, ver, line, committed), row, n)| {
                    let (xid, lsn_floor) = (n, n.map(Lsn));
                    let fact = Expected { change_id, op, ver, phase, committed, row, xid, lsn_floor, line };
                    Item::expected(table, key, fact)
                });
        let numbers = any::<(Option<u32>, Option<u32>, Option<u64>, Option<u64>)>();
        let delivered = (ids(), of(op()), phase(), 0..9i32, 0..i64::MAX, numbers, of(digest()), of(".*"))
            .prop_map(
                |((table, key), op, phase, partition, offset, (ver, before_ver, id, n), row, fault)| {
                    let (change_id, lsn, xid) = (id, n.map(Lsn), n);
                    let fault = fault.map(Into::into);
                    let before_row = row.filter(|_| offset % 2 == 0);
                    let text = |there: bool| there.then(|| format!("{offset}").into_boxed_str());
                    let wide = match (text(offset % 3 > 0), text(offset % 3 > 1)) {
                        (None, _) => None,
                        (Some(text), None) => Some(Box::new(Wide::Given(text))),
                        (Some(head), Some(tail)) => Some(Box::new(Wide::LeftOut(head, tail))),
                    };
                    let made = ver;
                    let event = RowEvent {
                        op,
                        ver,
                        before_ver,
                        change_id,
                        lsn,
                        xid,
                        made,
                        row,
                        wide,
                        before_row,
                        fault,
                    };
                    let fact = Delivered { partition, offset, phase, event };
                    Item::delivered(table, (key != 0).then_some(key), fact)
                },
            );
        let row = (ids(), digest()).prop_map(|((table, key), row)| Item::row(table, key, row));
        let of_transaction = (0..3u16, any::<(u64, u64, Option<u64>, i64)>()).prop_map(
            |(table, (xid, id, counted, offset))| {
                Item::of_transaction(table, xid, OfTransaction { id, counted, offset })
            },
        );
        prop_oneof![expected, delivered, row, of_transaction]
    }

    proptest! {
        #[test]
        fn an_item_survives_being_written(list in proptest::collection::vec(items(), 0..20)) {
            let mut bytes = Vec::new();
            list.iter().for_each(|item| item.encode(&mut bytes));
            let mut input = bytes.as_slice();
            for item in &list {
                prop_assert_eq!(&Item::decode(&mut input).unwrap(), item);
            }
            prop_assert!(input.is_empty());
        }

        #[test]
        fn bytes_that_end_early_are_no_item(item in items(), cut in 1..40usize) {
            let mut bytes = Vec::new();
            item.encode(&mut bytes);
            let len = bytes.len().saturating_sub(cut);
            prop_assert!(Item::decode(&mut &bytes[..len]).is_none());
        }
    }
}
