//! The rows that are there before the connector starts.

use std::collections::BTreeMap;
use std::path::Path;

use artifacts::ledger::Entry;
use artifacts::row::{Digest, digest_sql, tables};
use tokio_postgres::{Client, Config};

use crate::Error;
use crate::content::NASTY;
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::session::{connect, server_name};
use crate::statements::Table;

/// Rows per statement.
const CHUNK: u64 = 5_000;
/// One in so many rows is changed again, and one in twice as many twice.
const CHANGED_IN: usize = 10;

/// Fills the empty tables with `rows` rows each (change id 0; order n belongs to customer n) and changes
/// some of them once or twice more, in one transaction, and begins the ledger with its header and one
/// entry per row.
/// The contents depend on `seed` alone; every fiftieth row is large enough to be stored out of line.
///
/// # Errors
/// The ledger has begun already, a table holds rows, the server refuses, or the ledger cannot be
/// written. Then no row is there, and no ledger.
pub async fn seed(config: &Config, ledger: &Path, seed: u64, rows: u64) -> Result<(), Error> {
    if std::fs::metadata(ledger).is_ok_and(|meta| meta.len() > 0) {
        return Err(Error::Begun(ledger.to_owned()));
    }
    let open = Ledger::open(ledger, seed)?;
    let filled = fill(config, &open, seed, rows).await;
    if filled.is_err() {
        // What it says never came to be.
        let _ = std::fs::remove_file(ledger);
    }
    filled
}

async fn fill(config: &Config, ledger: &Ledger, seed: u64, rows: u64) -> Result<(), Error> {
    let failed = |action, fault: Fault| Error::Server {
        action,
        server: server_name(config),
        cause: fault.to_string(),
    };
    let client = connect(config).await.map_err(|f| failed("connect to seed the tables", f))?;
    let refused = |fault: Fault| failed("seed the tables", fault);
    client.batch_execute("BEGIN").await.map_err(|e| refused(e.into()))?;
    for table in Table::ALL {
        let sql = format!("SELECT EXISTS (SELECT FROM {})", table.name());
        let row = client.query_one(&sql, &[]).await.map_err(|e| refused(e.into()))?;
        if row.try_get::<_, bool>(0).map_err(|e| refused(e.into()))? {
            return Err(Error::NotEmpty { table: table.name(), server: server_name(config) });
        }
    }
    let mut first = 1;
    while first <= rows {
        let last = rows.min(first + CHUNK - 1);
        let customers = insert_customers(&client, seed, first, last).await.map_err(refused)?;
        let orders = insert_orders(&client, seed, first, &customers).await.map_err(refused)?;
        let documents = insert_documents(&client, seed, first, last).await.map_err(refused)?;
        for (table, rows) in Table::ALL.into_iter().zip([customers, orders, documents]) {
            let mut rows: BTreeMap<i32, (u32, Digest)> =
                rows.into_iter().map(|(key, row)| (key, (1, row))).collect();
            for (ver, every) in [(2, CHANGED_IN), (3, 2 * CHANGED_IN)] {
                let changed = change(&client, table, &rows, every).await.map_err(refused)?;
                rows.extend(changed.into_iter().map(|(key, row)| (key, (ver, row))));
            }
            for (key, (ver, row)) in rows {
                ledger.write(&Entry::Seed { table: table.name().into(), key: key.into(), ver, row })?;
            }
        }
        first = last + 1;
    }
    client.batch_execute("COMMIT").await.map_err(|e| refused(e.into()))
}

/// What a nasty text, a wide value and a time are made of, for row `g` and the salt `$1`.
const NASTY_SQL: &str = "($2::text[])[1 + (g + $1) % cardinality($2)]";
const WIDE_SQL: &str = "CASE WHEN g % 50 = 0 \
    THEN (SELECT string_agg(md5(i || '/' || g || '/' || $1), '') FROM generate_series(1, 150) AS i) \
    WHEN g % 7 = 0 THEN NULL ELSE repeat(md5(g || '/' || $1), 4) END";
/// More than PostgreSQL keeps in the row, but for some.
const BODY_SQL: &str = "CASE WHEN g % 16 = 0 THEN NULL \
    ELSE (SELECT string_agg(md5(i || '/' || g || '/' || $1), '') FROM generate_series(1, 75) AS i) END";
const TIME_SQL: &str = "timestamptz '2026-01-01 00:00:00Z' + g * interval '1.000001 seconds'";

async fn insert_customers(
    client: &Client,
    seed: u64,
    first: u64,
    last: u64,
) -> Result<Vec<(i32, Digest)>, Fault> {
    let digest = digest_sql(&tables()[Table::Customers.name()]);
    let sql = format!(
        "INSERT INTO public.customers (name, email, note, ver, change_id, updated_at) \
         SELECT {NASTY_SQL}, 'customer' || g || '@example.test', {WIDE_SQL}, 1, 0, {TIME_SQL} \
         FROM generate_series($3::bigint, $4::bigint) AS g ORDER BY g RETURNING id, {digest}"
    );
    keys(&client.query(&sql, &[&salt(seed), &&NASTY[..], &(first as i64), &(last as i64)]).await?)
}

async fn insert_orders(
    client: &Client,
    seed: u64,
    first: u64,
    customers: &[(i32, Digest)],
) -> Result<Vec<(i32, Digest)>, Fault> {
    let digest = digest_sql(&tables()[Table::Orders.name()]);
    let sql = format!(
        "INSERT INTO public.orders (customer_id, amount, status, payload, ver, change_id, updated_at) \
         SELECT customer, (g % 100000) / 7.0, 'new', coalesce({NASTY_SQL} || ' ' || {WIDE_SQL}, {NASTY_SQL}), \
         1, 0, {TIME_SQL} \
         FROM unnest($3::int[]) WITH ORDINALITY AS c(customer, n), LATERAL (SELECT n + $4::bigint - 1 AS g) AS o \
         ORDER BY g RETURNING id, {digest}"
    );
    let ids: Vec<i32> = customers.iter().map(|(id, _)| *id).collect();
    keys(&client.query(&sql, &[&salt(seed), &&NASTY[..], &ids, &(first as i64)]).await?)
}

async fn insert_documents(
    client: &Client,
    seed: u64,
    first: u64,
    last: u64,
) -> Result<Vec<(i32, Digest)>, Fault> {
    let digest = digest_sql(&tables()[Table::Documents.name()]);
    let sql = format!(
        "INSERT INTO public.documents (title, body, ver, change_id, updated_at) \
         SELECT {NASTY_SQL}, {BODY_SQL}, 1, 0, {TIME_SQL} \
         FROM generate_series($3::bigint, $4::bigint) AS g ORDER BY g RETURNING id, {digest}"
    );
    keys(&client.query(&sql, &[&salt(seed), &&NASTY[..], &(first as i64), &(last as i64)]).await?)
}

/// Raises the version of one in `every` rows.
async fn change(
    client: &Client,
    table: Table,
    rows: &BTreeMap<i32, (u32, Digest)>,
    every: usize,
) -> Result<Vec<(i32, Digest)>, Fault> {
    let digest = digest_sql(&tables()[table.name()]);
    let sql = format!(
        "UPDATE {} SET ver = ver + 1, updated_at = updated_at + interval '1 second' WHERE id = ANY($1) \
         RETURNING id, {digest}",
        table.name()
    );
    let ids: Vec<i32> = rows.keys().copied().skip(every - 1).step_by(every).collect();
    keys(&client.query(&sql, &[&ids]).await?)
}

fn salt(seed: u64) -> i64 {
    (seed % 1_000_003) as i64
}

fn keys(rows: &[tokio_postgres::Row]) -> Result<Vec<(i32, Digest)>, Fault> {
    let key = |row: &tokio_postgres::Row| {
        let digest: String = row.try_get(1)?;
        Ok((row.try_get(0)?, Digest::try_from(digest).map_err(Fault::ours)?))
    };
    rows.iter().map(key).collect()
}
