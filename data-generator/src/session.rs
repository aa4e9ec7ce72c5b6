//! A connection with the statements of the workload prepared.

use std::future::{Future, poll_fn};
use std::io::Cursor;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use artifacts::Lsn;
use artifacts::row::Digest;
use futures_util::SinkExt;
use tokio_postgres::types::{PgLsn, ToSql};
use tokio_postgres::{Client, Config, NoTls, Row};

use crate::fault::Fault;
use crate::statements::{Answer, Plan, Planned, Statement, Value, texts};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that can run the workload.
pub(crate) struct Session {
    client: Client,
    prepared: Vec<tokio_postgres::Statement>,
}

/// `host:port/database`, for messages.
pub(crate) fn server_name(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        Some(other) => format!("{other:?}"),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().unwrap_or(&5432);
    format!("{host}:{port}/{}", config.get_dbname().unwrap_or("postgres"))
}

/// Connects; the connection lives as long as the client does.
pub(crate) async fn connect(config: &Config) -> Result<Client, Fault> {
    let mut config = config.clone();
    config.application_name("data-generator").connect_timeout(CONNECT_TIMEOUT);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Session {
    pub(crate) async fn open(config: &Config) -> Result<Self, Fault> {
        let client = connect(config).await?;
        let texts = texts();
        let prepared = in_order(texts.iter().map(|text| client.prepare(text))).await;
        let prepared = prepared.into_iter().collect::<Result<_, _>>()?;
        Ok(Self { client, prepared })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn run(&self, what: Statement, values: &[Value]) -> Result<Vec<Row>, Fault> {
        let prepared = &self.prepared[what as usize];
        if let (Statement::CopyOrders, [Value::Text(Some(lines))]) = (what, values) {
            let mut sink = pin!(self.client.copy_in(prepared).await?);
            sink.send(Cursor::new(lines.clone())).await?;
            sink.finish().await?;
            return Ok(Vec::new());
        }
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(Value::sql).collect();
        Ok(self.client.query(prepared, &values).await?)
    }

    /// Begins a transaction and makes its changes, all in one go: the next statement is sent
    /// before the last has answered. Gives the transaction id, and what each change returned.
    pub(crate) async fn perform(&self, plan: &Plan) -> Result<(String, Vec<Option<Answer>>), Fault> {
        let all = plan.steps.iter().map(|step| (step.statement, step.values.as_slice()));
        let sent = std::iter::once((Statement::Begin, &[][..])).chain(all);
        let given = in_order(sent.map(|(what, values)| self.run(what, values))).await;
        let given = given.into_iter().skip(1).collect::<Result<Vec<_>, _>>()?;
        let (mut answers, mut changes) = (Vec::with_capacity(plan.changes.len()), plan.changes.as_slice());
        for (step, rows) in plan.steps.iter().zip(&given) {
            let (made, rest) = changes.split_at(step.changes);
            changes = rest;
            answers.extend(answered(step.statement, made, rows)?);
        }
        let xid = match answers.iter().flatten().next() {
            Some(answer) => answer.xid.clone(),
            None => match self.run(Statement::Xid, &[]).await?.first() {
                Some(row) => row.try_get(0)?,
                None => return Err(Fault::ours("the server gave no transaction id")),
            },
        };
        Ok((xid, answers))
    }

    pub(crate) async fn commit(&self) -> Result<(), Fault> {
        self.run(Statement::Commit, &[]).await.map(drop)
    }

    pub(crate) async fn rollback(&self) -> Result<(), Fault> {
        self.run(Statement::Rollback, &[]).await.map(drop)
    }
}

/// What the rows of a statement say of each of its changes. What leaves nothing has no answer.
fn answered(statement: Statement, changes: &[Planned], rows: &[Row]) -> Result<Vec<Option<Answer>>, Fault> {
    if let (Statement::RenumberOrder, [row]) = (statement, rows) {
        let new = answer(row)?;
        let (key, digest): (i32, String) = (row.try_get(4)?, row.try_get(5)?);
        let gone =
            Answer { key: key.into(), row: Digest::try_from(digest).map_err(Fault::ours)?, ..new.clone() };
        return Ok(vec![Some(gone), Some(new)]);
    }
    let found = rows.iter().map(answer).collect::<Result<Vec<_>, _>>()?;
    let of = |change: &Planned| -> Result<Option<Answer>, Fault> {
        for (answer, row) in found.iter().zip(rows) {
            let same = match change.key {
                Some(key) => answer.key == key,
                None => changes.len() == 1 || row.try_get::<_, i64>(4)? == change.id as i64,
            };
            if same {
                return Ok((!change.leaves_nothing).then(|| answer.clone()));
            }
        }
        Ok(None)
    };
    changes.iter().map(of).collect()
}

fn answer(row: &Row) -> Result<Answer, Fault> {
    let key: i32 = row.try_get(0)?;
    let digest: String = row.try_get(1)?;
    let lsn: PgLsn = row.try_get(3)?;
    Ok(Answer {
        key: key.into(),
        row: Digest::try_from(digest).map_err(Fault::ours)?,
        xid: row.try_get(2)?,
        lsn: Lsn(lsn.into()),
    })
}

/// Polls futures in their order until all are ready: requests of one connection are sent in the
/// order in which they are polled first.
async fn in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut ready = true;
        for (future, output) in futures.iter_mut().zip(&mut outputs).filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(cx) {
                Poll::Ready(value) => *output = Some(value),
                Poll::Pending => ready = false,
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
