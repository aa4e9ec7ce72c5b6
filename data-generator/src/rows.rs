//! What one client owns: its live rows, kept in step with the fates of its transactions.

use artifacts::ledger::Op;

use crate::fault::Fault;
use crate::pool::Pool;
use crate::statements::{Answer, Planned, Table};

/// SQLSTATE of a refused delete of a customer that still has orders.
const FOREIGN_KEY_VIOLATION: &str = "23503";

/// A live customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Customer {
    pub(crate) ver: u32,
    /// Orders that refer to it, or may do so.
    pub(crate) orders: u32,
}

/// A live order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) ver: u32,
    pub(crate) customer: i64,
}

/// What became of a transaction.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Committed; parallel to its changes, none where no row was touched.
    Committed(Vec<Option<Answer>>),
    /// Nothing of it exists.
    Refused(Fault),
    /// Nobody knows.
    Unknown(Fault),
}

/// A row as it was before a planned change.
#[derive(Debug)]
enum Before {
    Customer(i64, Customer),
    Order(i64, Order),
    Document(i64, u32),
}

/// The live rows of one client. Planned changes take effect at once; [`Rows::settle`] adds what
/// was inserted, takes back what was refused and retires what is unknown.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) customers: Pool<Customer>,
    pub(crate) orders: Pool<Order>,
    /// Documents by their version.
    pub(crate) documents: Pool<u32>,
    /// The highest key of an order that this client was given: a later one is above it.
    pub(crate) newest_order: i64,
    undo: Vec<Before>,
}

impl Rows {
    /// Raises the version of a live row; gives the version before.
    pub(crate) fn raise(&mut self, table: Table, key: i64) -> u32 {
        match table {
            Table::Customers => {
                let Some(row) = self.customers.get_mut(key) else { return 0 };
                self.undo.push(Before::Customer(key, *row));
                row.ver += 1;
                row.ver - 1
            }
            Table::Orders => {
                let Some(row) = self.orders.get_mut(key) else { return 0 };
                self.undo.push(Before::Order(key, *row));
                row.ver += 1;
                row.ver - 1
            }
            Table::Documents => {
                let Some(ver) = self.documents.get_mut(key) else { return 0 };
                self.undo.push(Before::Document(key, *ver));
                *ver += 1;
                *ver - 1
            }
        }
    }

    /// Removes a live row; gives its version, and the customer if it was an order.
    pub(crate) fn remove(&mut self, table: Table, key: i64) -> (u32, Option<i64>) {
        match table {
            Table::Customers => {
                let Some(row) = self.customers.remove(key) else { return (0, None) };
                self.undo.push(Before::Customer(key, row));
                (row.ver, None)
            }
            Table::Orders => {
                let Some(row) = self.orders.remove(key) else { return (0, None) };
                self.undo.push(Before::Order(key, row));
                self.refer(row.customer, -1);
                (row.ver, Some(row.customer))
            }
            Table::Documents => {
                let Some(ver) = self.documents.remove(key) else { return (0, None) };
                self.undo.push(Before::Document(key, ver));
                (ver, None)
            }
        }
    }

    /// Counts an order of a customer in or out.
    pub(crate) fn refer(&mut self, customer: i64, by: i32) {
        if let Some(row) = self.customers.get_mut(customer) {
            self.undo.push(Before::Customer(customer, *row));
            row.orders = row.orders.saturating_add_signed(by);
        }
    }

    /// Brings the rows in step with the fate of the transaction planned last.
    pub(crate) fn settle(&mut self, changes: &[Planned], outcome: &Outcome) {
        match outcome {
            Outcome::Committed(answers) => {
                for (change, answer) in
                    changes.iter().zip(answers).filter(|(change, _)| !change.leaves_nothing)
                {
                    self.committed(change, answer.as_ref());
                }
            }
            Outcome::Refused(fault) => {
                self.take_back();
                if fault.sqlstate.as_deref() == Some(FOREIGN_KEY_VIOLATION) {
                    self.spare(changes);
                }
            }
            Outcome::Unknown(_) => changes.iter().for_each(|change| self.retire(change)),
        }
        self.undo.clear();
    }

    fn committed(&mut self, change: &Planned, answer: Option<&Answer>) {
        match (answer, change.op, change.table) {
            (None, ..) => self.retire(change),
            (Some(answer), Op::Create, Table::Customers) => {
                self.customers.put(answer.key, Customer { ver: 1, orders: 0 });
            }
            (Some(answer), Op::Create, Table::Orders) => {
                let customer = change.customer.unwrap_or_default();
                self.newest_order = self.newest_order.max(answer.key);
                self.orders.put(answer.key, Order { ver: 1, customer });
            }
            (Some(answer), Op::Create, Table::Documents) => self.documents.put(answer.key, 1),
            (Some(_), ..) => {}
        }
    }

    fn take_back(&mut self) {
        while let Some(before) = self.undo.pop() {
            match before {
                Before::Customer(key, row) => self.customers.put(key, row),
                Before::Order(key, row) => self.orders.put(key, row),
                Before::Document(key, ver) => self.documents.put(key, ver),
            }
        }
    }

    /// Customers that could not be deleted have orders that nobody here knows.
    fn spare(&mut self, changes: &[Planned]) {
        for change in changes.iter().filter(|c| c.op == Op::Delete && c.table == Table::Customers) {
            if let Some(row) = change.key.and_then(|key| self.customers.get_mut(key)) {
                row.orders += 1;
            }
        }
    }

    /// Forgets a row that may be in another state than planned. An order that may still be there
    /// goes on counting for its customer.
    fn retire(&mut self, change: &Planned) {
        let Some(key) = change.key else { return };
        match change.table {
            Table::Customers => {
                self.customers.remove(key);
            }
            Table::Orders => {
                self.orders.remove(key);
                if change.op == Op::Delete {
                    self.refer(change.customer.unwrap_or_default(), 1);
                }
            }
            Table::Documents => drop(self.documents.remove(key)),
        }
    }
}
