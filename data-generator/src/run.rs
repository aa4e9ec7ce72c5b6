//! A run of the workload: connects, divides the live rows among the clients, lets them work.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use artifacts::ledger::Phase;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::Config;

use crate::client::{Client, Outage, Shared};
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::pace::Pacer;
use crate::plan::Planner;
use crate::rows::{Customer, Order, Rows};
use crate::session::{Session, server_name};
use crate::statements::Table;
use crate::{Ended, Error, Level, State, Stop, Summary, Tally, Workload};

/// How long open transactions may take after the stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long the first connection may take.
const FIRST_CONNECTION: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// Orders read at once.
const PAGE: i64 = 10_000;

/// What is to be done, where, and where it is written down.
#[derive(Debug, Clone)]
pub struct Job {
    /// Host, port, user, password and database.
    pub server: Config,
    /// The ledger; a run goes on from what it says.
    pub ledger: PathBuf,
    /// How much, how fast, by how many. `seed_rows` is for [`crate::seed`].
    pub workload: Workload,
    /// What the ledger says about when it was.
    pub phase: Phase,
    /// Whether it is written down. Without, the ledger is read and stays as it is, and nothing of the run can be
    /// verified: only to measure what writing costs.
    pub recorded: bool,
}

impl Job {
    /// Works until enough changes are acknowledged, the time is over or `stop` says so. A lost
    /// connection is waited for. The ledger is complete when this returns without an error.
    ///
    /// # Errors
    /// The ledger cannot be read or written, the first connection fails, or the server refuses
    /// every transaction.
    pub async fn run(&self, stop: &Stop, tally: &Arc<Tally>) -> Result<Summary, Error> {
        let seed = self.workload.seed;
        let ledger =
            if self.recorded { Ledger::open(&self.ledger, seed)? } else { Ledger::off(&self.ledger)? };
        let state = State::read(&self.ledger)?;
        if let Some(found) = state.seed.filter(|found| *found != seed) {
            return Err(Error::OtherSeed { path: self.ledger.clone(), found, asked: seed });
        }
        let begun = Instant::now();
        let deadline = self.workload.duration_s.map(|s| begun + Duration::from_secs_f64(s));
        if self.workload.changes != Some(0) {
            let shared = Arc::new(Shared {
                config: self.server.clone(),
                phase: self.phase,
                changes: self.workload.changes,
                ledger,
                pacer: Pacer::new(self.workload.rate),
                stop: stop.clone(),
                tally: tally.clone(),
                outage: Outage::default(),
            });
            tokio::select! {
                biased;
                done = self.work(&shared, state) => done?,
                never = supervise(stop, deadline) => match never {},
            }
        }
        let ended = match self.workload.changes {
            Some(n) if tally.acknowledged() >= n => Ended::Changes,
            _ if deadline.is_some_and(|at| Instant::now() >= at) => Ended::Duration,
            _ => Ended::Stopped,
        };
        Ok(tally.summary(self.phase, seed, ended, begun.elapsed()))
    }

    async fn work(&self, shared: &Arc<Shared>, state: State) -> Result<(), Error> {
        let Some(session) = self.first_session(&shared.stop).await? else { return Ok(()) };
        let customers = customers_of_orders(&session).await.map_err(|f| self.server("read orders", &f))?;
        let mut clients = self.clients(shared, state, &customers);
        drop(customers);
        let Some(first) = clients.first_mut() else { return Ok(()) };
        first.session = Some(session);
        first.reconnecting = true;
        first.cover(Planner::every_kind(self.workload.mix)).await?;
        let mut working: JoinSet<_> = clients.into_iter().map(Client::work).collect();
        let mut result = Ok(());
        while let Some(done) = working.join_next().await {
            if let Err(error) = done.map_err(Error::from).and_then(|done| done) {
                // The first error is the cause; the others follow from it.
                shared.stop.raise(Level::GiveUp);
                result = result.and(Err(error));
            }
        }
        result
    }

    fn server(&self, action: &'static str, fault: &Fault) -> Error {
        Error::Server { action, server: server_name(&self.server), cause: fault.to_string() }
    }

    /// The first connection: a server that is not up yet is waited for, one that refuses is not.
    async fn first_session(&self, stop: &Stop) -> Result<Option<Session>, Error> {
        let deadline = Instant::now() + FIRST_CONNECTION;
        loop {
            let opened = tokio::select! {
                opened = Session::open(&self.server) => opened,
                () = stop.reached(Level::Finish) => return Ok(None),
            };
            match opened {
                Ok(session) => return Ok(Some(session)),
                Err(fault) if !comes_later(&fault) || Instant::now() >= deadline => {
                    return Err(self.server("start the workload", &fault));
                }
                Err(_) => {}
            }
            if stop.within(PAUSE, Level::Finish).await {
                return Ok(None);
            }
        }
    }

    /// The clients with their rows: a customer or document belongs to client `key % clients`, an order to
    /// the client of its customer, so that no two clients ever meet in one row.
    fn clients(&self, shared: &Arc<Shared>, state: State, customers: &HashMap<i64, i64>) -> Vec<Client> {
        let count = self.workload.clients.max(1);
        let mut divided: Vec<Rows> = (0..count).map(|_| Rows::default()).collect();
        let owner = |customer: i64| customer.rem_euclid(count.into()) as usize;
        for (key, ver) in live(&state, Table::Customers) {
            divided[owner(key)].customers.put(key, Customer { ver, orders: 0 });
        }
        for (key, ver) in live(&state, Table::Orders) {
            let customer = customers.get(&key).copied().unwrap_or_default();
            divided[owner(customer)].orders.put(key, Order { ver, customer });
        }
        for (key, ver) in live(&state, Table::Documents) {
            divided[owner(key)].documents.put(key, ver);
        }
        for customer in customers.values() {
            if let Some(row) = divided[owner(*customer)].customers.get_mut(*customer) {
                row.orders += 1;
            }
        }
        (1..=count)
            .zip(divided)
            .map(|(number, rows)| Client {
                shared: shared.clone(),
                number,
                planner: Planner::new(&self.workload, number, state.highest_change),
                rows,
                session: None,
                reconnecting: false,
                last_tx: state.transactions.get(&number).copied().unwrap_or_default(),
                lsn_floor: None,
                wanted: Vec::new(),
                refusals: 0,
            })
            .collect()
    }
}

fn live(state: &State, table: Table) -> impl Iterator<Item = (i64, u32)> {
    state.live.get(table.name()).into_iter().flatten().map(|(key, ver)| (*key, *ver))
}

/// Ends the run when its time is over, and gives up what is still open some time after the end
/// has come. Never returns; its run drops it.
async fn supervise(stop: &Stop, deadline: Option<Instant>) -> std::convert::Infallible {
    match deadline {
        Some(at) => drop(stop.before(at, Level::Finish).await),
        None => stop.reached(Level::Finish).await,
    }
    stop.raise(Level::Finish);
    stop.within(GRACE, Level::GiveUp).await;
    stop.raise(Level::GiveUp);
    std::future::pending().await
}

/// No server there yet, one that starts or stops, or one without a free place.
fn comes_later(fault: &Fault) -> bool {
    fault.broken || fault.sqlstate.as_deref().is_some_and(|code| ["57P03", "57P01", "53300"].contains(&code))
}

/// Every order and its customer.
async fn customers_of_orders(session: &Session) -> Result<HashMap<i64, i64>, Fault> {
    let mut customers = HashMap::new();
    let mut last = 0_i64;
    loop {
        let sql = "SELECT id::bigint, customer_id::bigint FROM public.orders WHERE id > $1::bigint ORDER BY id LIMIT $2";
        let page = session.client().query(sql, &[&last, &PAGE]).await?;
        for row in &page {
            last = row.try_get(0)?;
            if let Some(customer) = row.try_get(1)? {
                customers.insert(last, customer);
            }
        }
        if (page.len() as i64) < PAGE {
            return Ok(customers);
        }
    }
}
