//! One client: plans a transaction, writes it down, makes it, writes down what became of it.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use artifacts::Lsn;
use artifacts::ledger::{Change, Entry, Phase};
use artifacts::time::now;
use tokio_postgres::Config;

use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::pace::Pacer;
use crate::plan::{Kind, Planner};
use crate::rows::{Outcome, Rows};
use crate::session::Session;
use crate::statements::{Answer, Plan, Planned};
use crate::{Error, Level, Stop, Tally};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// So many refused transactions in a row mean that the server will not have any.
const REFUSALS: u32 = 50;

/// What all clients share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) phase: Phase,
    /// Changes to be acknowledged over all clients.
    pub(crate) changes: Option<u64>,
    pub(crate) ledger: Ledger,
    pub(crate) pacer: Pacer,
    pub(crate) stop: Stop,
    pub(crate) tally: Arc<Tally>,
    pub(crate) outage: Outage,
}

/// Tells once that connections are lost, and once that all are back.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    down: AtomicUsize,
    since: Mutex<Option<Instant>>,
}

impl Outage {
    fn began(&self, fault: &Fault) {
        if self.down.fetch_add(1, Ordering::SeqCst) == 0 {
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            tracing::warn!("no connection: {fault}; trying again until it is back");
        }
    }

    fn ended(&self) {
        if self.down.fetch_sub(1, Ordering::SeqCst) == 1 {
            let since = self.since.lock().unwrap_or_else(PoisonError::into_inner).take();
            let ms = since.map_or(0, |since| since.elapsed().as_millis());
            tracing::info!("all connections are back after {ms} ms");
        }
    }
}

/// One of the clients.
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    /// From 1.
    pub(crate) number: u32,
    pub(crate) planner: Planner,
    pub(crate) rows: Rows,
    pub(crate) session: Option<Session>,
    /// It has had a connection before.
    pub(crate) reconnecting: bool,
    /// The number of its last transaction.
    pub(crate) last_tx: u64,
    /// A position below whatever it does next; none until this connection has told one.
    pub(crate) lsn_floor: Option<Lsn>,
    /// Kinds of changes that must be acknowledged before it follows the mix.
    pub(crate) wanted: Vec<Kind>,
    /// Transactions refused since one was acknowledged.
    pub(crate) refusals: u32,
}

impl Client {
    /// Works until every wanted kind of change has been acknowledged, or the end has come.
    pub(crate) async fn cover(&mut self, wanted: Vec<Kind>) -> Result<(), Error> {
        self.wanted = wanted;
        while !self.wanted.is_empty() && self.one().await? {}
        self.wanted.clear();
        Ok(())
    }

    /// Works until the end has come.
    pub(crate) async fn work(mut self) -> Result<(), Error> {
        while self.one().await? {}
        Ok(())
    }

    /// Makes one transaction; false when there is nothing more to do.
    async fn one(&mut self) -> Result<bool, Error> {
        let shared = self.shared.clone();
        if shared.changes.is_some_and(|n| shared.tally.acknowledged() >= n) {
            shared.stop.raise(Level::Finish);
        }
        if shared.stop.is(Level::Finish) {
            return Ok(false);
        }
        self.last_tx += 1;
        let plan = self.planner.plan(&mut self.rows, self.last_tx, &self.wanted);
        if let Some(due) = shared.pacer.turn(plan.changes.len())
            && shared.stop.before(due, Level::Finish).await
        {
            return Ok(false);
        }
        let Some(session) = self.connected().await else { return Ok(false) };
        let begun = Instant::now();
        let outcome = self.transact(&session, &plan).await?;
        shared.tally.add(&plan, &outcome, begun.elapsed());
        self.rows.settle(&plan.changes, &outcome);
        self.follow(session, &plan.changes, outcome).await
    }

    /// Takes the connection, made anew if it is lost; none when the end has come first.
    async fn connected(&mut self) -> Option<Session> {
        let Some(lost) = self.session.take() else { return self.reconnect().await };
        if lost.is_closed() { self.reconnect().await } else { Some(lost) }
    }

    async fn reconnect(&mut self) -> Option<Session> {
        let Shared { config, stop, tally, outage, .. } = &*self.shared;
        self.lsn_floor = None;
        let (mut pause, mut out) = (FIRST_PAUSE, false);
        loop {
            let opened = tokio::select! {
                opened = Session::open(config) => opened,
                () = stop.reached(Level::Finish) => return None,
            };
            match opened {
                Ok(session) => {
                    if out {
                        outage.ended();
                    }
                    if self.reconnecting {
                        tally.reconnected();
                    }
                    self.reconnecting = true;
                    return Some(session);
                }
                Err(fault) if !out => {
                    outage.began(&fault);
                    out = true;
                }
                Err(_) => {}
            }
            if stop.within(pause, Level::Finish).await {
                return None;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Makes the changes and writes down their fate.
    async fn transact(&self, session: &Session, plan: &Plan) -> Result<Outcome, Error> {
        let tx = format!("c{}-{}", self.number, self.last_tx);
        self.write(&Entry::Invoke {
            tx: tx.clone(),
            t: now(),
            phase: self.shared.phase,
            lsn_floor: self.lsn_floor,
            changes: plan.changes.iter().map(noted).collect(),
        })?;
        let outcome = match self.bounded(session.perform(plan)).await {
            // COMMIT was not sent: whatever has happened, nothing of it exists.
            Err(fault) => Outcome::Refused(fault),
            Ok((xid, answers)) => {
                self.write(&returned(&tx, xid, &answers))?;
                if plan.rolled_back {
                    Outcome::Refused(Fault::ours("rolled back on purpose"))
                } else {
                    match self.bounded(session.commit()).await {
                        Ok(()) => Outcome::Committed(answers),
                        Err(fault) if fault.refused => Outcome::Refused(fault),
                        Err(fault) => Outcome::Unknown(fault),
                    }
                }
            }
        };
        let t = now();
        self.write(&match &outcome {
            Outcome::Committed(_) => Entry::Ok { tx, t },
            Outcome::Refused(Fault { sqlstate, text, .. }) => {
                Entry::Fail { tx, t, sqlstate: sqlstate.clone(), error: text.clone() }
            }
            Outcome::Unknown(fault) => Entry::Info { tx, t, error: fault.to_string() },
        })?;
        Ok(outcome)
    }

    /// Goes on from the outcome: what is still wanted, and whether the connection can be kept.
    async fn follow(
        &mut self,
        session: Session,
        changes: &[Planned],
        outcome: Outcome,
    ) -> Result<bool, Error> {
        match outcome {
            Outcome::Committed(answers) => {
                self.refusals = 0;
                for (change, answer) in changes.iter().zip(&answers) {
                    if answer.is_some() {
                        self.wanted.retain(|kind| *kind != (change.table, change.op));
                    }
                }
                self.lsn_floor = answers.iter().flatten().map(|a| a.lsn).max().or(self.lsn_floor);
                self.session = Some(session);
            }
            Outcome::Refused(fault) => {
                if fault.refused {
                    self.refusals += 1;
                }
                if self.refusals >= REFUSALS {
                    return Err(Error::Refused { count: self.refusals, cause: fault.to_string() });
                }
                if self.bounded(session.rollback()).await.is_ok() {
                    self.session = Some(session);
                }
            }
            Outcome::Unknown(_) => {}
        }
        Ok(true)
    }

    fn write(&self, entry: &Entry) -> Result<(), Error> {
        self.shared.ledger.write(entry)
    }

    /// Waits for an answer until it is given up.
    async fn bounded<T>(&self, answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        tokio::select! {
            biased;
            answer = answer => answer,
            () = self.shared.stop.reached(Level::GiveUp) => {
                Err(Fault::ours("stopped while the server had not answered"))
            }
        }
    }
}

/// A change as the ledger has it.
fn noted(change: &Planned) -> Change {
    let Planned { id, table, op, key, ver, .. } = *change;
    Change { id, table: table.name().into(), op, key, ver }
}

fn returned(tx: &str, xid: String, answers: &[Option<Answer>]) -> Entry {
    Entry::Returned {
        tx: tx.to_owned(),
        xid,
        keys: answers.iter().map(|a| a.as_ref().map(|a| a.key)).collect(),
        counts: answers.iter().map(|a| u32::from(a.is_some())).collect(),
        rows: answers.iter().map(|a| a.as_ref().map(|a| a.row)).collect(),
    }
}
