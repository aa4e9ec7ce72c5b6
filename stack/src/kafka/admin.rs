//! Questions about topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use artifacts::drain::Offsets;
use artifacts::snapshot::Bounds;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer as _;

use super::reader::{self, Consumer};
use super::{Client, Error, Result, TopicBounds};
use crate::wait::{self, Probe};

const ANSWER: Duration = Duration::from_secs(10);
const COMPLAINTS: Duration = Duration::from_millis(100);

impl Client {
    /// Every topic and its number of partitions, Kafka's own (`__...`) included.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn all_topics(&self) -> Result<BTreeMap<String, usize>> {
        let start = Instant::now();
        let topics = self.ask("list topics", |consumer| {
            let metadata = consumer.fetch_metadata(None, ANSWER)?;
            let topics = metadata.topics().iter();
            Ok(topics.map(|t| (t.name().to_owned(), t.partitions().len())).collect::<BTreeMap<_, _>>())
        });
        let topics = topics.await?;
        self.report("list of topics", &format!("{} topics", topics.len()), start);
        Ok(topics)
    }

    /// The topics of a connector by its prefix: tables, messages, transactions, heartbeat.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn topics(&self, prefix: &str) -> Result<Vec<String>> {
        let (start, heartbeat) = (format!("{prefix}."), format!("__debezium-heartbeat.{prefix}"));
        let ours = |name: &String| name.starts_with(&start) || *name == heartbeat;
        Ok(self.all_topics().await?.into_keys().filter(ours).collect())
    }

    /// First and end offset of every partition of the given topics.
    ///
    /// # Errors
    /// No broker answers; a topic does not exist.
    pub async fn bounds(&self, topics: &[String]) -> Result<TopicBounds> {
        let start = Instant::now();
        let mut bounds = TopicBounds::new();
        for topic in topics {
            let name = topic.clone();
            let action = format!("read the bounds of {topic}");
            let of_topic = self.ask(&action, move |consumer| {
                let metadata = consumer.fetch_metadata(Some(&name), ANSWER)?;
                let partitions = metadata.topics().iter().flat_map(|t| t.partitions());
                let bounds = partitions.map(|p| {
                    let (start, end) = consumer.fetch_watermarks(&name, p.id(), ANSWER)?;
                    Ok((p.id(), Bounds { start, end }))
                });
                bounds.collect::<rdkafka::error::KafkaResult<BTreeMap<i32, Bounds>>>()
            });
            let of_topic = of_topic.await?;
            if of_topic.is_empty() {
                return Err(Error::NoTopic { topic: topic.clone(), brokers: self.brokers.clone() });
            }
            bounds.insert(topic.clone(), of_topic);
        }
        self.report("bounds of topics", &format!("{} topics", topics.len()), start);
        Ok(bounds)
    }

    /// End offset of every partition of the given topics.
    ///
    /// # Errors
    /// As [`Client::bounds`].
    pub async fn ends(&self, topics: &[String]) -> Result<Offsets> {
        let bounds = self.bounds(topics).await?;
        let ends = |of_topic: BTreeMap<i32, Bounds>| of_topic.into_iter().map(|(p, b)| (p, b.end)).collect();
        Ok(bounds.into_iter().map(|(topic, of_topic)| (topic, ends(of_topic))).collect())
    }

    /// Who controls the cluster, as its first broker is configured: `kraft` or `zookeeper`.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn controller(&self) -> Result<&'static str> {
        let start = Instant::now();
        let metadata = |consumer: &Consumer| {
            Ok(consumer.fetch_metadata(None, ANSWER)?.brokers().first().map(|b| b.id()))
        };
        let broker = self.ask("find a broker", metadata).await?.unwrap_or_default();
        let failed = |cause: String| Error::Request {
            action: format!("read the configuration of broker {broker}"),
            brokers: self.brokers.clone(),
            cause,
        };
        let client: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .create()
            .map_err(|e| failed(e.to_string()))?;
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        let answer = client.describe_configs([&ResourceSpecifier::Broker(broker)], &options).await;
        // Its thread takes 100 ms to end, which nobody has to wait for.
        drop(tokio::task::spawn_blocking(move || drop(client)));
        let mut answer = answer.map_err(|e| failed(e.to_string()))?;
        let config = answer.pop().ok_or_else(|| failed("no answer".into()))?;
        let config = config.map_err(|e| failed(e.to_string()))?;
        let set =
            |name| config.get(name).and_then(|entry| entry.value.as_deref()).is_some_and(|v| !v.is_empty());
        let controller = match (set("process.roles"), set("zookeeper.connect")) {
            (true, _) => "kraft",
            (false, true) => "zookeeper",
            (false, false) => {
                return Err(failed("neither process.roles nor zookeeper.connect is set".into()));
            }
        };
        self.report("controller of Kafka", controller, start);
        Ok(controller)
    }

    /// The bounds of a topic as soon as it exists.
    pub(super) async fn wait_for_topic(
        &self,
        topic: &str,
        what: &str,
        deadline: Duration,
    ) -> Result<BTreeMap<i32, Bounds>> {
        let (quiet, names) = (self.quiet(), [topic.to_owned()]);
        let bounds = wait::until(&*self.observer, what, deadline, || async {
            match quiet.bounds(&names).await {
                Ok(mut bounds) => Probe::Ready(bounds.remove(topic).unwrap_or_default()),
                Err(e) => Probe::NotYet(e.to_string()),
            }
        });
        Ok(bounds.await?)
    }

    /// Asks on a thread that may block.
    async fn ask<T, F>(&self, action: &str, question: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Consumer) -> rdkafka::error::KafkaResult<T> + Send + 'static,
    {
        if self.admin.get().is_none() {
            // Whoever comes second drops a consumer that was never used.
            let _ = self.admin.set(reader::consumer(&self.brokers)?);
        }
        let admin = self.admin.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let consumer = admin.get().ok_or("no consumer")?;
            question(consumer).map_err(|e| {
                // Complaints of Kafka's client wait to be polled; nothing is assigned.
                let _ = consumer.poll(COMPLAINTS);
                match consumer.context().last_error() {
                    last if last == "none" => e.to_string(),
                    last => format!("{e}; {last}"),
                }
            })
        });
        let answer = asked.await.unwrap_or_else(|e| Err(e.to_string()));
        let (action, brokers) = (action.to_owned(), self.brokers.clone());
        answer.map_err(|cause| Error::Request { action, brokers, cause })
    }
}
