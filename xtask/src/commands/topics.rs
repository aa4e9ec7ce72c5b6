//! `cargo xtask topics` and `cargo xtask events`: what is in Kafka.
//!
//! Original README: `kafka-topics --list` and `kafka-console-consumer --from-beginning`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use artifacts::consumed::Record;
use artifacts::schemas;
use artifacts::snapshot::Bounds;
use report::avro;
use serde_json::json;
use stack::{kafka, registry};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::target::{Target, end_of};
use crate::console;
use crate::exit::{Outcome, Usage};
use crate::flags::{Events, Look};

/// How long nothing may arrive although there is more.
const STALL: Duration = Duration::from_secs(30);

/// Every topic. Records are offsets between start and end: fewer in a compacted topic.
pub(crate) async fn list(args: &Look) -> anyhow::Result<Outcome> {
    let kafka = Target::look(&args.stack)?.kafka()?;
    let names: Vec<String> = kafka.all_topics().await?.into_keys().collect();
    let bounds = kafka.bounds(&names).await?;
    let count =
        |partitions: &BTreeMap<i32, Bounds>| partitions.values().map(|b| b.end - b.start).sum::<i64>();
    if args.json {
        let list = bounds.iter().map(|(topic, partitions)| {
            json!({"topic": topic, "records": count(partitions), "partitions": partitions})
        });
        return console::json(&list.collect::<Vec<_>>());
    }
    let row = |(topic, partitions): (&String, &BTreeMap<i32, Bounds>)| {
        let (number, records) = (partitions.len().to_string(), count(partitions).to_string());
        vec![topic.clone(), number, records, ends(partitions)]
    };
    let rows: Vec<_> = bounds.iter().map(row).collect();
    console::table(&["topic", ">partitions", ">records", "end offsets"], &rows);
    Ok(Outcome::Done)
}

/// The end of the only partition, or `partition:end` of those that are not empty.
fn ends(partitions: &BTreeMap<i32, Bounds>) -> String {
    if let (1, Some(only)) = (partitions.len(), partitions.values().next()) {
        return only.end.to_string();
    }
    let filled = partitions.iter().filter(|(_, b)| b.end > 0);
    filled.map(|(partition, b)| format!("{partition}:{}", b.end)).collect::<Vec<_>>().join(" ")
}

/// Prints the events of a topic, partition by partition in their order.
pub(crate) async fn events(args: &Events) -> anyhow::Result<Outcome> {
    let target = Target::look(&args.stack)?;
    let kafka = target.kafka()?;
    if !kafka.all_topics().await?.contains_key(&args.topic) {
        let known = kafka.topics(&target.names.prefix).await?;
        let known = if known.is_empty() { "none of the connector yet".into() } else { known.join(", ") };
        return Err(Usage(format!("there is no topic {}; there are {known}", args.topic)).into());
    }
    let from = args.tail.map_or(kafka::From::Start, kafka::From::Last);
    let mut left = args.max.unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(Outcome::Done);
    }
    let mut avro = target.registry()?.map(Avro::new);
    let mut failure = None;
    let each = |mut record| {
        if let Some(avro) = &mut avro {
            avro.decode(&mut record);
        }
        let shown = match serde_json::to_string(&record) {
            Ok(line) => console::stream(&line),
            Err(e) => {
                failure = Some(e);
                ControlFlow::Break(())
            }
        };
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { shown }
    };
    tokio::select! {
        read = kafka.tail(&args.topic, from, args.follow, STALL, each) => read?,
        ended = end_of(&target, "kafka") => return Err(ended),
    }
    if let Some(why) = avro.and_then(|avro| avro.failure) {
        console::warn(&format!("some events are shown as they are: {why}"));
    }
    failure.map_or(Ok(Outcome::Done), |e| Err(e.into()))
}

/// Decodes events with schemas that are fetched when they are named for the first time.
struct Avro {
    registry: registry::Client,
    file: schemas::Schemas,
    schemas: avro::Schemas,
    /// Why an event could not be decoded, the first time.
    failure: Option<String>,
}

impl Avro {
    fn new(registry: registry::Client) -> Self {
        let file = schemas::Schemas::default();
        Self { registry, schemas: avro::Schemas::of(&file), file, failure: None }
    }

    fn decode(&mut self, record: &mut Record) {
        for id in schemas::ids(record) {
            if !self.file.ids.contains_key(&id) && !self.file.unknown.contains_key(&id) {
                let ask = self.registry.schema(id);
                match block_in_place(|| Handle::current().block_on(ask)) {
                    Ok(schema) => drop(self.file.ids.insert(id, schema)),
                    Err(e) => drop(self.file.unknown.insert(id, e.to_string())),
                }
                self.schemas = avro::Schemas::of(&self.file);
            }
        }
        if let Err(why) = avro::Decoder::new(&self.schemas).decode(record) {
            self.failure.get_or_insert(why);
        }
    }
}
