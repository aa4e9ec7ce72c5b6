//! The Kafka client: topics, their bounds, and every record in them.
//!
//! It assigns partitions itself and commits nothing, so no consumer group is left behind. The end
//! of a partition is what the broker says is the end, not a count of records: transaction markers
//! and compaction leave gaps in the offsets.

mod admin;
mod error;
mod load;
mod reader;
mod record;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use artifacts::collected::ReadTo;
use artifacts::consumed::Record;
use artifacts::events::EventKind;
use artifacts::snapshot::Bounds;

use crate::observe::{Shared, silent};

pub use error::{Error, Result};

/// Topic to partition to bounds.
pub type TopicBounds = BTreeMap<String, BTreeMap<i32, Bounds>>;
/// Topic to partition to how far it was read.
pub type TopicReads = BTreeMap<String, BTreeMap<i32, ReadTo>>;

/// A client of a Kafka cluster.
#[derive(Clone)]
pub struct Client {
    brokers: String,
    observer: Shared,
    /// For questions about topics; connected at the first one.
    admin: Arc<OnceLock<reader::Consumer>>,
}

/// Where [`Client::tail`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The first record that is still there.
    Start,
    /// What comes from now on.
    End,
    /// The last records of each partition.
    Last(u32),
}

impl Client {
    /// A client of the cluster that `brokers` (`host:port`, comma separated) belong to. Nothing is
    /// sent yet.
    pub fn new(brokers: &str, observer: Shared) -> Self {
        Self { brokers: brokers.to_owned(), observer, admin: Arc::default() }
    }

    /// The same client without evidence: for probes that are repeated and for sampling.
    pub fn quiet(&self) -> Self {
        Self { observer: silent(), ..self.clone() }
    }

    /// Hands every record of the given topics below the given ends to `each`, topic by topic, each
    /// partition in its order. Returns how far each partition was read.
    ///
    /// Memory is bounded whatever the topics hold. Reading and `each` run side by side.
    ///
    /// # Errors
    /// `each` fails; nothing arrives for `stall` although the end is not reached.
    pub async fn consume(
        &self,
        topics: &TopicBounds,
        stall: Duration,
        mut each: impl FnMut(Record) -> artifacts::Result<()>,
    ) -> Result<TopicReads> {
        let (start, mut reads, mut records) = (Instant::now(), TopicReads::new(), 0_u64);
        for (topic, bounds) in topics {
            let plan = reader::Plan::to_ends(topic, bounds, stall);
            let mut reading = reader::start(&self.brokers, plan, record::record);
            while let Some(batch) = reading.batch().await {
                records += batch.len() as u64;
                batch.into_iter().try_for_each(&mut each)?;
            }
            reads.insert(topic.clone(), read_to(bounds, &reading.finish().await?));
        }
        self.report(
            &format!("read {} topics to their ends", topics.len()),
            &format!("{records} records"),
            start,
        );
        Ok(reads)
    }

    /// Waits until the marker with this nonce arrives in a topic of Debezium's messages, looking
    /// from the given offsets on (a partition that is not named: from its start). Returns its
    /// partition and offset. The topic need not exist yet.
    ///
    /// The marker may overtake records of other topics on their way to Kafka: only when the stored
    /// offset has reached it too are the ends of the topics final.
    ///
    /// # Errors
    /// The deadline, saying how far was read.
    pub async fn find_marker(
        &self,
        topic: &str,
        from: &BTreeMap<i32, i64>,
        nonce: &str,
        deadline: Duration,
    ) -> Result<(i32, i64)> {
        let (start, what) = (Instant::now(), format!("marker {nonce} in {topic}"));
        let bounds = self.wait_for_topic(topic, &what, deadline).await?;
        let offset = |(p, b): (&i32, &Bounds)| (*p, from.get(p).map_or(b.start, |o| *o.max(&b.start)));
        let plan = reader::Plan::follow(topic, bounds.iter().map(offset).collect());
        let wanted = record::MarkerText::new(nonce);
        let mut reading = reader::start(&self.brokers, plan, move |m| wanted.place(m));
        let mut looked = "no message".to_owned();
        let search = async {
            while let Some(batch) = reading.batch().await {
                if let Some((partition, offset, _)) = batch.iter().find(|(_, _, found)| *found) {
                    return Some((*partition, *offset));
                }
                if let Some((partition, offset, _)) = batch.last() {
                    looked = format!("another message at {partition}/{offset}");
                }
            }
            None
        };
        let found = tokio::time::timeout(deadline.saturating_sub(start.elapsed()), search).await;
        match found {
            Ok(Some(place)) => {
                self.report(&what, &format!("at {}/{}", place.0, place.1), start);
                Ok(place)
            }
            Ok(None) => Err(reading.finish().await.err().unwrap_or(Error::Ended { topic: topic.into() })),
            Err(_) => Err(self.late(what, looked, start, deadline)),
        }
    }

    /// Hands records of a topic to `each`, as they come if `follow`, until `each` breaks.
    ///
    /// # Errors
    /// There is no such topic; nothing arrives for `stall` although the end is not reached (never
    /// when following).
    pub async fn tail(
        &self,
        topic: &str,
        from: From,
        follow: bool,
        stall: Duration,
        mut each: impl FnMut(Record) -> std::ops::ControlFlow<()>,
    ) -> Result<()> {
        let mut bounds = self.bounds(&[topic.to_owned()]).await?.remove(topic).unwrap_or_default();
        for b in bounds.values_mut() {
            b.start = match from {
                From::Start => b.start,
                From::End => b.end,
                From::Last(n) => b.start.max(b.end - i64::from(n)),
            };
        }
        let plan = if follow {
            reader::Plan::follow(topic, bounds.iter().map(|(p, b)| (*p, b.start)).collect())
        } else {
            reader::Plan::to_ends(topic, &bounds, stall)
        };
        let mut reading = reader::start(&self.brokers, plan, record::record);
        while let Some(batch) = reading.batch().await {
            if batch.into_iter().try_for_each(&mut each).is_break() {
                return Ok(());
            }
        }
        reading.finish().await.map(drop)
    }

    /// Records what was waited for.
    fn report(&self, what: &str, last: &str, start: Instant) {
        let ms = start.elapsed().as_millis() as u64;
        self.observer.event(EventKind::Wait { what: what.into(), last: last.into(), met: true, ms }, None);
    }

    fn late(&self, what: String, last: String, start: Instant, deadline: Duration) -> Error {
        let ms = start.elapsed().as_millis() as u64;
        let wait = EventKind::Wait { what: what.clone(), last: last.clone(), met: false, ms };
        self.observer.event(wait, None);
        crate::wait::WaitError::Deadline { what, last, deadline }.into()
    }
}

/// Bounds and the offsets reached, as they go into `collected.json`.
fn read_to(bounds: &BTreeMap<i32, Bounds>, reached: &BTreeMap<i32, i64>) -> BTreeMap<i32, ReadTo> {
    let read = |(partition, b): (&i32, &Bounds)| {
        let read = reached.get(partition).copied().unwrap_or(b.start);
        (*partition, ReadTo { start: b.start, end: b.end, read })
    };
    bounds.iter().map(read).collect()
}
