//! Collecting topics, beside kcat and zstd: the same broker, the same topics, one after the other on both sides.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use artifacts::RunDir;
use artifacts::consumed::{Reader, Record};
use stack::kafka::Client;
use stack::observe::silent;
use stack::{Kcat, Stack};

use super::measure::{Series, Took, measured};
use super::table::Row;
use super::{ours, size};
use crate::console;
use crate::exit::Outcome;
use crate::flags::{BenchCollect, BenchLoad};
use crate::steps::consume;

/// Of the topics of a synthetic run.
const PREFIX: &str = "cdc";
/// kcat reads one topic and ends at its end.
const SCRIPT: &str = r#"set -o pipefail
for topic in "${@:2}"; do "$KCAT" -b "$BROKERS" -C -e -q -o beginning -t "$topic" || exit; done | "$ZSTD" -q -3 -f -o "$1""#;

/// `bench-collect`: the part of the step `collect` that is measured.
pub(crate) async fn run(args: &BenchCollect) -> anyhow::Result<Outcome> {
    let kafka = Client::new(&args.brokers, silent());
    let consumed = consume(&kafka, &args.prefix, &args.out).await?;
    console::data(&consumed.records.to_string());
    Ok(Outcome::Done)
}

/// `bench-load`: puts the events of a run into Kafka. A process of its own, for the sake of its memory.
pub(crate) async fn load(args: &BenchLoad) -> anyhow::Result<Outcome> {
    let events = RunDir::open(&args.run)?.path("consumed.jsonl.zst");
    let records = Client::new(&args.brokers, silent()).load(Reader::open(&events)?).await?;
    console::data(&records.to_string());
    Ok(Outcome::Done)
}

/// Puts the events of a synthetic run into Kafka and measures how they are read.
pub(super) async fn row(
    stack: &Stack,
    run: &RunDir,
    kcat: Option<&Kcat>,
    times: usize,
) -> anyhow::Result<Row> {
    let brokers = stack.endpoints().kafka;
    let mut load = ours(&["bench-load", "--brokers", &brokers, "--run"]);
    load.arg(run.root());
    stack.adopt(&mut load, "load");
    let (_, said) = measured(load).await?;
    let records = said.trim().parse().context("what was put into Kafka")?;
    let mut topics = Client::new(&brokers, silent()).topics(PREFIX).await?;
    topics.sort();
    let dir = stack.state_dir().join("collected");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let (mine, theirs) = (dir.join("consumed.jsonl.zst"), dir.join("kcat.zst"));
    let (mut collected, mut peer) = (Series::default(), kcat.map(|_| Series::default()));
    for _ in 0..times {
        collected.add(collect(stack, &brokers, &mine, records).await?);
        if let (Some(series), Some(kcat)) = (&mut peer, kcat) {
            series.add(beside(stack, kcat, &brokers, &theirs, &topics).await?);
        }
    }
    let mut note = format!("{} topics; {} MB", topics.len(), size(&mine)? / 1_000_000);
    if peer.is_some() {
        note += &format!(", of kcat's {} MB", size(&theirs)? / 1_000_000);
        let (mine, theirs) = (mine.clone(), theirs.clone());
        tokio::task::spawn_blocking(move || same_values(&mine, &theirs)).await??;
    }
    let peer = peer.map(|series| ("kcat, zstd -3", series));
    Ok(Row { what: "collect", amount: records, ours: collected, peer, note })
}

/// Our side, which has to count what was put in.
async fn collect(stack: &Stack, brokers: &str, out: &Path, records: u64) -> anyhow::Result<Took> {
    let mut command = ours(&["bench-collect", "--brokers", brokers, "--prefix", PREFIX, "--out"]);
    command.arg(out);
    stack.adopt(&mut command, "collect");
    let (took, said) = measured(command).await?;
    ensure!(said.trim() == records.to_string(), "of {records} records {} were collected", said.trim());
    Ok(took)
}

async fn beside(
    stack: &Stack,
    kcat: &Kcat,
    brokers: &str,
    out: &Path,
    topics: &[String],
) -> anyhow::Result<Took> {
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT, "bash"]).arg(out).args(topics);
    command.env("KCAT", &kcat.kcat).env("ZSTD", &kcat.zstd).env("BROKERS", brokers);
    command.env("LD_LIBRARY_PATH", &kcat.library_path);
    stack.adopt(&mut command, "kcat");
    Ok(measured(command).await?.0)
}

/// Both files have to hold the same values in the same order: kcat writes each on a line, and an empty line for none.
fn same_values(mine: &Path, theirs: &Path) -> anyhow::Result<()> {
    let lines = |path: &Path| -> anyhow::Result<_> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(BufReader::new(zstd::Decoder::new(file)?).lines())
    };
    let mut theirs = lines(theirs)?;
    for (n, record) in Reader::open(&PathBuf::from(mine))?.enumerate() {
        let Record { topic, offset, value, .. } = record?;
        let (line, value) = (theirs.next().transpose()?, value.as_ref().map_or("", |value| value.get()));
        let place = format!("record {n}, {topic} at {offset}");
        ensure!(line.as_deref() == Some(value), "{place}: {value} was collected, kcat has {line:?}");
    }
    let more = theirs.next().transpose()?;
    ensure!(more.is_none(), "kcat has more than was collected: {more:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use artifacts::consumed::Writer;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn values_are_compared_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let (mine, theirs) = (dir.path().join("a.zst"), dir.path().join("b.zst"));
        let mut writer = Writer::create(&mine).unwrap();
        for (offset, value) in [(0, Some(r#"{"op":"d"}"#)), (1, None)] {
            let value = value.map(|text| RawValue::from_string(text.to_owned()).unwrap());
            let (topic, timestamp_ms, key) = ("cdc.public.orders".to_owned(), None, None);
            writer.write(&Record { topic, partition: 0, offset, timestamp_ms, key, value }).unwrap();
        }
        writer.finish().unwrap();
        let kcat = |text: &str| {
            let mut encoder = zstd::Encoder::new(File::create(&theirs).unwrap(), 3).unwrap();
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap();
            same_values(&mine, &theirs).map_err(|e| e.to_string())
        };
        assert_eq!(kcat("{\"op\":\"d\"}\n\n"), Ok(()));
        assert!(kcat("{\"op\":\"c\"}\n\n").unwrap_err().starts_with("record 0, cdc.public.orders at 0:"));
        assert!(kcat("{\"op\":\"d\"}\n").unwrap_err().starts_with("record 1"));
        assert!(kcat("{\"op\":\"d\"}\n\n{}\n").unwrap_err().contains("more than was collected"));
    }
}
