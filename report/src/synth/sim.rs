//! The simulated workload: a database, clients, their ledger and the events of their commits.

mod commit;

use std::collections::{BTreeMap, BTreeSet};

use artifacts::drain::Offsets;
use artifacts::ledger::{Change, Entry, Op, Phase};
use artifacts::row::{self, Column, Digest, Tables};
use artifacts::summary::Summary;
use artifacts::time::Time;
use artifacts::{Result, SCHEMA};
use chrono::{DateTime, TimeDelta};

use super::rows::Row;
use super::{Plan, Sink};

/// Topic prefix.
pub const PREFIX: &str = "cdc";
/// Identity of the old server.
pub const OLD: &str = "7461000000000000001";
/// Identity of the new server.
pub const NEW: &str = "7462000000000000002";
const CLIENTS: u64 = 3;
/// One in so many changes is one of a document.
const DOCUMENTS_IN: u64 = 16;

/// Random numbers without a dependency: splitmix64.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n.max(1)
    }
}

/// The base of all times in a simulated run.
pub fn start() -> Time {
    DateTime::from_timestamp(1_795_295_700, 0).unwrap_or_default()
}

/// The outcome of a planned transaction.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Ok,
    Fail,
    SettledOk,
    SettledFail,
    /// Never settled; whether it was committed.
    Unknown(bool),
    /// The connection broke before every statement had answered.
    NotReturned,
}

/// Database, clients and topics.
pub struct Sim<'a> {
    sink: &'a mut dyn Sink,
    /// Offset after the last record, by topic and partition.
    pub ends: Offsets,
    /// What the clients did.
    pub summaries: BTreeMap<Phase, Summary>,
    /// Ids of the transactions that nobody read: committed while events were lost.
    pub pending: Vec<u32>,
    /// Highest key given per table.
    pub sequences: BTreeMap<String, i64>,
    /// WAL position of the current server.
    pub lsn: u64,
    /// Milliseconds since [`start`].
    pub ms: i64,
    /// Records of tables so far.
    pub events: u64,
    /// Commits are read by the connector; false before its snapshot.
    pub streaming: bool,
    /// Whatever the connector reads is dropped.
    pub deaf: bool,
    plan: &'a Plan,
    tables: Tables,
    rows: BTreeMap<String, BTreeMap<i64, Row>>,
    dice: Dice,
    phase: Phase,
    xid: u64,
    change_id: u64,
    last_commit: Option<u64>,
    /// Events of the open transaction, by table.
    counts: BTreeMap<String, u64>,
    tx: [u64; CLIENTS as usize],
}

/// Keys that a transaction has touched, by table.
type Seen = BTreeMap<String, BTreeSet<i64>>;

struct Planned {
    tx: String,
    outcome: Outcome,
    changes: Vec<Change>,
    client: u64,
}

impl<'a> Sim<'a> {
    /// A database with its seed rows.
    ///
    /// # Errors
    /// The sink cannot take them.
    pub fn new(plan: &'a Plan, sink: &'a mut dyn Sink) -> Result<Self> {
        let tables = row::tables();
        sink.entry(Entry::Header { schema: SCHEMA.into(), seed: plan.seed, tables: tables.clone() })?;
        let mut sim = Self {
            sink,
            ends: Offsets::new(),
            summaries: BTreeMap::new(),
            pending: Vec::new(),
            sequences: tables.keys().map(|t| (t.clone(), 0)).collect(),
            lsn: 0x37EF_FC00,
            ms: 0,
            events: 0,
            streaming: false,
            deaf: false,
            rows: tables.keys().map(|t| (t.clone(), BTreeMap::new())).collect(),
            tables,
            dice: Dice(plan.seed),
            phase: Phase::Before,
            xid: 745,
            change_id: 0,
            last_commit: None,
            counts: BTreeMap::new(),
            tx: [0; CLIENTS as usize],
            plan,
        };
        for table in sim.names() {
            for _ in 0..plan.seed_rows {
                let owner = sim.dice.below(CLIENTS);
                let (key, mut row) = sim.insert(&table, owner, 0);
                // Some were changed several times before anyone looked.
                let ver = 1 + sim.dice.below(8).saturating_sub(5) as u32;
                for _ in 1..ver {
                    row = sim.update(&table, key, 0).unwrap_or(row);
                }
                sim.sink.entry(Entry::Seed { table: table.clone(), key, ver, row })?;
            }
        }
        Ok(sim)
    }

    /// Table names.
    pub fn names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    /// Whether the connector writes BEGIN and END events.
    pub fn metadata(&self) -> bool {
        self.plan.metadata
    }

    /// The time now, advancing it.
    pub fn tick(&mut self, ms: i64) -> Time {
        self.ms += ms;
        start() + TimeDelta::milliseconds(self.ms)
    }

    /// Digest of every row.
    pub fn digests(&self) -> BTreeMap<String, BTreeMap<i64, Digest>> {
        let of = |rows: &BTreeMap<i64, Row>| rows.iter().map(|(key, row)| (*key, row.digest)).collect();
        self.rows.iter().map(|(table, rows)| (table.clone(), of(rows))).collect()
    }

    /// Digests of the columns of every row.
    pub fn column_digests(&self) -> BTreeMap<String, BTreeMap<i64, String>> {
        let of = |columns: &[Column], row: &Row| {
            let row: Option<row::Row<'_>> = serde_json::from_str(&row.json).ok();
            row::column_digests(columns, &row.unwrap_or_default())
        };
        let table = |(table, rows): (&String, &BTreeMap<i64, Row>)| {
            let columns = self.tables.get(table).map(Vec::as_slice).unwrap_or_default();
            (table.clone(), rows.iter().map(|(key, row)| (*key, of(columns, row))).collect())
        };
        self.rows.iter().map(table).collect()
    }

    /// The connector's snapshot: one `r` per row; from now on changes are streamed.
    ///
    /// # Errors
    /// The sink cannot take it.
    pub fn snapshot(&mut self) -> Result<()> {
        self.streaming = true;
        for table in self.names() {
            let rows = self.rows.get(&table).cloned().unwrap_or_default();
            for (key, row) in rows {
                self.emit(&table, key, "r", None, Some(&row), row.change_id)?;
            }
        }
        Ok(())
    }

    /// Moves to the new server, whose WAL is at `lsn`.
    pub fn upgrade(&mut self, lsn: u64) {
        (self.phase, self.lsn, self.xid, self.last_commit) = (Phase::After, lsn, 1790, None);
    }

    /// One insert, update and delete per table, then random transactions.
    ///
    /// # Errors
    /// The sink cannot take what they do.
    pub fn work(&mut self) -> Result<()> {
        let plan = self.plan;
        if plan.idle {
            return Ok(());
        }
        for table in self.names() {
            for op in [Op::Create, Op::Update, Op::Delete] {
                let first = self.rows.get(&table).and_then(|rows| rows.values().next());
                let client = first.map_or(0, |row| row.owner);
                let mut planned = self.plan(client, 0, Outcome::Ok);
                let change = self.change(&table, op, client, &mut Seen::new());
                planned.changes.push(change);
                self.run(vec![planned])?;
            }
        }
        let halves = if self.phase == Phase::Before { 1 } else { 2 };
        let mut groups = 0;
        while match plan.events {
            Some(events) => self.events < events.div_ceil(2) * halves,
            None => groups < plan.transactions / CLIENTS,
        } {
            groups += 1;
            let group = (0..CLIENTS)
                .map(|client| {
                    let size = 1 + self.dice.below(4);
                    let outcome = if plan.odd_fates { self.outcome() } else { Outcome::Ok };
                    self.plan(client, size, outcome)
                })
                .collect();
            self.run(group)?;
        }
        Ok(())
    }

    /// Inserts and updates whose effect only the snapshot shows.
    ///
    /// # Errors
    /// The sink cannot take them.
    pub fn work_before_snapshot(&mut self) -> Result<()> {
        for i in 0..self.plan.before_snapshot {
            let mut planned = self.plan(i % CLIENTS, 0, Outcome::Ok);
            let op = if self.dice.below(2) == 0 { Op::Create } else { Op::Update };
            let table = self.pick_table();
            planned.changes.push(self.change(&table, op, i % CLIENTS, &mut Seen::new()));
            self.run(vec![planned])?;
        }
        Ok(())
    }

    fn outcome(&mut self) -> Outcome {
        match self.dice.below(self.plan.odd_in) {
            0 | 1 => Outcome::Fail,
            2 => Outcome::SettledOk,
            3 => Outcome::SettledFail,
            4 => Outcome::Unknown(true),
            5 => Outcome::Unknown(false),
            6 => Outcome::NotReturned,
            _ => Outcome::Ok,
        }
    }

    fn pick_table(&mut self) -> String {
        let roll = self.dice.below(DOCUMENTS_IN);
        let table = match roll {
            0 => "public.documents",
            n if n % 2 == 1 => "public.customers",
            _ => "public.orders",
        };
        table.to_owned()
    }

    fn plan(&mut self, client: u64, size: u64, outcome: Outcome) -> Planned {
        self.tx[client as usize] += 1;
        let tx = format!("c{client}-{}", self.tx[client as usize]);
        let mut seen = Seen::new();
        let mut changes = Vec::new();
        for _ in 0..size {
            let table = self.pick_table();
            let op = [Op::Create, Op::Update, Op::Update, Op::Delete][self.dice.below(4) as usize];
            let mut change = self.change(&table, op, client, &mut seen);
            if self.dice.below(30) == 0 {
                change.key = change.key.map(|key| 1_000_000 + key);
            }
            changes.push(change);
        }
        Planned { tx, outcome, changes, client }
    }

    /// A change of a row that the client owns and that the transaction has not touched; an insert
    /// when there is none.
    fn change(&mut self, table: &str, op: Op, client: u64, seen: &mut Seen) -> Change {
        self.change_id += 1;
        let rows = self.rows.get(table).into_iter().flatten();
        let seen = seen.entry(table.to_owned()).or_default();
        let owned: Vec<(i64, u32)> = rows
            .filter(|(key, row)| row.owner == client && !seen.contains(*key))
            .map(|(key, row)| (*key, row.ver))
            .take(50)
            .collect();
        let none = owned.is_empty() || op == Op::Create;
        if none {
            return Change { id: self.change_id, table: table.into(), op: Op::Create, key: None, ver: 1 };
        }
        let (key, ver) = owned[self.dice.below(owned.len() as u64) as usize];
        seen.insert(key);
        let ver = if op == Op::Delete { ver } else { ver + 1 };
        Change { id: self.change_id, table: table.into(), op, key: Some(key), ver }
    }
}
