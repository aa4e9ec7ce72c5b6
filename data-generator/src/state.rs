//! What a ledger says is there: read before a run goes on.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use artifacts::ledger::{Change, Entry, Fate, Op, Reader};

/// The state at the end of a ledger. A row whose last transaction has an unknown fate is not
/// among the live ones: nobody knows its version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The seed in the header; none when there is no ledger yet.
    pub seed: Option<u64>,
    /// The highest change id, whatever became of it; 0 when there is none.
    pub highest_change: u64,
    /// Client number to the number of its last transaction.
    pub transactions: BTreeMap<u32, u64>,
    /// Table to primary key to version.
    pub live: BTreeMap<String, BTreeMap<i64, u32>>,
    /// Changes of transactions with an unknown fate.
    pub unknown_changes: u64,
}

/// Transactions whose fate has not been read yet: changes, keys and counts.
type Open = HashMap<String, (Vec<Change>, Vec<Option<i64>>, Vec<u32>)>;

/// The seed in a ledger's header; none when there is no ledger.
///
/// # Errors
/// The ledger cannot be read, or is of a later version.
pub fn seed_of(path: &Path) -> Result<Option<u64>, artifacts::Error> {
    if !path.exists() {
        return Ok(None);
    }
    match Reader::open(path)?.next().transpose()? {
        Some((_, Entry::Header { seed, .. })) => Ok(Some(seed)),
        _ => Ok(None),
    }
}

impl State {
    /// Folds a ledger entry by entry; without one, the state of an empty ledger. Memory grows
    /// with the live rows, not with the ledger.
    ///
    /// # Errors
    /// The ledger cannot be read, is corrupt before its last line, or is of a later version.
    pub fn read(path: &Path) -> Result<Self, artifacts::Error> {
        let mut state = Self::default();
        if !path.exists() {
            return Ok(state);
        }
        let mut open = Open::new();
        for entry in Reader::open(path)? {
            state.fold(entry?.1, &mut open);
        }
        for (changes, ..) in open.values() {
            state.unknown_changes += changes.len() as u64;
            for change in changes {
                if let (Some(key), Some(rows)) = (change.key, state.live.get_mut(&change.table)) {
                    rows.remove(&key);
                }
            }
        }
        Ok(state)
    }

    fn fold(&mut self, entry: Entry, open: &mut Open) {
        match entry {
            Entry::Header { seed, .. } => self.seed = Some(seed),
            Entry::Seed { table, key, ver, .. } => {
                self.live.entry(table).or_default().insert(key, ver);
            }
            Entry::Invoke { tx, changes, .. } => {
                if let Some((client, number)) = parse(&tx) {
                    let last = self.transactions.entry(client).or_default();
                    *last = number.max(*last);
                }
                let highest = changes.iter().map(|change| change.id).max().unwrap_or_default();
                self.highest_change = self.highest_change.max(highest);
                open.insert(tx, (changes, Vec::new(), Vec::new()));
            }
            Entry::Returned { tx, keys, counts, .. } => {
                if let Some(open) = open.get_mut(&tx) {
                    (open.1, open.2) = (keys, counts);
                }
            }
            Entry::Ok { tx, .. } | Entry::Settled { tx, fate: Fate::Ok, .. } => {
                if let Some((changes, keys, counts)) = open.remove(&tx) {
                    for ((change, key), count) in changes.iter().zip(keys).zip(counts) {
                        self.apply(change, key, count);
                    }
                }
            }
            Entry::Fail { tx, .. } | Entry::Settled { tx, fate: Fate::Fail, .. } => {
                open.remove(&tx);
            }
            Entry::Info { .. } | Entry::Resumed { .. } => {}
        }
    }

    /// A row that was not touched is not what the ledger took it for, and is left alone.
    fn apply(&mut self, change: &Change, key: Option<i64>, count: u32) {
        let Some(key) = key.or(change.key) else { return };
        let rows = self.live.entry(change.table.clone()).or_default();
        if count == 0 || change.op == Op::Delete {
            rows.remove(&key);
        } else {
            rows.insert(key, change.ver);
        }
    }
}

/// `c3-17` is transaction 17 of client 3.
fn parse(tx: &str) -> Option<(u32, u64)> {
    let (client, number) = tx.strip_prefix('c')?.split_once('-')?;
    Some((client.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::ledger::{Phase, Writer};
    use artifacts::row::{Digest, Tables};
    use artifacts::time::now;

    const TABLE: &str = "public.orders";

    fn invoke(tx: &str, id: u64, op: Op, key: Option<i64>, ver: u32) -> Entry {
        let change = Change { id, table: TABLE.into(), op, key, ver };
        Entry::Invoke {
            tx: tx.into(),
            t: now(),
            phase: Phase::Before,
            lsn_floor: None,
            changes: vec![change],
        }
    }

    fn returned(tx: &str, key: Option<i64>, count: u32) -> Entry {
        let rows = vec![key.map(|_| Digest([0; 16]))];
        Entry::Returned { tx: tx.into(), xid: "9".into(), keys: vec![key], counts: vec![count], rows }
    }

    fn ok(tx: &str) -> Entry {
        Entry::Ok { tx: tx.into(), t: now() }
    }

    fn read(entries: &[Entry]) -> State {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let mut writer = Writer::open(&path, 7, Tables::new()).unwrap();
        entries.iter().for_each(|entry| writer.write(entry).unwrap());
        State::read(&path).unwrap()
    }

    #[test]
    fn no_ledger_is_an_empty_state() {
        assert_eq!(State::read(Path::new("no/such/ledger")).unwrap(), State::default());
        assert_eq!(seed_of(Path::new("no/such/ledger")).unwrap(), None);
    }

    #[test]
    fn a_ledger_folds_into_its_live_rows() {
        let seed = |key| Entry::Seed { table: TABLE.into(), key, ver: 1, row: Digest([0; 16]) };
        let mut entries = vec![seed(1), seed(2), seed(3), seed(4)];
        entries.extend([invoke("c1-1", 1, Op::Create, None, 1), returned("c1-1", Some(9), 1), ok("c1-1")]);
        entries.extend([invoke("c1-2", 3, Op::Update, Some(1), 2), returned("c1-2", Some(1), 1), ok("c1-2")]);
        entries.extend([invoke("c2-7", 2, Op::Delete, Some(2), 1), returned("c2-7", Some(2), 1), ok("c2-7")]);
        entries.extend([invoke("c2-8", 4, Op::Update, Some(3), 2), returned("c2-8", None, 0), ok("c2-8")]);
        let fail = Entry::Fail { tx: "c2-9".into(), t: now(), sqlstate: None, error: "x".into() };
        entries.extend([invoke("c2-9", 6, Op::Delete, Some(4), 1), fail]);
        let state = read(&entries);
        assert_eq!(state.seed, Some(7));
        assert_eq!(state.highest_change, 6);
        assert_eq!(state.transactions, BTreeMap::from([(1, 2), (2, 9)]));
        assert_eq!(state.live[TABLE], BTreeMap::from([(1, 2), (4, 1), (9, 1)]));
    }

    #[test]
    fn an_unknown_fate_retires_the_row_until_it_is_settled() {
        let seed = Entry::Seed { table: TABLE.into(), key: 1, ver: 1, row: Digest([0; 16]) };
        let lost = Entry::Info { tx: "c1-1".into(), t: now(), error: "x".into() };
        let mut entries =
            vec![seed, invoke("c1-1", 1, Op::Update, Some(1), 2), returned("c1-1", Some(1), 1), lost];
        let state = read(&entries);
        assert!(state.live[TABLE].is_empty() && state.unknown_changes == 1);
        for (fate, ver) in [(Fate::Ok, 2), (Fate::Fail, 1)] {
            entries.truncate(4);
            entries.push(Entry::Settled { tx: "c1-1".into(), fate, by: "test".into() });
            assert_eq!(read(&entries).live[TABLE], BTreeMap::from([(1, ver)]));
        }
    }
}
