//! Decisions: which rows a transaction changes, and how. A decision depends on the seed, the
//! client, the number of the transaction and the rows that are live, and on nothing else.

use artifacts::ledger::Op;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

use crate::content;
use crate::rows::Rows;
use crate::statements::{Planned, Statement, Table, Value};
use crate::{Mix, Workload};

/// How often a customer without orders is looked for before one is made.
const TRIES: u32 = 16;
/// One in so many changes is one of a document: they are large.
const DOCUMENTS_IN: u32 = 16;
/// The least characters in the body of a document: more than PostgreSQL keeps in the row.
const BODY_SIZE: u32 = 2_400;
/// Words of the random stream that one transaction may use.
const WORDS_PER_TRANSACTION: u32 = 24;

/// A table and what is done to it.
pub(crate) type Kind = (Table, Op);

/// The decisions of one client.
#[derive(Debug)]
pub(crate) struct Planner {
    seed: u64,
    client: u32,
    mix: Mix,
    tx_size: u32,
    key_skew: f64,
    row_size: u32,
    next_id: u64,
    id_step: u64,
}

impl Planner {
    /// `client` counts from 1; change ids begin above `highest_change`.
    pub(crate) fn new(workload: &Workload, client: u32, highest_change: u64) -> Self {
        Self {
            seed: workload.seed,
            client,
            mix: workload.mix,
            tx_size: workload.tx_size.max(1),
            key_skew: workload.key_skew,
            row_size: workload.row_size,
            next_id: highest_change + u64::from(client),
            id_step: u64::from(workload.clients.max(client)),
        }
    }

    /// What one client makes first, so that each kind of change that the mix allows occurs.
    pub(crate) fn every_kind(mix: Mix) -> Vec<Kind> {
        let of = |op: Op, weight: u32| Table::ALL.map(|table| (weight > 0).then_some((table, op)));
        let [inserts, updates, mut deletes] =
            [of(Op::Create, mix.insert), of(Op::Update, mix.update), of(Op::Delete, mix.delete)];
        deletes.reverse();
        [inserts, updates, deletes].concat().into_iter().flatten().collect()
    }

    /// The changes of transaction `number`: `wanted` when there are any, else by the mix.
    pub(crate) fn plan(&mut self, rows: &mut Rows, number: u64, wanted: &[Kind]) -> Vec<Planned> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(self.client));
        rng.set_word_pos(u128::from(number) << WORDS_PER_TRANSACTION);
        let size = rng.random_range(1..=self.tx_size) as usize;
        if wanted.is_empty() {
            (0..size)
                .map(|_| {
                    let kind = self.kind(&mut rng);
                    self.change(rows, &mut rng, kind)
                })
                .collect()
        } else {
            wanted.iter().take(size).map(|kind| self.change(rows, &mut rng, *kind)).collect()
        }
    }

    fn kind(&self, rng: &mut ChaCha8Rng) -> Kind {
        let Mix { insert, update, delete } = self.mix;
        let total = (u64::from(insert) + u64::from(update) + u64::from(delete)).max(1);
        let roll = rng.random_range(0..total);
        let op = if roll < u64::from(insert) {
            Op::Create
        } else if roll < u64::from(insert) + u64::from(update) {
            Op::Update
        } else {
            Op::Delete
        };
        let table = if rng.random_ratio(1, DOCUMENTS_IN) {
            Table::Documents
        } else if rng.random() {
            Table::Orders
        } else {
            Table::Customers
        };
        (table, op)
    }

    /// The wanted change; an insert where there is no row for it.
    fn change(&mut self, rows: &mut Rows, rng: &mut ChaCha8Rng, (table, op): Kind) -> Planned {
        let id = self.next_id;
        self.next_id += self.id_step;
        let key = match (op, table) {
            (Op::Update, Table::Customers) => {
                self.pick(rng, rows.customers.len()).map(|n| rows.customers.at(n).0)
            }
            (Op::Update, Table::Orders) => self.pick(rng, rows.orders.len()).map(|n| rows.orders.at(n).0),
            (Op::Update, Table::Documents) => {
                self.pick(rng, rows.documents.len()).map(|n| rows.documents.at(n).0)
            }
            (Op::Delete, Table::Customers) => childless(rows, rng),
            (Op::Delete, Table::Orders) => any(rng, rows.orders.len()).map(|n| rows.orders.at(n).0),
            (Op::Delete, Table::Documents) => any(rng, rows.documents.len()).map(|n| rows.documents.at(n).0),
            _ => None,
        };
        match (key, op) {
            (Some(key), Op::Update) => self.update(rows, rng, id, table, key),
            (Some(key), _) => delete(rows, id, table, key),
            (None, _) if table == Table::Documents => self.insert_document(rng, id),
            (None, _) if table == Table::Orders => match self.pick(rng, rows.customers.len()) {
                Some(n) => self.insert_order(rows, rng, id, n),
                None => self.insert_customer(rng, id),
            },
            (None, _) => self.insert_customer(rng, id),
        }
    }

    /// The rank of a row: low ranks more often than others when the keys are skewed.
    fn pick(&self, rng: &mut ChaCha8Rng, len: usize) -> Option<usize> {
        match Zipf::new(len as f64, self.key_skew) {
            Ok(zipf) if self.key_skew > 0.0 => Some((zipf.sample(rng) as usize).clamp(1, len) - 1),
            _ => any(rng, len),
        }
    }

    fn insert_customer(&self, rng: &mut ChaCha8Rng, id: u64) -> Planned {
        let values = vec![
            Value::Long(id as i64),
            Value::Text(Some(content::phrase(rng))),
            Value::Text(Some(content::email(rng))),
            Value::Text(content::wide(rng, self.row_size)),
        ];
        let (table, statement) = (Table::Customers, Statement::InsertCustomer);
        Planned { id, table, op: Op::Create, key: None, ver: 1, customer: None, statement, values }
    }

    fn insert_order(&self, rows: &mut Rows, rng: &mut ChaCha8Rng, id: u64, rank: usize) -> Planned {
        let customer = rows.customers.at(rank).0;
        rows.refer(customer, 1);
        let values = vec![
            Value::Long(id as i64),
            Value::Int(customer as i32),
            Value::Text(Some(content::amount(rng))),
            Value::Text(Some(content::status(rng))),
            Value::Text(content::wide(rng, self.row_size)),
        ];
        let (table, statement, customer) = (Table::Orders, Statement::InsertOrder, Some(customer));
        Planned { id, table, op: Op::Create, key: None, ver: 1, customer, statement, values }
    }

    fn insert_document(&self, rng: &mut ChaCha8Rng, id: u64) -> Planned {
        let values = vec![
            Value::Long(id as i64),
            Value::Text(Some(content::phrase(rng))),
            Value::Text(content::wide(rng, self.row_size.max(BODY_SIZE))),
        ];
        let (table, statement) = (Table::Documents, Statement::InsertDocument);
        Planned { id, table, op: Op::Create, key: None, ver: 1, customer: None, statement, values }
    }

    /// Most updates leave the wide column alone.
    fn update(&self, rows: &mut Rows, rng: &mut ChaCha8Rng, id: u64, table: Table, key: i64) -> Planned {
        let ver = rows.raise(table, key);
        let mut values = vec![Value::Long(id as i64), Value::Int(key as i32), Value::Int(ver as i32)];
        let rewrite = rng.random_ratio(1, 4);
        let statement = match table {
            Table::Customers => {
                values.push(Value::Text(Some(content::email(rng))));
                if rewrite { Statement::RewriteCustomer } else { Statement::UpdateCustomer }
            }
            Table::Orders => {
                values.push(Value::Text(Some(content::status(rng))));
                if rewrite {
                    values.push(Value::Text(Some(content::amount(rng))));
                }
                if rewrite { Statement::RewriteOrder } else { Statement::UpdateOrder }
            }
            Table::Documents => {
                values.push(Value::Text(Some(content::phrase(rng))));
                if rewrite { Statement::RewriteDocument } else { Statement::UpdateDocument }
            }
        };
        if rewrite {
            let least = if table == Table::Documents { BODY_SIZE } else { 0 };
            values.push(Value::Text(content::wide(rng, self.row_size.max(least))));
        }
        Planned { id, table, op: Op::Update, key: Some(key), ver: ver + 1, customer: None, statement, values }
    }
}

fn delete(rows: &mut Rows, id: u64, table: Table, key: i64) -> Planned {
    let (ver, customer) = rows.remove(table, key);
    let statement = match table {
        Table::Customers => Statement::DeleteCustomer,
        Table::Orders => Statement::DeleteOrder,
        Table::Documents => Statement::DeleteDocument,
    };
    let values = vec![Value::Int(key as i32), Value::Int(ver as i32)];
    Planned { id, table, op: Op::Delete, key: Some(key), ver, customer, statement, values }
}

fn any(rng: &mut ChaCha8Rng, len: usize) -> Option<usize> {
    (len > 0).then(|| rng.random_range(0..len))
}

/// A customer without orders, if one is found soon.
fn childless(rows: &Rows, rng: &mut ChaCha8Rng) -> Option<i64> {
    (0..TRIES).find_map(|_| {
        let (key, row) = rows.customers.at(any(rng, rows.customers.len())?);
        (row.orders == 0).then_some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::rows::Outcome;
    use crate::statements::Answer;
    use artifacts::Lsn;
    use artifacts::row::Digest;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn workload(seed: u64, clients: u32, tx_size: u32, mix: [u32; 3], key_skew: f64) -> Workload {
        let mix = Mix { insert: mix[0], update: mix[1], delete: mix[2] };
        let (changes, rate, duration_s, row_size, seed_rows) = (None, 0.0, None, 20, 0);
        Workload { seed, changes, rate, duration_s, clients, tx_size, mix, key_skew, row_size, seed_rows }
    }

    /// A database in memory: answers as PostgreSQL would, and refuses what it would refuse.
    #[derive(Default, Clone)]
    struct Database {
        customers: BTreeMap<i64, u32>,
        orders: BTreeMap<i64, (u32, i64)>,
        documents: BTreeMap<i64, u32>,
        last: i64,
    }

    impl Database {
        fn apply(&mut self, change: &Planned) -> Result<Option<Answer>, String> {
            let key = change.key.unwrap_or(self.last + 1);
            self.last = self.last.max(key);
            let touched = match (change.table, change.op) {
                (Table::Customers, Op::Create) => self.customers.insert(key, 1).is_none(),
                (Table::Customers, Op::Update) => {
                    self.customers.insert(key, change.ver) == Some(change.ver - 1)
                }
                (Table::Customers, _) => {
                    if self.orders.values().any(|(_, customer)| *customer == key) {
                        return Err(format!("customer {key} has orders"));
                    }
                    self.customers.remove(&key) == Some(change.ver)
                }
                (Table::Orders, Op::Create) => {
                    let customer = change.customer.unwrap();
                    if !self.customers.contains_key(&customer) {
                        return Err(format!("no customer {customer}"));
                    }
                    self.orders.insert(key, (1, customer)).is_none()
                }
                (Table::Orders, Op::Update) => {
                    let row = self.orders.get_mut(&key).ok_or("no such order")?;
                    row.0 += 1;
                    row.0 == change.ver
                }
                (Table::Orders, _) => self.orders.remove(&key).map(|(ver, _)| ver) == Some(change.ver),
                (Table::Documents, Op::Create) => self.documents.insert(key, 1).is_none(),
                (Table::Documents, Op::Update) => {
                    self.documents.insert(key, change.ver) == Some(change.ver - 1)
                }
                (Table::Documents, _) => self.documents.remove(&key) == Some(change.ver),
            };
            let answer = Answer { key, row: Digest([0; 16]), xid: "1".into(), lsn: Lsn(1) };
            touched.then_some(Some(answer)).ok_or_else(|| format!("not touched: {change:?}"))
        }
    }

    /// Plays transactions against the database; `fates` says what becomes of each.
    fn play(workload: &Workload, fates: &[u8]) -> (Rows, Database, Vec<Planned>) {
        let (mut rows, mut database, mut all) = (Rows::default(), Database::default(), Vec::new());
        let mut planner = Planner::new(workload, 1, 100);
        for (number, fate) in (1..).zip(fates) {
            let changes = planner.plan(&mut rows, number, &[]);
            let mut next = database.clone();
            let answers: Result<Vec<_>, _> = changes.iter().map(|c| next.apply(c)).collect();
            let answers = answers.unwrap();
            let outcome = match fate {
                0 => Outcome::Refused(Fault::ours("no")),
                1 => Outcome::Unknown(Fault::ours("lost")),
                _ => Outcome::Committed(answers),
            };
            // An unknown one may have been committed.
            if *fate != 0 && (*fate != 1 || number % 2 == 0) {
                database = next;
            }
            rows.settle(&changes, &outcome);
            all.extend(changes);
        }
        (rows, database, all)
    }

    proptest! {
        /// What is planned is always possible: the version is right, no customer with orders is
        /// deleted, no order refers to a customer that is gone, whatever the fates were.
        #[test]
        fn plans_fit_the_database(
            seed: u64, tx_size in 1u32..6, skew in prop::sample::select(vec![0.0, 1.1]),
            mix in prop::sample::select(vec![[60, 30, 10], [30, 30, 40], [0, 1, 1], [1, 0, 0]]),
            fates in prop::collection::vec(0u8..8, 1..80),
        ) {
            let (rows, database, all) = play(&workload(seed, 1, tx_size, mix, skew), &fates);
            for key in rows.customers.keys() { prop_assert!(database.customers.contains_key(&key)); }
            for key in rows.orders.keys() { prop_assert!(database.orders.contains_key(&key)); }
            for key in rows.documents.keys() { prop_assert!(database.documents.contains_key(&key)); }
            if fates.iter().all(|fate| *fate != 1) {
                prop_assert_eq!(rows.customers.len(), database.customers.len());
                prop_assert_eq!(rows.orders.len(), database.orders.len());
                prop_assert_eq!(rows.documents.len(), database.documents.len());
            }
            let ids: BTreeSet<u64> = all.iter().map(|change| change.id).collect();
            prop_assert_eq!(ids.len(), all.len());
        }

        #[test]
        fn the_same_seed_takes_the_same_decisions(seed: u64, fates in prop::collection::vec(0u8..8, 1..40)) {
            let workload = workload(seed, 4, 4, [60, 30, 10], 0.9);
            prop_assert_eq!(play(&workload, &fates).2, play(&workload, &fates).2);
        }
    }

    #[test]
    fn clients_share_no_change_id_and_decide_differently() {
        let workload = workload(7, 3, 4, [60, 30, 10], 0.0);
        let mut ids = BTreeSet::new();
        let mut values = BTreeSet::new();
        for client in 1..=3 {
            let mut planner = Planner::new(&workload, client, 50);
            let mut rows = Rows::default();
            for number in 1..=20 {
                for change in planner.plan(&mut rows, number, &[]) {
                    assert!(change.id > 50 && ids.insert(change.id));
                    values.insert(format!("{:?}", change.values[1..].to_vec()));
                }
                rows.settle(&[], &Outcome::Committed(Vec::new()));
            }
        }
        assert_eq!(values.len(), ids.len());
    }

    #[test]
    fn every_kind_comes_before_the_mix() {
        let workload = workload(1, 1, 4, [60, 30, 10], 0.0);
        let mut wanted = Planner::every_kind(workload.mix);
        assert_eq!(wanted.len(), 9);
        let (mut planner, mut rows, mut database) =
            (Planner::new(&workload, 1, 0), Rows::default(), Database::default());
        let mut made = 0;
        for number in 1..30 {
            if wanted.is_empty() {
                break;
            }
            let changes = planner.plan(&mut rows, number, &wanted);
            let answers = changes.iter().map(|c| database.apply(c).unwrap()).collect();
            rows.settle(&changes, &Outcome::Committed(answers));
            made += changes.len();
            wanted.retain(|kind| changes.iter().all(|c| *kind != (c.table, c.op)));
        }
        assert!(wanted.is_empty() && made <= 24, "{wanted:?} left after {made}");
    }

    #[test]
    fn a_mix_without_deletes_wants_none() {
        let kinds = Planner::every_kind(Mix { insert: 1, update: 1, delete: 0 });
        assert!(kinds.len() == 6 && kinds.iter().all(|(_, op)| *op != Op::Delete));
    }
}
