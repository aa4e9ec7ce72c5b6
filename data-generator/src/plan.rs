//! Decisions: which rows a transaction changes, and how. A decision depends on the seed, the
//! client, the number of the transaction and the rows that are live, and on nothing else.

use artifacts::ledger::Op;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

use crate::content;
use crate::rows::Rows;
use crate::statements::{Plan, Planned, Statement, Table, Value};
use crate::{Mix, Workload};

mod odd;
#[cfg(test)]
mod tests;

/// How often a customer without orders is looked for before one is made.
const TRIES: u32 = 16;
/// One in so many changes is one of a document: they are large.
const DOCUMENTS_IN: u32 = 16;
/// The least characters in the body of a document: more than PostgreSQL keeps in the row.
const BODY_SIZE: u32 = 2_400;
/// Words of the random stream that one transaction may use.
const WORDS_PER_TRANSACTION: u32 = 24;

/// One in so many transactions is rolled back on purpose.
const ROLLED_BACK_IN: u32 = 64;
/// One in so many changes of the mix is odd in each of the ways of [`odd`].
const ODD_IN: u32 = 24;

/// A table and what is done to it.
pub(crate) type Kind = (Table, Op);
/// A change and its statement.
type One = (Planned, Statement, Vec<Value>);

/// The decisions of one client.
#[derive(Debug)]
pub(crate) struct Planner {
    seed: u64,
    client: u32,
    mix: Mix,
    tx_size: u32,
    key_skew: f64,
    row_size: u32,
    copy_rows: u32,
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
            copy_rows: workload.copy_rows,
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

    /// Transaction `number`: `wanted` changes when there are any, else by the mix.
    pub(crate) fn plan(&mut self, rows: &mut Rows, number: u64, wanted: &[Kind]) -> Plan {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(self.client));
        rng.set_word_pos(u128::from(number) << WORDS_PER_TRANSACTION);
        let mut plan = Plan::default();
        let size = rng.random_range(1..=self.tx_size) as usize;
        if !wanted.is_empty() {
            wanted.iter().take(size).for_each(|kind| self.change(rows, &mut rng, *kind, &mut plan));
            return plan;
        }
        plan.rolled_back = rng.random_ratio(1, ROLLED_BACK_IN);
        for _ in 0..size {
            let kind = self.kind(&mut rng);
            match (rng.random_range(0..ODD_IN), kind.1) {
                (0, _) => self.several(rows, &mut rng, kind.1, &mut plan),
                (1, Op::Update) => self.no_row(&mut rng, &mut plan),
                (2, Op::Update) => self.taken_back(rows, &mut rng, &mut plan),
                (3, Op::Update) => self.new_key(rows, &mut rng, &mut plan),
                _ => self.change(rows, &mut rng, kind, &mut plan),
            }
        }
        plan
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

    fn id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += self.id_step;
        id
    }

    /// The wanted change; an insert where there is no row for it.
    fn change(&mut self, rows: &mut Rows, rng: &mut ChaCha8Rng, (table, op): Kind, plan: &mut Plan) {
        let id = self.id();
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
        let (change, statement, values) = match (key, op) {
            (Some(key), Op::Update) => {
                let ver = rows.raise(table, key);
                self.update(rng, id, table, key, ver)
            }
            (Some(key), _) => delete(rows, id, table, key),
            (None, _) if table == Table::Documents => self.insert_document(rng, id),
            (None, _) if table == Table::Orders => match self.pick(rng, rows.customers.len()) {
                Some(n) => self.insert_order(rows, rng, id, n),
                None => self.insert_customer(rng, id),
            },
            (None, _) => self.insert_customer(rng, id),
        };
        plan.one(change, statement, values);
    }

    /// The rank of a row: low ranks more often than others when the keys are skewed.
    fn pick(&self, rng: &mut ChaCha8Rng, len: usize) -> Option<usize> {
        match Zipf::new(len as f64, self.key_skew) {
            Ok(zipf) if self.key_skew > 0.0 => Some((zipf.sample(rng) as usize).clamp(1, len) - 1),
            _ => any(rng, len),
        }
    }

    fn insert_customer(&self, rng: &mut ChaCha8Rng, id: u64) -> One {
        let values = vec![
            Value::Long(id as i64),
            Value::Text(Some(content::phrase(rng))),
            Value::Text(Some(content::email(rng))),
            Value::Text(content::wide(rng, self.row_size)),
        ];
        (Planned::insert(id, Table::Customers), Statement::InsertCustomer, values)
    }

    fn insert_order(&self, rows: &mut Rows, rng: &mut ChaCha8Rng, id: u64, rank: usize) -> One {
        let customer = rows.customers.at(rank).0;
        rows.refer(customer, 1);
        let values = vec![
            Value::Long(id as i64),
            Value::Int(customer as i32),
            Value::Text(Some(content::amount(rng))),
            Value::Text(Some(content::status(rng))),
            Value::Text(content::wide(rng, self.row_size)),
        ];
        let change = Planned { customer: Some(customer), ..Planned::insert(id, Table::Orders) };
        (change, Statement::InsertOrder, values)
    }

    fn insert_document(&self, rng: &mut ChaCha8Rng, id: u64) -> One {
        let values = vec![
            Value::Long(id as i64),
            Value::Text(Some(content::phrase(rng))),
            Value::Text(content::wide(rng, self.row_size.max(BODY_SIZE))),
        ];
        (Planned::insert(id, Table::Documents), Statement::InsertDocument, values)
    }

    /// Most updates leave the wide column alone. `ver` is the version before.
    fn update(&self, rng: &mut ChaCha8Rng, id: u64, table: Table, key: i64, ver: u32) -> One {
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
        let (op, key, ver) = (Op::Update, Some(key), ver + 1);
        (Planned { id, table, op, key, ver, customer: None, leaves_nothing: false }, statement, values)
    }
}

fn delete(rows: &mut Rows, id: u64, table: Table, key: i64) -> One {
    let change = deletion(rows, id, table, key);
    let statement = match table {
        Table::Customers => Statement::DeleteCustomer,
        Table::Orders => Statement::DeleteOrder,
        Table::Documents => Statement::DeleteDocument,
    };
    let values = vec![Value::Int(key as i32), Value::Int(change.ver as i32)];
    (change, statement, values)
}

fn deletion(rows: &mut Rows, id: u64, table: Table, key: i64) -> Planned {
    let (ver, customer) = rows.remove(table, key);
    Planned { id, table, op: Op::Delete, key: Some(key), ver, customer, leaves_nothing: false }
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
