//! The ledger against the database: after unknown fates are settled, every
//! row, version and digest must be the same, and the audit triggers must have counted the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use artifacts::ledger::{Change, Entry, Op, Phase, Reader};
use artifacts::row::{Digest, digest_sql, tables};
use tokio_postgres::Client;

#[derive(Debug, Default)]
struct Transaction {
    client: String,
    phase: Option<Phase>,
    changes: Vec<Change>,
    xid: Option<String>,
    keys: Vec<Option<i64>>,
    counts: Vec<u32>,
    rows: Vec<Option<Digest>>,
    /// None while unknown.
    committed: Option<bool>,
    has_fate: bool,
}

impl Transaction {
    /// Without an id it never had COMMIT sent. A server that has crashed may have given the id to
    /// another transaction.
    async fn settle(&self, admin: &Client) -> bool {
        let Some(xid) = &self.xid else { return false };
        let status = super::until("the transaction has ended", async || {
            let row = admin.query_one("SELECT pg_xact_status($1::text::xid8)", &[xid]).await.unwrap();
            row.get::<_, Option<String>>(0).filter(|status| status != "in progress")
        })
        .await;
        let there =
            data_generator::left_its_rows(admin, &self.changes, &self.keys, &self.counts).await.unwrap();
        match (status.as_str(), there) {
            ("committed", false) => println!("transaction id {xid} was given out twice"),
            ("aborted", true) if self.counts.iter().any(|count| *count > 0) => {
                panic!("{self:?} has left rows");
            }
            _ => {}
        }
        there
    }
}

/// What a ledger says.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    transactions: Vec<Transaction>,
    rows: BTreeMap<(String, i64), (u32, Digest)>,
    /// Committed changes by table, operation.
    pub(crate) counts: BTreeMap<(String, String), i64>,
    /// Committed changes by phase, table and operation.
    pub(crate) kinds: BTreeMap<(Phase, String, Op), u64>,
    pub(crate) unknown: usize,
    pub(crate) without_fate: usize,
}

impl Truth {
    /// Reads a ledger, settles what is unknown, and checks every rule of the workload.
    pub(crate) async fn read(path: &Path, admin: &Client) -> Self {
        let mut truth = Self::default();
        let mut names = BTreeMap::new();
        for entry in Reader::open(path).unwrap() {
            truth.add(entry.unwrap().1, &mut names);
        }
        let ids: Vec<u64> = truth.transactions.iter().flat_map(|t| t.changes.iter().map(|c| c.id)).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "change ids are unique");
        for transaction in &mut truth.transactions {
            truth.without_fate += usize::from(!transaction.has_fate);
            if transaction.committed.is_none() {
                truth.unknown += 1;
                transaction.committed = Some(transaction.settle(admin).await);
            }
        }
        truth.play();
        truth
    }

    fn add(&mut self, entry: Entry, names: &mut BTreeMap<String, usize>) {
        let fate = |this: &mut Self, tx: &str, committed| {
            let transaction = &mut this.transactions[names[tx]];
            assert!(!transaction.has_fate, "{tx} has one fate");
            (transaction.has_fate, transaction.committed) = (true, committed);
        };
        match entry {
            Entry::Seed { table, key, ver, row } => {
                assert_eq!(self.rows.insert((table, key), (ver, row)), None);
            }
            Entry::Invoke { tx, phase, changes, .. } => {
                let client = tx.split('-').next().unwrap().to_owned();
                assert_eq!(names.insert(tx, self.transactions.len()), None, "names are unique");
                let phase = Some(phase);
                self.transactions.push(Transaction { client, phase, changes, ..Transaction::default() });
            }
            Entry::Returned { tx, xid, keys, counts, rows } => {
                let transaction = &mut self.transactions[names[&tx]];
                assert_eq!(transaction.changes.len(), rows.len());
                transaction.xid = Some(xid);
                (transaction.keys, transaction.counts, transaction.rows) = (keys, counts, rows);
            }
            Entry::Ok { tx, .. } => fate(self, &tx, Some(true)),
            Entry::Fail { tx, .. } => fate(self, &tx, Some(false)),
            Entry::Info { tx, .. } => fate(self, &tx, None),
            _ => {}
        }
    }

    fn play(&mut self) {
        let mut gone = BTreeSet::new();
        for t in self.transactions.iter().filter(|t| t.committed == Some(true)) {
            for (i, change) in t.changes.iter().enumerate().filter(|(i, _)| t.counts[*i] == 1) {
                let at = (change.table.clone(), t.keys[i].unwrap());
                let row = t.rows[i].unwrap();
                assert!(!gone.contains(&at), "{at:?} is not used again");
                let before = self.rows.get(&at).map_or(0, |row| row.0);
                match change.op {
                    Op::Delete => {
                        assert_eq!(before, change.ver, "{at:?} is deleted at its version");
                        self.rows.remove(&at);
                        gone.insert(at);
                    }
                    _ => {
                        assert_eq!(before + 1, change.ver, "the version of {at:?} rises by one");
                        self.rows.insert(at, (change.ver, row));
                    }
                }
                *self.counts.entry((change.table.clone(), change.op.to_string())).or_default() += 1;
                *self.kinds.entry((t.phase.unwrap(), change.table.clone(), change.op)).or_default() += 1;
            }
        }
    }

    /// No two clients have touched one row; holds within one run.
    pub(crate) fn assert_owners(&self) {
        let mut owners: BTreeMap<(&str, i64), &str> = BTreeMap::new();
        for t in &self.transactions {
            for (change, key) in t.changes.iter().zip(&t.keys) {
                if let Some(key) = key {
                    let owner = owners.entry((&change.table, *key)).or_insert(&t.client);
                    assert_eq!(*owner, t.client, "{} {key}", change.table);
                }
            }
        }
    }

    /// Row by row, and by what the triggers counted.
    pub(crate) async fn assert_same(&self, admin: &Client) {
        let mut found = BTreeMap::new();
        for (table, columns) in tables() {
            let sql = format!("SELECT id, ver, {} FROM {table}", digest_sql(&columns));
            for row in admin.query(&sql, &[]).await.unwrap() {
                let (id, ver, digest): (i32, i32, String) = (row.get(0), row.get(1), row.get(2));
                found.insert((table.clone(), i64::from(id)), (ver as u32, Digest::try_from(digest).unwrap()));
            }
        }
        assert_eq!(self.rows.len(), found.len(), "rows");
        let differ = self.rows.iter().find(|(key, row)| found.get(key) != Some(row));
        assert_eq!(differ, None, "the ledger has another row than the database");
        let sql = "SELECT tbl, op, count(*) FROM audit.changes GROUP BY tbl, op";
        let rows = admin.query(sql, &[]).await.unwrap();
        let audit: BTreeMap<_, _> = rows.iter().map(|r| ((r.get(0), r.get(1)), r.get::<_, i64>(2))).collect();
        assert_eq!(self.counts, audit);
    }

    /// Each operation on each table has been committed in the phase.
    pub(crate) fn assert_every_kind(&self, phase: Phase) {
        for table in tables().keys() {
            for op in [Op::Create, Op::Update, Op::Delete] {
                assert!(self.kinds.contains_key(&(phase, table.clone(), op)), "{phase} {table} {op}");
            }
        }
    }
}
