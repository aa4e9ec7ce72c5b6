//! `drain` and `drain-again`: proves that everything written was delivered. Writes drain.json.
//!
//! A marker is written into the WAL at position M. It has arrived when its nonce is read back from
//! `<prefix>.message`: the nonce tells histories apart where an LSN cannot. Then the stored offset's
//! `lsn_commit` must reach M (never `lsn`: with several writers it can be below, facts case 17).
//! The first drain must prove this. The last one may also end with the proof that nothing moves any
//! more; the verdict then says what is missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use artifacts::Lsn;
use artifacts::drain::{Drain, Settled};
use artifacts::run::Names;
use artifacts::snapshot::Role;
use serde_json::{Map, Value};
use stack::wait::{self, Probe};
use stack::{connect, kafka, postgres};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::cx::{self, Cx};
use crate::runner::or_none;
use crate::snapshots;

/// The whole drain, however much is behind.
const ARRIVAL: Duration = Duration::from_secs(3600);
/// Above twice the default `offset.flush.interval.ms` of 60 s.
const STANDSTILL: Duration = Duration::from_secs(130);
const DOUBT: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(10);

/// Writes the marker, waits for it, and records the end offsets: after the first drain, the cut.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let names = cx.info.names.clone();
    let nonce = snapshots::nonce();
    let (observer, kafka, pg) = (cx.observer(), cx.kafka()?.quiet(), cx.pg(cx.step.role).await?);
    let marker = pg.emit_marker(&nonce).await?;
    cx.reach("marked");
    let watch = Mutex::new(Watch {
        search: search(kafka.clone(), format!("{}.message", names.prefix), nonce.clone()),
        arrived: None,
        connect: cx.connect()?.quiet(),
        kafka: kafka.clone(),
        pg: pg.quiet(),
        names: names.clone(),
        marker: marker.lsn,
        stored: None,
        seen: String::new(),
        moved: Instant::now(),
        may_idle: cx.step.role == Role::New,
        unanswered: false,
    });
    let what = "marker arrived and stored offset at it";
    let role = cx.step.role;
    let stack = &*cx.stack()?;
    let settled = wait::until(&*observer, what, ARRIVAL, || async {
        let mut watch = watch.lock().await;
        match watch.look().await {
            Probe::NotYet(seen) if watch.doubtful() => {
                cx::dead(stack, role).map_or(Probe::NotYet(seen), Probe::Never)
            }
            seen => seen,
        }
    })
    .await?;
    let watch = watch.into_inner();
    let (arrived, stored, seen) = (watch.arrived.clone(), watch.stored, watch.seen.clone());
    let ends = kafka.ends(&kafka.topics(&names.prefix).await?).await?;
    let at = marker.lsn;
    let drain = Drain { nonce, marker, stored_lsn_commit: stored, arrived, settled, ends };
    cx.run.write(&cx.folder("drain.json"), &drain)?;
    cx.say(match settled {
        Settled::Marker => format!("marker {at} arrived, stored lsn_commit {}", or_none(stored)),
        _ => format!("the marker {at} did not arrive and nothing moves any more ({seen})"),
    });
    Ok(())
}

/// The drain of a phase, when it was done.
pub(crate) fn of_phase(cx: &Cx, role: Role) -> anyhow::Result<Option<Drain>> {
    let name = if role == Role::Old { "drain" } else { "drain-again" };
    let Some(step) = super::find(name) else { bail!("there is no step {name}") };
    Ok(cx.run.read_if_there(&format!("{}/drain.json", step.folder()))?)
}

/// Topic, partition and offset of the marker.
type Place = (String, i32, i64);

/// Reads the message topic until the marker arrives; ends with the drain.
fn search(kafka: kafka::Client, topic: String, nonce: String) -> JoinHandle<kafka::Result<Place>> {
    tokio::spawn(async move {
        let (partition, offset) = kafka.find_marker(&topic, &BTreeMap::new(), &nonce, ARRIVAL).await?;
        Ok((topic, partition, offset))
    })
}

struct Watch {
    search: JoinHandle<kafka::Result<Place>>,
    arrived: Option<Place>,
    connect: connect::Client,
    kafka: kafka::Client,
    pg: postgres::Client,
    names: Names,
    marker: Lsn,
    stored: Option<Lsn>,
    /// What moves: task, end offsets of the tables' topics, the slot.
    seen: String,
    moved: Instant,
    may_idle: bool,
    /// The last look got no answer.
    unanswered: bool,
}

impl Watch {
    async fn look(&mut self) -> Probe<Settled> {
        if self.arrived.is_none() && self.search.is_finished() {
            match (&mut self.search).await {
                Ok(Ok(place)) => self.arrived = Some(place),
                Ok(Err(e)) => return Probe::Never(e.to_string()),
                Err(e) => return Probe::Never(e.to_string()),
            }
        }
        self.stored = self.connect.offsets(&self.names.connector).await.ok().and_then(|o| o.lsn_commit());
        if self.arrived.is_some() && self.stored >= Some(self.marker) {
            return Probe::Ready(Settled::Marker);
        }
        let arrived = if self.arrived.is_some() { "marker arrived" } else { "marker not arrived" };
        let stored = or_none(self.stored);
        let last = format!("{arrived}, stored lsn_commit {stored} of {}", self.marker);
        let look = match self.what_moves().await {
            Ok(look) => look,
            Err(e) => {
                // An answer that did not come proves nothing: the clock starts again.
                (self.unanswered, self.moved) = (true, Instant::now());
                return Probe::NotYet(format!("{last}, {e:#}"));
            }
        };
        self.unanswered = false;
        if look.seen != self.seen {
            (self.seen, self.moved) = (look.seen, Instant::now());
        }
        let still = self.moved.elapsed();
        if self.may_idle && self.arrived.is_none() && still >= IDLE && look.nothing_to_send {
            return Probe::Ready(Settled::Idle);
        }
        match still >= STANDSTILL {
            true if self.may_idle => Probe::Ready(Settled::No),
            true => Probe::Never(format!("nothing moved for {} s: {last}, {}", still.as_secs(), self.seen)),
            false => Probe::NotYet(format!("{last}, {}", self.seen)),
        }
    }

    /// Nothing came for a moment, or an answer did not come: time to look whether somebody has died.
    fn doubtful(&self) -> bool {
        self.unanswered || self.moved.elapsed() >= DOUBT
    }

    async fn what_moves(&self) -> anyhow::Result<Look> {
        let status = self.connect.status(&self.names.connector).await?;
        let records = snapshots::records(&self.kafka, &self.names).await?;
        let slot = self.pg.sample(&self.names.slot).await?.confirmed_flush_lsn;
        let senders = self.pg.json("SELECT sent_lsn FROM pg_stat_replication").await?;
        let sent = |row: &Map<String, Value>| -> Option<Lsn> { row.get("sent_lsn")?.as_str()?.parse().ok() };
        let nothing_to_send = senders.iter().all(|row| sent(row) >= Some(self.marker));
        Ok(Look {
            nothing_to_send: nothing_to_send || status.failure().is_some(),
            seen: format!("{status}, {records} records in the tables' topics, slot at {}", or_none(slot)),
        })
    }
}

/// One look at what could still move.
struct Look {
    seen: String,
    /// The server has sent everything up to the marker, nobody reads, or the task has failed.
    nothing_to_send: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.search.abort();
    }
}
