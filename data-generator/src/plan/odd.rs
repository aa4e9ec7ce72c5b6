//! What a careless consumer, or a careless verifier, does not expect: statements that change several
//! rows, none, or a key, and changes that a savepoint takes back.

use std::collections::BTreeSet;

use artifacts::ledger::Op;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Planner, any, deletion};
use crate::content;
use crate::rows::Rows;
use crate::statements::{Plan, Planned, Statement, Table, Value};

/// Never given by a sequence.
const NO_KEY: i32 = 0;

impl Planner {
    /// A statement that inserts orders, updates customers or deletes orders, up to four of them, or a COPY of more.
    pub(super) fn several(&mut self, rows: &mut Rows, rng: &mut ChaCha8Rng, op: Op, plan: &mut Plan) {
        let (size, table) = (rng.random_range(2..=4), Table::Customers);
        match op {
            Op::Create if rows.customers.len() > 0 && self.copy_rows > 0 => self.copy_orders(rows, rng, plan),
            Op::Create if rows.customers.len() > 0 => self.insert_orders(rows, rng, size, plan),
            Op::Update if rows.customers.len() > 0 => self.update_customers(rows, rng, size, plan),
            Op::Delete if rows.orders.len() > 0 => self.delete_orders(rows, rng, size, plan),
            _ => self.change(rows, rng, (table, op), plan),
        }
    }

    fn insert_orders(&mut self, rows: &mut Rows, rng: &mut ChaCha8Rng, size: usize, plan: &mut Plan) {
        let (mut changes, mut customers) = (Vec::new(), Vec::new());
        let (mut amounts, mut states, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..size {
            let Some(rank) = self.pick(rng, rows.customers.len()) else { continue };
            let customer = rows.customers.at(rank).0;
            rows.refer(customer, 1);
            customers.push(customer as i32);
            amounts.push(Some(content::amount(rng)));
            states.push(Some(content::status(rng)));
            payloads.push(content::wide(rng, self.row_size));
            changes.push(Planned { customer: Some(customer), ..Planned::insert(self.id(), Table::Orders) });
        }
        let texts = [amounts, states, payloads].map(Value::Texts);
        let values = [ids(&changes), Value::Ints(customers)].into_iter().chain(texts).collect();
        plan.add(changes, Statement::InsertOrders, values);
    }

    /// PostgreSQL writes many rows of a COPY as one record of the WAL: their events have one position. A COPY gives
    /// nothing back, so the rows are read by the change ids, above the keys that were given before.
    fn copy_orders(&mut self, rows: &mut Rows, rng: &mut ChaCha8Rng, plan: &mut Plan) {
        let (mut changes, mut lines) = (Vec::new(), String::new());
        for _ in 0..rng.random_range(2..=self.copy_rows.max(2)) {
            let Some(rank) = self.pick(rng, rows.customers.len()) else { continue };
            let (id, customer) = (self.id(), rows.customers.at(rank).0);
            rows.refer(customer, 1);
            let (amount, status) = (content::amount(rng), content::status(rng));
            let payload =
                content::wide(rng, self.row_size).map_or_else(|| r"\N".into(), |text| escaped(&text));
            lines.push_str(&format!("{id}\t{customer}\t{amount}\t{status}\t{payload}\t1\tnow\n"));
            changes.push(Planned { customer: Some(customer), ..Planned::insert(id, Table::Orders) });
        }
        let values = vec![Value::Int(rows.newest_order as i32), ids(&changes)];
        plan.add(Vec::new(), Statement::CopyOrders, vec![Value::Text(Some(lines))]);
        plan.add(changes, Statement::CopiedOrders, values);
    }

    fn update_customers(&mut self, rows: &mut Rows, rng: &mut ChaCha8Rng, size: usize, plan: &mut Plan) {
        let picked: BTreeSet<i64> = (0..size)
            .filter_map(|_| Some(rows.customers.at(self.pick(rng, rows.customers.len())?).0))
            .collect();
        let (op, table, customer, leaves_nothing) = (Op::Update, Table::Customers, None, false);
        let mut changes = Vec::new();
        for key in picked {
            let (id, ver) = (self.id(), rows.raise(table, key) + 1);
            changes.push(Planned { id, table, op, key: Some(key), ver, customer, leaves_nothing });
        }
        let before = changes.iter().map(|change| change.ver as i32 - 1).collect();
        let emails = changes.iter().map(|_| Some(content::email(rng))).collect();
        let values = vec![ids(&changes), keys(&changes), Value::Ints(before), Value::Texts(emails)];
        plan.add(changes, Statement::UpdateCustomers, values);
    }

    fn delete_orders(&mut self, rows: &mut Rows, rng: &mut ChaCha8Rng, size: usize, plan: &mut Plan) {
        let picked: BTreeSet<i64> =
            (0..size).filter_map(|_| Some(rows.orders.at(any(rng, rows.orders.len())?).0)).collect();
        let changes: Vec<Planned> =
            picked.into_iter().map(|key| deletion(rows, self.id(), Table::Orders, key)).collect();
        let versions = changes.iter().map(|change| change.ver as i32).collect();
        let values = vec![keys(&changes), Value::Ints(versions)];
        plan.add(changes, Statement::DeleteOrders, values);
    }

    /// An update that finds no row.
    pub(super) fn no_row(&mut self, rng: &mut ChaCha8Rng, plan: &mut Plan) {
        let id = self.id();
        let (change, statement, values) = self.update(rng, id, Table::Customers, NO_KEY.into(), 1);
        plan.one(Planned { leaves_nothing: true, ..change }, statement, values);
    }

    /// An update that is rolled back to a savepoint, and another change of the savepoint that stays.
    pub(super) fn taken_back(&mut self, rows: &mut Rows, rng: &mut ChaCha8Rng, plan: &mut Plan) {
        let id = self.id();
        let document = rng.random_ratio(1, 4) && rows.documents.len() > 0;
        let (table, row) = if document {
            let row = any(rng, rows.documents.len()).map(|n| rows.documents.at(n));
            (Table::Documents, row.map(|(key, ver)| (key, *ver)))
        } else {
            let row = any(rng, rows.customers.len()).map(|n| rows.customers.at(n));
            (Table::Customers, row.map(|(key, row)| (key, row.ver)))
        };
        let (change, statement, values) = match row {
            Some((key, ver)) => self.update(rng, id, table, key, ver),
            None => self.insert_customer(rng, id),
        };
        plan.send(Statement::Savepoint);
        plan.one(Planned { leaves_nothing: true, ..change }, statement, values);
        plan.send(Statement::RollbackTo);
        self.change(rows, rng, (table, Op::Update), plan);
        plan.send(Statement::Release);
    }

    /// An order gets a new key. Debezium delivers the deletion of one row and another one, and so it
    /// stands in the ledger.
    pub(super) fn new_key(&mut self, rows: &mut Rows, rng: &mut ChaCha8Rng, plan: &mut Plan) {
        let Some(rank) = any(rng, rows.orders.len()) else {
            return self.change(rows, rng, (Table::Orders, Op::Update), plan);
        };
        let gone = deletion(rows, self.id(), Table::Orders, rows.orders.at(rank).0);
        let new = Planned { customer: gone.customer, ..Planned::insert(self.id(), Table::Orders) };
        gone.customer.into_iter().for_each(|customer| rows.refer(customer, 1));
        let key = gone.key.unwrap_or_default() as i32;
        let values = vec![Value::Long(new.id as i64), Value::Int(key), Value::Int(gone.ver as i32)];
        plan.add(vec![gone, new], Statement::RenumberOrder, values);
    }
}

/// As a field of COPY's text format.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('\t', r"\t").replace('\n', r"\n").replace('\r', r"\r")
}

fn ids(changes: &[Planned]) -> Value {
    Value::Longs(changes.iter().map(|change| change.id as i64).collect())
}

fn keys(changes: &[Planned]) -> Value {
    Value::Ints(changes.iter().map(|change| change.key.unwrap_or_default() as i32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_copy_is_one_field_of_one_line() {
        for text in content::NASTY {
            let field = escaped(text);
            assert!(!field.contains(['\t', '\n', '\r']) && field != r"\N", "{field}");
        }
        assert_eq!(escaped("a\tb\\N\r\n"), r"a\tb\\N\r\n");
    }
}
