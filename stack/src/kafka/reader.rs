//! Reads one topic on a thread of its own and hands batches over a bounded channel.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use artifacts::snapshot::Bounds;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Error, Result};

/// How long the reader's thread listens before it looks whether anybody still wants records.
const LISTEN: Duration = Duration::from_millis(100);
/// A batch ends at this many records or bytes.
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;
/// Batches between the reader's thread and whoever uses them.
const QUEUED_BATCHES: usize = 4;

/// A consumer that remembers what Kafka's client complained about.
pub(super) type Consumer = BaseConsumer<Context>;

#[derive(Clone, Default)]
pub(super) struct Context {
    last_error: Arc<Mutex<Option<String>>>,
}

impl Context {
    pub(super) fn last_error(&self) -> String {
        let last = self.last_error.lock().ok().and_then(|last| last.clone());
        last.unwrap_or_else(|| "none".into())
    }

    fn note(&self, text: String) {
        if let Ok(mut last) = self.last_error.lock() {
            *last = Some(text);
        }
    }
}

impl ClientContext for Context {
    fn log(&self, _level: rdkafka::config::RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, _error: KafkaError, reason: &str) {
        self.note(reason.to_owned());
    }
}

impl ConsumerContext for Context {}

/// A consumer that belongs to no group on the broker: it only ever assigns. The library wants a
/// group's name for that all the same.
pub(super) fn consumer(brokers: &str) -> Result<Consumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", "cdc-upgrade-rehearsal")
        .set("group.id", "cdc-upgrade-rehearsal-never-joined")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_uncommitted")
        .set("broker.address.family", "v4")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "50")
        // The default pause, 1 s, would leave the reader without work after every full queue.
        .set("fetch.queue.backoff.ms", "5")
        .set("max.partition.fetch.bytes", "4194304")
        .set("reconnect.backoff.max.ms", "500")
        .set("fetch.max.bytes", "16777216")
        .set("queued.max.messages.kbytes", "32768");
    config.create_with_context(Context::default()).map_err(|e| Error::Request {
        action: "start a consumer".into(),
        brokers: brokers.into(),
        cause: e.to_string(),
    })
}

/// What to read of a topic.
pub(super) struct Plan {
    topic: String,
    /// Partition to first offset.
    from: BTreeMap<i32, i64>,
    /// Partition to end and how long nothing may arrive; none: follow.
    ends: Option<(BTreeMap<i32, i64>, Duration)>,
}

impl Plan {
    /// From the starts to the ends; partitions without records are left out.
    pub(super) fn to_ends(topic: &str, bounds: &BTreeMap<i32, Bounds>, stall: Duration) -> Self {
        let filled = || bounds.iter().filter(|(_, b)| b.start < b.end);
        let from = filled().map(|(p, b)| (*p, b.start)).collect();
        let ends = filled().map(|(p, b)| (*p, b.end)).collect();
        Self { topic: topic.into(), from, ends: Some((ends, stall)) }
    }

    /// From the given offsets on, without end.
    pub(super) fn follow(topic: &str, from: BTreeMap<i32, i64>) -> Self {
        Self { topic: topic.into(), from, ends: None }
    }
}

/// A topic being read. Dropping it ends the thread within [`LISTEN`].
pub(super) struct Reading<T> {
    batches: mpsc::Receiver<Vec<T>>,
    thread: JoinHandle<Result<BTreeMap<i32, i64>>>,
    topic: String,
}

impl<T> Reading<T> {
    /// The next records; none at the end or after an error.
    pub(super) async fn batch(&mut self) -> Option<Vec<T>> {
        self.batches.recv().await
    }

    /// Partition to the offset after the last one read.
    pub(super) async fn finish(self) -> Result<BTreeMap<i32, i64>> {
        drop(self.batches);
        self.thread.await.unwrap_or(Err(Error::Ended { topic: self.topic }))
    }
}

/// Begins to read; `convert` runs on the reader's thread.
pub(super) fn start<T, C>(brokers: &str, plan: Plan, convert: C) -> Reading<T>
where
    T: Send + 'static,
    C: Fn(&BorrowedMessage<'_>) -> T + Send + 'static,
{
    let (sender, batches) = mpsc::channel(QUEUED_BATCHES);
    let (brokers, topic) = (brokers.to_owned(), plan.topic.clone());
    let thread = tokio::task::spawn_blocking(move || {
        if plan.from.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut reader = Loop::new(&brokers, plan, sender)?;
        let ended = reader.run(convert);
        let Loop { consumer, reached, .. } = reader;
        // Closing takes up to 100 ms, for which nobody needs to wait.
        tokio::task::spawn_blocking(move || drop(consumer));
        ended.map(|()| reached)
    });
    Reading { batches, thread, topic }
}

struct Loop<T> {
    consumer: Consumer,
    plan: Plan,
    /// Partition to next offset.
    reached: BTreeMap<i32, i64>,
    batch: Vec<T>,
    batch_bytes: usize,
    sender: mpsc::Sender<Vec<T>>,
}

impl<T> Loop<T> {
    fn new(brokers: &str, plan: Plan, sender: mpsc::Sender<Vec<T>>) -> Result<Self> {
        let consumer = consumer(brokers)?;
        let failed = |e: KafkaError| Error::Request {
            action: format!("read topic {}", plan.topic),
            brokers: brokers.into(),
            cause: e.to_string(),
        };
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &plan.from {
            list.add_partition_offset(&plan.topic, *partition, Offset::Offset(*offset)).map_err(failed)?;
        }
        consumer.assign(&list).map_err(failed)?;
        let reached = plan.from.clone();
        Ok(Self { consumer, plan, reached, batch: Vec::new(), batch_bytes: 0, sender })
    }

    fn run(&mut self, convert: impl Fn(&BorrowedMessage<'_>) -> T) -> Result<()> {
        let mut progress = Instant::now();
        while self.unfinished().is_some() && !self.sender.is_closed() {
            let polled = self.consumer.poll(LISTEN);
            // The borrow of the consumer ends before the batch is touched.
            let item = polled.map(|polled| {
                polled.map(|m| (m.partition(), m.offset(), m.payload_len() + m.key_len(), convert(&m)))
            });
            match item {
                Some(Ok((partition, offset, bytes, item))) => {
                    progress = Instant::now();
                    self.keep(partition, offset, bytes, item);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    progress = Instant::now();
                    self.at_end(partition);
                }
                Some(Err(e)) => self.consumer.context().note(e.to_string()),
                None => {
                    self.flush();
                    self.check_stall(progress)?;
                }
            }
        }
        self.flush();
        Ok(())
    }

    fn keep(&mut self, partition: i32, offset: i64, bytes: usize, item: T) {
        let end = self.plan.ends.as_ref().map(|(ends, _)| ends.get(&partition).copied().unwrap_or(0));
        let next = offset + 1;
        if let Some(end) = end
            && next >= end
        {
            self.reached.insert(partition, end);
            if next > end {
                return;
            }
        } else {
            self.reached.insert(partition, next);
        }
        self.batch.push(item);
        self.batch_bytes += bytes;
        if self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    /// The broker has nothing behind the last record: what is left below the captured end are
    /// offsets without records.
    fn at_end(&mut self, partition: i32) {
        if let Some((ends, _)) = &self.plan.ends
            && let Some(end) = ends.get(&partition)
        {
            self.reached.insert(partition, *end);
        }
        self.flush();
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.batch_bytes = 0;
            // A closed channel ends the loop at its next turn.
            let _ = self.sender.blocking_send(std::mem::take(&mut self.batch));
        }
    }

    /// A partition that is not at its end: partition, next offset, end. When following, any.
    fn unfinished(&self) -> Option<(i32, i64, i64)> {
        let ends = self.plan.ends.as_ref().map(|(ends, _)| ends);
        self.reached.iter().find_map(|(partition, at)| {
            let end = ends.map_or(Some(i64::MAX), |ends| ends.get(partition).copied())?;
            (*at < end).then_some((*partition, *at, end))
        })
    }

    fn check_stall(&self, progress: Instant) -> Result<()> {
        match (&self.plan.ends, self.unfinished()) {
            (Some((_, stall)), Some((partition, at, end))) if progress.elapsed() >= *stall => {
                let (topic, last) = (self.plan.topic.clone(), self.consumer.context().last_error());
                Err(Error::Stalled { topic, partition, at, end, stall: *stall, last })
            }
            _ => Ok(()),
        }
    }
}
