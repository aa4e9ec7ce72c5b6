//! The simulated workload: a database, clients, their ledger and the events of their commits.

use std::collections::BTreeMap;

use artifacts::SCHEMA;
use artifacts::ledger::{Change, Entry, Fate, Op, Phase};
use artifacts::position::Lsn;
use artifacts::row::{self, Digest, Tables};
use artifacts::time::Time;
use chrono::{DateTime, TimeDelta};
use serde_json::{Map, Value, json};

use super::{Plan, Record};

/// Topic prefix.
pub const PREFIX: &str = "cdc";
/// Identity of the old server.
pub const OLD: &str = "7461000000000000001";
/// Identity of the new server.
pub const NEW: &str = "7462000000000000002";
const CLIENTS: u64 = 3;

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
    DateTime::from_timestamp(1_795_295_700, 0).unwrap()
}

/// A row of the simulated database.
#[derive(Debug, Clone)]
struct Row {
    ver: u32,
    owner: u64,
    values: Map<String, Value>,
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
pub struct Sim {
    /// Entries so far.
    pub ledger: Vec<Entry>,
    /// Records so far.
    pub records: Vec<Record>,
    /// Transaction ids committed or not, per phase.
    pub xids: BTreeMap<Phase, Vec<u32>>,
    /// Highest key given per table.
    pub sequences: BTreeMap<String, i64>,
    /// WAL position of the current server.
    pub lsn: u64,
    /// Milliseconds since [`start`].
    pub ms: i64,
    tables: Tables,
    rows: BTreeMap<String, BTreeMap<i64, Row>>,
    dice: Dice,
    phase: Phase,
    partitions: i32,
    xid: u64,
    change_id: u64,
    tx: [u64; CLIENTS as usize],
    streaming: bool,
}

struct Planned {
    tx: String,
    outcome: Outcome,
    changes: Vec<Change>,
    client: u64,
}

impl Sim {
    /// A database with its seed rows.
    pub fn new(plan: &Plan) -> Self {
        let tables = row::tables();
        let header = Entry::Header { schema: SCHEMA.into(), seed: plan.seed, tables: tables.clone() };
        let mut sim = Self {
            ledger: vec![header],
            records: Vec::new(),
            xids: BTreeMap::new(),
            sequences: tables.keys().map(|t| (t.clone(), 0)).collect(),
            lsn: 0x37EF_FC00,
            ms: 0,
            rows: tables.keys().map(|t| (t.clone(), BTreeMap::new())).collect(),
            tables,
            dice: Dice(plan.seed),
            phase: Phase::Before,
            partitions: plan.partitions,
            xid: 745,
            change_id: 0,
            tx: [0; CLIENTS as usize],
            streaming: false,
        };
        for table in sim.names() {
            for _ in 0..plan.seed_rows {
                let owner = sim.dice.below(CLIENTS);
                let (key, digest) = sim.insert(&table, owner, 0);
                sim.ledger.push(Entry::Seed { table: table.clone(), key, row: digest });
            }
        }
        sim
    }

    /// Table names.
    pub fn names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    /// The time now, advancing it.
    pub fn tick(&mut self, ms: i64) -> Time {
        self.ms += ms;
        start() + TimeDelta::milliseconds(self.ms)
    }

    /// Digest of every row.
    pub fn digests(&self) -> BTreeMap<String, BTreeMap<i64, Digest>> {
        let digest = |table: &String, row: &Row| row::digest(&self.tables[table], &row.values).unwrap();
        self.rows
            .iter()
            .map(|(t, rows)| (t.clone(), rows.iter().map(|(k, row)| (*k, digest(t, row))).collect()))
            .collect()
    }

    /// The connector's snapshot: one `r` per row; from now on changes are streamed.
    pub fn snapshot(&mut self) {
        for table in self.names() {
            for (key, row) in self.rows[&table].clone() {
                let id = row.values["change_id"].as_u64();
                self.emit(&table, key, "r", None, Some(row.values), id);
            }
        }
        self.streaming = true;
    }

    /// Moves to the new server, whose WAL is at `lsn`.
    pub fn upgrade(&mut self, lsn: u64) {
        (self.phase, self.lsn, self.xid) = (Phase::After, lsn, 1790);
    }

    /// One insert, update and delete per table, then random transactions.
    pub fn work(&mut self, plan: &Plan) {
        if plan.idle {
            return;
        }
        for table in self.names() {
            for op in [Op::Create, Op::Update, Op::Delete] {
                let client = self.rows[&table].values().next().map_or(0, |row| row.owner);
                let mut planned = self.plan(client, 0, Outcome::Ok);
                let change = self.change(&table, op, client, &mut BTreeMap::new());
                planned.changes.push(change);
                self.run(vec![planned]);
            }
        }
        for _ in 0..plan.transactions / CLIENTS {
            let group = (0..CLIENTS)
                .map(|client| {
                    let size = 1 + self.dice.below(4);
                    let outcome = if plan.odd_fates { self.outcome() } else { Outcome::Ok };
                    self.plan(client, size, outcome)
                })
                .collect();
            self.run(group);
        }
    }

    /// Inserts and updates whose effect only the snapshot shows.
    pub fn work_before_snapshot(&mut self, transactions: u64) {
        for i in 0..transactions {
            let mut planned = self.plan(i % CLIENTS, 0, Outcome::Ok);
            let op = if self.dice.below(2) == 0 { Op::Create } else { Op::Update };
            let table = self.pick_table();
            planned.changes.push(self.change(&table, op, i % CLIENTS, &mut BTreeMap::new()));
            self.run(vec![planned]);
        }
    }

    fn outcome(&mut self) -> Outcome {
        match self.dice.below(40) {
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
        let names = self.names();
        names[self.dice.below(names.len() as u64) as usize].clone()
    }

    fn plan(&mut self, client: u64, size: u64, outcome: Outcome) -> Planned {
        self.tx[client as usize] += 1;
        let tx = format!("c{client}-{}", self.tx[client as usize]);
        let mut seen = BTreeMap::new();
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
    fn change(&mut self, table: &str, op: Op, client: u64, seen: &mut BTreeMap<(String, i64), ()>) -> Change {
        self.change_id += 1;
        let owned: Vec<(i64, u32)> = self.rows[table]
            .iter()
            .filter(|(key, row)| row.owner == client && !seen.contains_key(&(table.to_owned(), **key)))
            .map(|(key, row)| (*key, row.ver))
            .take(50)
            .collect();
        let none = owned.is_empty() || op == Op::Create;
        if none {
            return Change { id: self.change_id, table: table.into(), op: Op::Create, key: None, ver: 1 };
        }
        let (key, ver) = owned[self.dice.below(owned.len() as u64) as usize];
        seen.insert((table.to_owned(), key), ());
        let ver = if op == Op::Delete { ver } else { ver + 1 };
        Change { id: self.change_id, table: table.into(), op, key: Some(key), ver }
    }

    fn run(&mut self, mut group: Vec<Planned>) {
        for planned in &group {
            let entry = Entry::Invoke {
                tx: planned.tx.clone(),
                t: self.tick(1),
                phase: self.phase,
                lsn_floor: Some(Lsn(self.lsn)),
                changes: planned.changes.clone(),
            };
            self.ledger.push(entry);
        }
        while !group.is_empty() {
            let planned = group.swap_remove(self.dice.below(group.len() as u64) as usize);
            self.finish(&planned);
        }
    }

    fn finish(&mut self, planned: &Planned) {
        let tx = planned.tx.clone();
        let t = self.tick(1);
        if planned.outcome == Outcome::NotReturned {
            return self.ledger.push(Entry::Info { tx, t, error: "connection reset".into() });
        }
        let committed = matches!(planned.outcome, Outcome::Ok | Outcome::SettledOk | Outcome::Unknown(true));
        self.xid += 1;
        let (mut keys, mut counts, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        for change in &planned.changes {
            let (key, digest) = self.apply(change, planned.client, committed);
            keys.push(key);
            counts.push(u32::from(digest.is_some()));
            digests.push(digest);
        }
        if committed {
            self.xids.entry(self.phase).or_default().push(self.xid as u32);
        }
        let xid = self.xid.to_string();
        self.ledger.push(Entry::Returned { tx: tx.clone(), xid, keys, counts, rows: digests });
        let info = Entry::Info { tx: tx.clone(), t, error: "connection reset".into() };
        let settled = |fate| Entry::Settled { tx: tx.clone(), fate, by: "pg_xact_status".into() };
        let fates = match planned.outcome {
            Outcome::Ok => vec![Entry::Ok { tx: tx.clone(), t }],
            Outcome::Fail => {
                let sqlstate = Some("40001".into());
                vec![Entry::Fail { tx: tx.clone(), t, sqlstate, error: "could not serialize".into() }]
            }
            Outcome::SettledOk => vec![info, settled(Fate::Ok)],
            Outcome::SettledFail => vec![info, settled(Fate::Fail)],
            Outcome::Unknown(_) | Outcome::NotReturned => vec![info],
        };
        self.ledger.extend(fates);
    }

    /// Does a change: its key and the row as RETURNING gives it.
    fn apply(&mut self, change: &Change, client: u64, committed: bool) -> (Option<i64>, Option<Digest>) {
        let table = &change.table;
        self.lsn += 0x118;
        if change.op == Op::Create {
            let (key, digest) = self.insert(table, client, change.id);
            let values = self.rows[table][&key].values.clone();
            match committed {
                true => self.emit(table, key, "c", None, Some(values), Some(change.id)),
                false => drop(self.rows.get_mut(table).unwrap().remove(&key)),
            }
            return (Some(key), Some(digest));
        }
        let key = change.key.unwrap();
        let Some(row) = self.rows[table].get(&key).cloned() else { return (Some(key), None) };
        let mut next = row.clone();
        if change.op == Op::Update {
            next.ver += 1;
            next.values = self.values(table, key, next.ver, change.id);
        }
        let digest = row::digest(&self.tables[table], &next.values).unwrap();
        if committed && change.op == Op::Update {
            self.rows.get_mut(table).unwrap().insert(key, next.clone());
            self.emit(table, key, "u", Some(row.values), Some(next.values), Some(change.id));
        } else if committed {
            self.rows.get_mut(table).unwrap().remove(&key);
            self.emit(table, key, "d", Some(row.values), None, Some(change.id));
        }
        (Some(key), Some(digest))
    }

    fn insert(&mut self, table: &str, owner: u64, change_id: u64) -> (i64, Digest) {
        let next = self.sequences.get_mut(table).unwrap();
        *next += 1;
        let key = *next;
        let values = self.values(table, key, 1, change_id);
        let digest = row::digest(&self.tables[table], &values).unwrap();
        self.rows.get_mut(table).unwrap().insert(key, Row { ver: 1, owner, values });
        (key, digest)
    }

    fn values(&mut self, table: &str, key: i64, ver: u32, change_id: u64) -> Map<String, Value> {
        let t = artifacts::time::format(self.tick(0));
        let n = self.dice.below(100_000);
        let row = if table == "public.customers" {
            json!({"id": key, "name": format!("name <{n}> 'q'"), "email": format!("u{n}@example.org"),
                "note": if n.is_multiple_of(7) { Value::Null } else { json!("\u{202e}note\u{1f600}") },
                "ver": ver, "change_id": change_id, "updated_at": t})
        } else {
            json!({"id": key, "customer_id": 1 + n % 50, "amount": format!("{}.{:02}", n / 100, n % 100),
                "status": "open", "payload": "x".repeat(40), "ver": ver, "change_id": change_id,
                "updated_at": t})
        };
        row.as_object().unwrap().clone()
    }

    fn emit(
        &mut self,
        table: &str,
        key: i64,
        op: &str,
        before: Option<Map<String, Value>>,
        after: Option<Map<String, Value>>,
        change_id: Option<u64>,
    ) {
        if op != "r" && !self.streaming {
            return;
        }
        let at_ms = (start() + TimeDelta::milliseconds(self.ms)).timestamp_millis();
        let (schema, name) = table.split_once('.').unwrap();
        let value = json!({"before": before, "after": after,
            "source": {"version": "3.6.3.Final", "connector": "postgresql", "name": PREFIX,
                "ts_ms": at_ms, "snapshot": if op == "r" { "true" } else { "false" }, "db": "testdb",
                "schema": schema, "table": name, "txId": self.xid as u32, "lsn": self.lsn, "xmin": null},
            "transaction": null, "op": op, "ts_ms": at_ms + 40});
        let record = Record {
            topic: format!("{PREFIX}.{table}"),
            partition: (key % i64::from(self.partitions)) as i32,
            phase: self.phase,
            at_ms: at_ms + 60,
            key: Some(json!({ "id": key }).to_string()),
            value: Some(value.to_string()),
            table: table.into(),
            row_key: key,
            change_id,
        };
        let tombstone = Record { value: None, ..record.clone() };
        self.records.push(record);
        if op == "d" {
            self.records.push(tombstone);
        }
    }
}
