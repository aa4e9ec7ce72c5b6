//! `collect` (original README: step 9). Writes consumed.jsonl.zst, schemas.json (for Avro), collected.json and
//! logs/, and compresses the ledger. The runner seals when this step has ended.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use artifacts::collected::Collected;
use artifacts::consumed::Writer;
use artifacts::drain::Offsets;
use artifacts::schemas::{self, Schemas};
use artifacts::snapshot::Role;
use artifacts::{Error, SCHEMA};
use stack::kafka::{Client, TopicReads};

use crate::cx::Cx;

/// How long no record may arrive although the end is not reached.
const STALL: Duration = Duration::from_secs(60);

/// What was read and written.
pub(crate) struct Consumed {
    pub(crate) records: u64,
    reads: TopicReads,
    /// Of the schemas that they name.
    ids: BTreeSet<u32>,
}

/// Writes every record of the topics with this prefix, from the start to the end that is there when it begins.
pub(crate) async fn consume(kafka: &Client, prefix: &str, path: &Path) -> anyhow::Result<Consumed> {
    let ends = kafka.bounds(&kafka.topics(prefix).await?).await?;
    let mut writer = Writer::create(path)?;
    let (mut records, mut ids) = (0_u64, BTreeSet::new());
    let reads = kafka
        .consume(&ends, STALL, |record| {
            records += 1;
            ids.extend(schemas::ids(&record));
            writer.write(&record)
        })
        .await?;
    writer.finish()?;
    Ok(Consumed { records, reads, ids })
}

/// Every record of every topic of the run.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let prefix = cx.info.names.prefix.clone();
    let path = cx.run.path("consumed.jsonl.zst");
    let Consumed { records, reads, ids } = consume(&cx.kafka()?, &prefix, &path).await?;
    let topics: Vec<String> = reads.keys().cloned().collect();
    cx.reach("consumed");
    let settled = super::drain::of_phase(cx, Role::New)?.map(|d| d.settled);
    cx.run.write(
        "collected.json",
        &Collected { schema: SCHEMA.into(), cut: cut(cx)?, topics: reads, settled },
    )?;
    schemas(cx, &topics, ids).await?;
    let logs = cx.run.path("logs");
    cx.stack()?.collect_logs(&logs)?;
    compress_ledger(cx)?;
    cx.say(format!("{records} records of {} topics", topics.len()));
    Ok(())
}

/// `schemas.json`: whoever verifies later has no registry to ask.
async fn schemas(cx: &mut Cx, topics: &[String], ids: BTreeSet<u32>) -> anyhow::Result<()> {
    let Some(registry) = cx.registry()? else { return Ok(()) };
    let subjects = registry.subjects_of(topics).await?;
    let mut schemas = Schemas { schema: SCHEMA.into(), subjects, ..Schemas::default() };
    let registered = schemas.subjects.values().flat_map(|subject| subject.versions.values().copied());
    for id in ids.into_iter().chain(registered).collect::<BTreeSet<_>>() {
        match registry.schema(id).await {
            Ok(schema) => drop(schemas.ids.insert(id, schema)),
            Err(e) => drop(schemas.unknown.insert(id, e.to_string())),
        }
    }
    Ok(cx.run.write(schemas::FILE, &schemas)?)
}

/// Where after begins: the ends after the first drain, else those of the snapshot at the cut.
fn cut(cx: &Cx) -> anyhow::Result<Offsets> {
    if let Some(drain) = super::drain::of_phase(cx, Role::Old)? {
        return Ok(drain.ends);
    }
    let Some(snapshot) = cx.run.snapshot("cut")? else { return Ok(Offsets::new()) };
    let ends = |partitions: std::collections::BTreeMap<i32, artifacts::snapshot::Bounds>| {
        partitions.into_iter().map(|(p, b)| (p, b.end)).collect()
    };
    Ok(snapshot.topics.into_iter().map(|(topic, partitions)| (topic, ends(partitions))).collect())
}

fn compress_ledger(cx: &Cx) -> anyhow::Result<()> {
    let (plain, sealed) = (cx.run.path("ledger.jsonl"), cx.run.path("ledger.jsonl.zst"));
    if !plain.exists() && sealed.exists() {
        return Ok(());
    }
    let tmp = sealed.with_added_extension("tmp");
    let mut input = File::open(&plain).map_err(Error::io("open", &plain))?;
    let output = File::create(&tmp).map_err(Error::io("create", &tmp))?;
    let mut encoder = zstd::Encoder::new(output, 3)?;
    encoder.include_checksum(true)?;
    io::copy(&mut input, &mut encoder)
        .and_then(|_| encoder.finish())
        .and_then(|file| file.sync_all())
        .with_context(|| format!("cannot write {}", tmp.display()))?;
    std::fs::rename(&tmp, &sealed).map_err(Error::io("replace", &sealed))?;
    std::fs::remove_file(&plain).map_err(Error::io("remove", &plain))?;
    Ok(())
}
