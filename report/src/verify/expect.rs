//! The ledger becomes expectations: one per change that is committed or may be.
//!
//! A transaction is held in memory only from `invoke` to its fate; of unknown ones, until they are
//! settled or the ledger ends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use artifacts::ledger::{Change, Entry, Fate, Op, Phase, Reader};
use artifacts::position::Lsn;
use artifacts::row::{Digest, Tables};
use artifacts::summary::Transactions;
use artifacts::time::Time;
use artifacts::{Error, Result};

use serde::{Deserialize, Serialize};

use crate::curves::Curve;

use super::record::{Expected, Item};
use super::sort::Sorter;

/// What the ledger says beside the expectations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Changes that clients tried, by phase.
    pub tried: BTreeMap<Phase, u64>,
    /// Changes known to be committed, by phase, table and operation.
    #[serde(with = "pairs")]
    pub acknowledged: BTreeMap<(Phase, String, Op), u64>,
    /// Changes nobody knows the fate of, by phase and table.
    #[serde(with = "pairs")]
    pub indeterminate: BTreeMap<(Phase, String), u64>,
    /// Rows that were there before the connector started, by table.
    pub seed_rows: BTreeMap<String, u64>,
    /// How often they were updated before the connector started, by table.
    pub seed_updates: BTreeMap<String, u64>,
    /// Inserts whose key nobody knows, because their transaction broke off: their change ids.
    pub keyless: HashSet<u64>,
    /// Transactions by the fate that their client wrote down, not by what was found out later.
    pub fates: BTreeMap<Phase, Transactions>,
    /// Changes of the acknowledged ones among them, by phase.
    pub answered: BTreeMap<Phase, u64>,
    /// Change ids of transactions that are said to have failed because COMMIT was never sent.
    pub unsent: HashSet<u64>,
    /// Unknown transactions by the line of their `invoke`: their names. Only those that got as far
    /// as COMMIT are all-or-none.
    pub unknown: HashMap<u64, String>,
    /// Committed changes, at the moment of their acknowledgement; of those settled later, when it broke off.
    pub(crate) curve: Curve,
    /// The last line is torn.
    pub torn: bool,
    /// Line of the last entry.
    pub lines: u64,
}

impl Ledger {
    /// Changes known to be committed.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.values().sum()
    }

    /// Changes that the server acknowledged to the client in a phase.
    pub fn answered_in(&self, phase: Phase) -> u64 {
        self.answered.get(&phase).copied().unwrap_or(0)
    }

    /// Changes known to be committed in a phase.
    pub fn acknowledged_in(&self, phase: Phase) -> u64 {
        self.acknowledged.iter().filter(|((p, ..), _)| *p == phase).map(|(_, n)| n).sum()
    }
}

/// JSON has no maps with such keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Vec::<(K, V)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

/// The tables that the ledger's header names.
///
/// # Errors
/// No ledger, or no header.
pub fn header(path: &Path) -> Result<Tables> {
    match Reader::open(path)?.next() {
        Some(Ok((_, Entry::Header { tables, .. }))) => Ok(tables),
        Some(Err(e)) => Err(e),
        _ => Err(Error::corrupt(path, "line 1", "a ledger begins with its header")),
    }
}

/// Reads the ledger and hands every expectation to `sorter`.
///
/// # Errors
/// The ledger cannot be read or believed; the sorter cannot spill.
pub fn read(path: &Path, tables: &Tables, sorter: &mut Sorter) -> Result<Ledger> {
    let mut reading = Reading { path, tables, sorter, open: HashMap::new(), ledger: Ledger::default() };
    let mut entries = Reader::open(path)?;
    for entry in &mut entries {
        let (line, entry) = entry?;
        reading.ledger.lines = line;
        reading.take(line, entry)?;
    }
    reading.ledger.torn = entries.torn();
    for (_, transaction) in std::mem::take(&mut reading.open) {
        reading.unknown(transaction)?;
    }
    Ok(reading.ledger)
}

struct Reading<'a> {
    path: &'a Path,
    tables: &'a Tables,
    sorter: &'a mut Sorter,
    open: HashMap<String, Transaction>,
    ledger: Ledger,
}

struct Transaction {
    name: String,
    line: u64,
    phase: Phase,
    lsn_floor: Option<Lsn>,
    changes: Vec<Change>,
    unknown_since: Option<Time>,
    returned: Option<Returned>,
}

struct Returned {
    xid: Option<u64>,
    keys: Vec<Option<i64>>,
    counts: Vec<u32>,
    rows: Vec<Option<Digest>>,
}

impl Reading<'_> {
    fn take(&mut self, line: u64, entry: Entry) -> Result<()> {
        match entry {
            Entry::Seed { table, key, ver, row } => self.seed(line, &table, key, (ver, row)),
            Entry::Invoke { tx, phase, lsn_floor, changes, .. } => {
                *self.ledger.tried.entry(phase).or_default() += changes.len() as u64;
                let name = tx.clone();
                let open = Transaction {
                    name,
                    line,
                    phase,
                    lsn_floor,
                    changes,
                    unknown_since: None,
                    returned: None,
                };
                match self.open.insert(tx, open) {
                    None => Ok(()),
                    Some(first) => Err(self.corrupt(line, &first.name, "is invoked twice")),
                }
            }
            Entry::Returned { tx, xid, keys, counts, rows } => {
                let place = || format!("line {line}");
                let Some(open) = self.open.get_mut(&tx) else {
                    let cause = format!("transaction {tx} was never invoked");
                    return Err(Error::corrupt(self.path, place(), cause));
                };
                let n = open.changes.len();
                if keys.len() != n || counts.len() != n || rows.len() != n {
                    return Err(Error::corrupt(self.path, place(), "lists differ in length"));
                }
                open.returned = Some(Returned { xid: xid.parse().ok(), keys, counts, rows });
                Ok(())
            }
            Entry::Ok { tx, t } => {
                let open = self.close(line, &tx)?;
                self.happened(t, &open);
                self.fate(open.phase).acknowledged += 1;
                let touched = open.returned.iter().flat_map(|r| &r.counts).filter(|n| **n > 0).count() as u64;
                *self.ledger.answered.entry(open.phase).or_default() += touched;
                self.committed(line, open)
            }
            Entry::Fail { tx, .. } => {
                let open = self.close(line, &tx)?;
                self.fate(open.phase).refused += 1;
                Ok(())
            }
            Entry::Info { tx, t, .. } => {
                let open = self.open.get_mut(&tx);
                let phase = open.map(|open| {
                    open.unknown_since = Some(t);
                    open.phase
                });
                phase.into_iter().for_each(|phase| self.fate(phase).unknown += 1);
                Ok(())
            }
            Entry::Settled { tx, fate, .. } => {
                let open = self.close(line, &tx)?;
                match fate {
                    Fate::Ok => {
                        open.unknown_since.into_iter().for_each(|t| self.happened(t, &open));
                        self.committed(line, open)
                    }
                    Fate::Fail if open.returned.is_none() => self.unsent(open),
                    Fate::Fail => Ok(()),
                }
            }
            Entry::Header { .. } | Entry::Resumed { .. } => Ok(()),
        }
    }

    fn happened(&mut self, t: Time, open: &Transaction) {
        let touched = open.returned.as_ref().map(|r| r.counts.iter().map(|n| u64::from(*n)).sum());
        self.ledger.curve.add(t.timestamp_millis(), touched.unwrap_or(open.changes.len() as u64), open.phase);
    }

    fn fate(&mut self, phase: Phase) -> &mut Transactions {
        self.ledger.fates.entry(phase).or_default()
    }

    fn corrupt(&self, line: u64, tx: &str, what: &str) -> Error {
        Error::corrupt(self.path, format!("line {line}"), format!("transaction {tx} {what}"))
    }

    fn close(&mut self, line: u64, tx: &str) -> Result<Transaction> {
        self.open.remove(tx).ok_or_else(|| self.corrupt(line, tx, "is not open"))
    }

    fn table(&self, line: u64, name: &str) -> Result<u16> {
        let index = self.tables.keys().position(|table| table == name);
        index.map(|i| i as u16).ok_or_else(|| {
            Error::corrupt(self.path, format!("line {line}"), format!("table {name} is not in the header"))
        })
    }

    fn seed(&mut self, line: u64, table: &str, key: i64, (ver, row): (u32, Digest)) -> Result<()> {
        *self.ledger.seed_rows.entry(table.to_owned()).or_default() += 1;
        *self.ledger.seed_updates.entry(table.to_owned()).or_default() += u64::from(ver.saturating_sub(1));
        let fact = Expected {
            change_id: 0,
            op: Op::Read,
            ver,
            phase: Phase::Before,
            committed: true,
            row: Some(row),
            xid: None,
            lsn_floor: None,
            line,
        };
        self.sorter.push(Item::expected(self.table(line, table)?, key, fact))
    }

    fn committed(&mut self, line: u64, open: Transaction) -> Result<()> {
        let Some(returned) = &open.returned else {
            return Err(self.corrupt(line, &open.name, "is committed but never returned"));
        };
        for (i, change) in open.changes.iter().enumerate() {
            if returned.counts[i] > 0 {
                let group = (open.phase, change.table.clone(), change.op);
                *self.ledger.acknowledged.entry(group).or_default() += 1;
                self.expect(&open, i, true)?;
            }
        }
        Ok(())
    }

    /// Nobody knows the fate.
    fn unknown(&mut self, open: Transaction) -> Result<()> {
        for change in &open.changes {
            let group = (open.phase, change.table.clone());
            *self.ledger.indeterminate.entry(group).or_default() += 1;
        }
        self.maybe(&open)?;
        if open.returned.is_some() {
            self.ledger.unknown.insert(open.line, open.name);
        }
        Ok(())
    }

    /// Said to have failed because COMMIT was never sent. An event of it would contradict that.
    fn unsent(&mut self, open: Transaction) -> Result<()> {
        self.ledger.unsent.extend(open.changes.iter().map(|change| change.id));
        self.maybe(&open)
    }

    /// What may be delivered and need not be.
    fn maybe(&mut self, open: &Transaction) -> Result<()> {
        for (i, change) in open.changes.iter().enumerate() {
            match &open.returned {
                Some(returned) if returned.counts[i] == 0 => {}
                None if change.key.is_none() => drop(self.ledger.keyless.insert(change.id)),
                _ => self.expect(open, i, false)?,
            }
        }
        Ok(())
    }

    fn expect(&mut self, open: &Transaction, i: usize, committed: bool) -> Result<()> {
        let (change, returned) = (&open.changes[i], open.returned.as_ref());
        let key = returned.and_then(|r| r.keys[i]).or(change.key).ok_or_else(|| {
            self.corrupt(open.line, &open.name, &format!("returned no key for change {}", change.id))
        })?;
        let fact = Expected {
            change_id: change.id,
            op: change.op,
            ver: change.ver,
            phase: open.phase,
            committed,
            row: returned.and_then(|r| r.rows[i]),
            xid: returned.and_then(|r| r.xid),
            lsn_floor: open.lsn_floor,
            line: open.line,
        };
        self.sorter.push(Item::expected(self.table(open.line, &change.table)?, key, fact))
    }
}
