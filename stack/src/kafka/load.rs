//! Puts records back into topics, for measurements.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use artifacts::consumed::Record;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::{Client, Error, Result};

/// How long a full queue is waited for before it is tried again.
const FULL: Duration = Duration::from_millis(50);
const FLUSH: Duration = Duration::from_secs(60);

/// Counts what the broker has taken.
#[derive(Clone, Default)]
struct Context(Arc<AtomicU64>);

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(u64::from(delivered.is_ok()), Ordering::Relaxed);
    }
}

impl Client {
    /// Writes records to their topics and partitions, keys and values as they are, in their order. Topics that
    /// are not there are made by the broker. Returns how many there were.
    ///
    /// # Errors
    /// The broker does not take all of them; a record cannot be read.
    pub async fn load(
        &self,
        records: impl Iterator<Item = artifacts::Result<Record>> + Send + 'static,
    ) -> Result<u64> {
        let brokers = self.brokers.clone();
        let work = tokio::task::spawn_blocking(move || load(&brokers, records));
        let (action, brokers) = ("write records".to_owned(), self.brokers.clone());
        work.await.unwrap_or_else(|e| Err(e.to_string())).map_err(|cause| Error::Request {
            action,
            brokers,
            cause,
        })
    }
}

fn load(
    brokers: &str,
    records: impl Iterator<Item = artifacts::Result<Record>>,
) -> std::result::Result<u64, String> {
    let context = Context::default();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("linger.ms", "50");
    let producer: BaseProducer<Context> =
        config.create_with_context(context.clone()).map_err(|e| e.to_string())?;
    let mut sent = 0;
    for record in records {
        let record = record.map_err(|e| e.to_string())?;
        let mut next = BaseRecord::<str, str>::to(&record.topic).partition(record.partition);
        next.key = record.key.as_ref().map(|key| key.get());
        next.payload = record.value.as_ref().map(|value| value.get());
        next.timestamp = record.timestamp_ms;
        while let Err((e, back)) = producer.send(next) {
            if !matches!(e, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(e.to_string());
            }
            producer.poll(FULL);
            next = back;
        }
        sent += 1;
        producer.poll(Duration::ZERO);
    }
    producer.flush(FLUSH).map_err(|e| e.to_string())?;
    let taken = context.0.load(Ordering::Relaxed);
    if taken == sent { Ok(sent) } else { Err(format!("of {sent} records it has taken {taken}")) }
}
