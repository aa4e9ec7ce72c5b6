//! Whether a transaction with an unknown fate has been committed, by the rows it would have left.

use artifacts::ledger::{Change, Op};
use tokio_postgres::Client;

use crate::statements::Table;

/// Looks for what the transaction would have left: the row of its last change, with its change id;
/// gone, if that was a delete. This is conclusive while nobody else writes these rows, since the
/// workload never touches a row of an unknown transaction again. Slices as in
/// [`artifacts::ledger::Entry::Returned`]. True if no row was touched: there is nothing to miss.
///
/// `pg_xact_status` alone is not enough after a crash of the server: the id of a transaction that
/// had written no WAL to disk is given out again, and then the status is that of another one.
///
/// # Errors
/// The server does not answer the query.
pub async fn left_its_rows(
    client: &Client,
    changes: &[Change],
    keys: &[Option<i64>],
    counts: &[u32],
) -> Result<bool, tokio_postgres::Error> {
    let all = changes.iter().zip(keys).zip(counts);
    let last = all
        .filter(|(_, count)| **count > 0)
        .filter_map(|((change, key), _)| Some((change, (*key)?)))
        .next_back();
    let Some((change, key)) = last else { return Ok(true) };
    let Some(table) = Table::ALL.into_iter().find(|table| table.name() == change.table) else {
        return Ok(false);
    };
    let sql = format!("SELECT change_id FROM {} WHERE id = $1::bigint", table.name());
    let found = client.query_opt(&sql, &[&key]).await?;
    let change_id = found.map(|row| row.try_get::<_, i64>(0)).transpose()?;
    Ok(match change.op {
        Op::Delete => change_id.is_none(),
        _ => change_id == i64::try_from(change.id).ok(),
    })
}
