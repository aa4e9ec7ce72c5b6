//! The SQL of the workload: three tables, three operations, and what surrounds them.

use artifacts::ledger::Op;
use artifacts::row::{digest_sql, tables};
use tokio_postgres::types::ToSql;

/// A captured table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Customers,
    Orders,
    /// With a body that is stored out of line, and REPLICA IDENTITY DEFAULT.
    Documents,
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::Customers, Self::Orders, Self::Documents];

    /// Its name as the ledger has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Customers => "public.customers",
            Self::Orders => "public.orders",
            Self::Documents => "public.documents",
        }
    }
}

/// A prepared statement; the discriminant is its place in [`texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement {
    Begin,
    Commit,
    Rollback,
    Savepoint,
    RollbackTo,
    Release,
    Xid,
    /// change id, name, email, note
    InsertCustomer,
    /// change id, id, ver, email
    UpdateCustomer,
    /// change id, id, ver, email, note
    RewriteCustomer,
    /// id, ver
    DeleteCustomer,
    /// change id, customer, amount, status, payload
    InsertOrder,
    /// change id, id, ver, status
    UpdateOrder,
    /// change id, id, ver, status, amount, payload
    RewriteOrder,
    /// id, ver
    DeleteOrder,
    /// change id, title, body
    InsertDocument,
    /// change id, id, ver, title
    UpdateDocument,
    /// change id, id, ver, title, body
    RewriteDocument,
    /// id, ver
    DeleteDocument,
    /// change ids, customers, amounts, states, payloads
    InsertOrders,
    /// change ids, ids, vers, emails
    UpdateCustomers,
    /// ids, vers
    DeleteOrders,
    /// change id, id, ver
    RenumberOrder,
    /// The lines of a COPY: change id, customer, amount, status, payload, ver, time
    CopyOrders,
    /// a key below those of the rows, change ids
    CopiedOrders,
}

impl Statement {
    const ALL: [Self; 25] = [
        Self::Begin,
        Self::Commit,
        Self::Rollback,
        Self::Savepoint,
        Self::RollbackTo,
        Self::Release,
        Self::Xid,
        Self::InsertCustomer,
        Self::UpdateCustomer,
        Self::RewriteCustomer,
        Self::DeleteCustomer,
        Self::InsertOrder,
        Self::UpdateOrder,
        Self::RewriteOrder,
        Self::DeleteOrder,
        Self::InsertDocument,
        Self::UpdateDocument,
        Self::RewriteDocument,
        Self::DeleteDocument,
        Self::InsertOrders,
        Self::UpdateCustomers,
        Self::DeleteOrders,
        Self::RenumberOrder,
        Self::CopyOrders,
        Self::CopiedOrders,
    ];
}

/// Name and text of every statement, for whoever sends the same ones to compare with. Parameters are `$1`, `$2`, ...
pub fn statements() -> Vec<(String, String)> {
    Statement::ALL.into_iter().zip(texts()).map(|(name, text)| (format!("{name:?}"), text)).collect()
}

/// The texts, in the order of [`Statement`]. Each gives what [`Answer`] is made of, where several rows are
/// inserted their change ids as well, and where a key changes the old key and the old row. A row is written only at the version that its owner
/// knows, so that a row somebody else has changed counts as not touched.
pub(crate) fn texts() -> Vec<String> {
    let tables = tables();
    let given = |table: Table| {
        let digest = digest_sql(&tables[table.name()]);
        format!("id, {digest}, pg_current_xact_id()::text, pg_current_wal_insert_lsn()")
    };
    let [customer, order, document] = Table::ALL.map(|table| format!("RETURNING {}", given(table)));
    let stamp = "ver = ver + 1, change_id = $1, updated_at = clock_timestamp()";
    let fresh = "1, $1, clock_timestamp()";
    let here = "WHERE id = $2 AND ver = $3";
    let columns = "ver, change_id, updated_at";
    vec![
        "BEGIN".into(),
        "COMMIT".into(),
        "ROLLBACK".into(),
        "SAVEPOINT odd".into(),
        "ROLLBACK TO SAVEPOINT odd".into(),
        "RELEASE SAVEPOINT odd".into(),
        "SELECT pg_current_xact_id()::text".into(),
        format!(
            "INSERT INTO public.customers (name, email, note, {columns}) VALUES ($2, $3, $4, {fresh}) {customer}"
        ),
        format!("UPDATE public.customers SET {stamp}, email = $4 {here} {customer}"),
        format!("UPDATE public.customers SET {stamp}, email = $4, note = $5 {here} {customer}"),
        format!("DELETE FROM public.customers WHERE id = $1 AND ver = $2 {customer}"),
        format!(
            "INSERT INTO public.orders (customer_id, amount, status, payload, {columns}) \
             VALUES ($2, $3::text::numeric, $4, $5, {fresh}) {order}"
        ),
        format!("UPDATE public.orders SET {stamp}, status = $4 {here} {order}"),
        format!(
            "UPDATE public.orders SET {stamp}, status = $4, amount = $5::text::numeric, payload = $6 \
             {here} {order}"
        ),
        format!("DELETE FROM public.orders WHERE id = $1 AND ver = $2 {order}"),
        format!("INSERT INTO public.documents (title, body, {columns}) VALUES ($2, $3, {fresh}) {document}"),
        format!("UPDATE public.documents SET {stamp}, title = $4 {here} {document}"),
        format!("UPDATE public.documents SET {stamp}, title = $4, body = $5 {here} {document}"),
        format!("DELETE FROM public.documents WHERE id = $1 AND ver = $2 {document}"),
        format!(
            "INSERT INTO public.orders (change_id, customer_id, amount, status, payload, ver, updated_at) \
             SELECT a, b, c::numeric, d, e, 1, clock_timestamp() \
             FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[]) AS n(a, b, c, d, e) \
             {order}, change_id"
        ),
        format!(
            "UPDATE public.customers SET ver = ver + 1, change_id = a, updated_at = clock_timestamp(), email = d \
             FROM unnest($1::bigint[], $2::int[], $3::int[], $4::text[]) AS n(a, b, c, d) \
             WHERE id = b AND ver = c {customer}"
        ),
        format!(
            "DELETE FROM public.orders USING unnest($1::int[], $2::int[]) AS n(a, b) \
             WHERE id = a AND ver = b {order}"
        ),
        format!(
            "UPDATE public.orders SET id = nextval('public.orders_id_seq'), ver = 1, change_id = $1, \
             updated_at = clock_timestamp() FROM (SELECT id AS old_id, {} AS old_row FROM public.orders \
             WHERE id = $2 AND ver = $3 FOR UPDATE) AS old WHERE id = old_id {order}, old_id, old_row",
            digest_sql(&tables[Table::Orders.name()])
        ),
        "COPY public.orders (change_id, customer_id, amount, status, payload, ver, updated_at) FROM STDIN"
            .into(),
        format!(
            "SELECT {}, change_id FROM public.orders WHERE id > $1 AND change_id = ANY ($2)",
            given(Table::Orders)
        ),
    ]
}

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Int(i32),
    Long(i64),
    Text(Option<String>),
    Ints(Vec<i32>),
    Longs(Vec<i64>),
    Texts(Vec<Option<String>>),
}

impl Value {
    pub(crate) fn sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Int(n) => n,
            Self::Long(n) => n,
            Self::Text(text) => text,
            Self::Ints(list) => list,
            Self::Longs(list) => list,
            Self::Texts(list) => list,
        }
    }
}

/// A change of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Unique in the ledger.
    pub(crate) id: u64,
    pub(crate) table: Table,
    pub(crate) op: Op,
    /// None for an insert.
    pub(crate) key: Option<i64>,
    /// After the change; for a delete, the version that goes.
    pub(crate) ver: u32,
    /// The customer of an order.
    pub(crate) customer: Option<i64>,
    /// It finds no row, or is rolled back to a savepoint: meant so.
    pub(crate) leaves_nothing: bool,
}

impl Planned {
    pub(crate) fn insert(id: u64, table: Table) -> Self {
        Self { id, table, op: Op::Create, key: None, ver: 1, customer: None, leaves_nothing: false }
    }
}

/// A statement to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) statement: Statement,
    pub(crate) values: Vec<Value>,
    /// How many of the transaction's changes it makes: those that follow on the steps before.
    pub(crate) changes: usize,
}

/// A transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) changes: Vec<Planned>,
    pub(crate) steps: Vec<Step>,
    /// It ends with ROLLBACK.
    pub(crate) rolled_back: bool,
}

impl Plan {
    pub(crate) fn add(&mut self, changes: Vec<Planned>, statement: Statement, values: Vec<Value>) {
        self.steps.push(Step { statement, values, changes: changes.len() });
        self.changes.extend(changes);
    }

    pub(crate) fn one(&mut self, change: Planned, statement: Statement, values: Vec<Value>) {
        self.add(vec![change], statement, values);
    }

    /// A statement that changes no row.
    pub(crate) fn send(&mut self, statement: Statement) {
        self.add(Vec::new(), statement, Vec::new());
    }
}

/// What RETURNING gave for a row that was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) key: i64,
    pub(crate) row: artifacts::row::Digest,
    pub(crate) xid: String,
    pub(crate) lsn: artifacts::Lsn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_in_the_same_order() {
        assert!(Statement::ALL.iter().enumerate().all(|(place, statement)| *statement as usize == place));
        assert_eq!(Statement::ALL.len(), texts().len());
        let text = |name| statements().into_iter().find(|(n, _)| n == name).map(|(_, text)| text);
        assert_eq!(text("Release").as_deref(), Some("RELEASE SAVEPOINT odd"));
        assert!(text("DeleteOrders").is_some_and(|text| text.starts_with("DELETE FROM public.orders USING")));
    }
}
