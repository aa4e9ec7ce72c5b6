//! Writes a [`Rehearsal`] as a run directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use artifacts::collected::ReadTo;
use artifacts::drain::Offsets;
use artifacts::ledger::{Entry, Op, Phase};
use artifacts::snapshot::Bounds;
use artifacts::summary::{Changes, Summary, Transactions};
use artifacts::{RunDir, consumed, seal};
use report::synth::Small;
use serde_json::value::RawValue;

use super::{Record, Rehearsal};

impl Rehearsal {
    /// Writes `dir`, which is made; its last component becomes the run's id.
    pub fn write(&self, dir: &Path) -> RunDir {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("run.json"), pretty(&self.run)).unwrap();
        self.write_small(dir);
        let run = RunDir::open(dir).unwrap();
        self.write_topics(&run);
        self.write_ledger(&run);
        if self.seal {
            fs::write(dir.join(artifacts::run_dir::SUMS), seal::sums(dir).unwrap()).unwrap();
        }
        run
    }

    fn write_small(&self, dir: &Path) {
        let mut snapshots = self.snapshots.clone();
        if let Some(after) = snapshots.get_mut("after") {
            after.topics = bounds(&self.records);
            after.topics.extend(self.topics_after.clone());
        }
        let before = self.before();
        let first_drain = self.first_drain.clone().map(|mut drain| {
            if drain.ends.is_empty() {
                drain.ends = before;
            }
            drain
        });
        let summaries = self.summaries.clone().unwrap_or_else(|| self.summarise());
        let small = Small {
            events: &self.events,
            snapshots: &snapshots,
            rows_after: self.write_rows.then_some(&self.rows_after),
            columns_after: &self.columns_after,
            first_drain: first_drain.as_ref(),
            drain_again: self.drain_again.as_ref(),
            summaries: &summaries,
        };
        small.write(dir).unwrap();
        if self.write_rows_twice {
            let path = dir.join("steps/22-capture-after/rows-public.orders.jsonl");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, format!("{text}{}\n", text.lines().next().unwrap())).unwrap();
        }
    }

    fn write_topics(&self, run: &RunDir) {
        let mut writer = consumed::Writer::create(&run.path("consumed.jsonl.zst")).unwrap();
        let mut ends = Offsets::new();
        let raw = |text: &String| RawValue::from_string(text.clone()).unwrap();
        for record in &self.records {
            let end = ends.entry(record.topic.clone()).or_default().entry(record.partition).or_default();
            let line = consumed::Record {
                topic: record.topic.clone(),
                partition: record.partition,
                offset: *end,
                timestamp_ms: Some(record.at_ms),
                key: record.key.as_ref().map(raw),
                value: record.value.as_ref().map(raw),
            };
            writer.write(&line).unwrap();
            *end += 1;
        }
        writer.finish().unwrap();
        let Some(mut collected) = self.collected.clone() else { return };
        collected.cut = self.before();
        for (topic, partitions) in ends {
            for (partition, end) in partitions {
                let topic = collected.topics.entry(topic.clone()).or_default();
                topic.entry(partition).or_insert(ReadTo { start: 0, end, read: end });
            }
        }
        fs::write(run.path("collected.json"), pretty(&collected)).unwrap();
    }

    /// Where every topic ends before the cut.
    pub fn before(&self) -> Offsets {
        let mut ends = Offsets::new();
        for record in self.records.iter().filter(|record| record.phase == Phase::Before) {
            *ends.entry(record.topic.clone()).or_default().entry(record.partition).or_default() += 1;
        }
        ends
    }

    /// What the data generator counts while it writes this ledger.
    pub fn summarise(&self) -> BTreeMap<Phase, Summary> {
        let mut open = BTreeMap::new();
        let mut touched: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        let mut summaries = BTreeMap::new();
        for entry in &self.ledger {
            if let Entry::Invoke { tx, phase, changes, .. } = entry {
                open.insert(tx.as_str(), (*phase, changes));
            }
            if let Entry::Returned { tx, counts, .. } = entry {
                touched.insert(tx, counts.clone());
            }
            let (Entry::Ok { tx, .. } | Entry::Fail { tx, .. } | Entry::Info { tx, .. }) = entry else {
                continue;
            };
            let (phase, changes) = open[tx.as_str()];
            let none =
                Summary { phase, acknowledged: Changes::default(), transactions: Transactions::default() };
            let summary = summaries.entry(phase).or_insert(none);
            match entry {
                Entry::Ok { .. } => summary.transactions.acknowledged += 1,
                Entry::Fail { .. } => summary.transactions.refused += 1,
                _ => summary.transactions.unknown += 1,
            }
            let counts = touched.get(tx.as_str()).filter(|_| matches!(entry, Entry::Ok { .. }));
            for (change, _) in changes.iter().zip(counts.into_iter().flatten()).filter(|(_, n)| **n > 0) {
                let Changes { insert, update, delete } = &mut summary.acknowledged;
                *match change.op {
                    Op::Create => insert,
                    Op::Update => update,
                    _ => delete,
                } += 1;
            }
        }
        summaries
    }

    fn write_ledger(&self, run: &RunDir) {
        let text = lines::<Entry>(&self.ledger);
        if self.seal {
            let bytes = zstd::encode_all(text.as_bytes(), 1).unwrap();
            fs::write(run.path("ledger.jsonl.zst"), bytes).unwrap();
        } else {
            fs::write(run.path("ledger.jsonl"), text).unwrap();
        }
    }
}

/// First and last offsets of every partition.
fn bounds(records: &[Record]) -> BTreeMap<String, BTreeMap<i32, Bounds>> {
    let mut topics: BTreeMap<String, BTreeMap<i32, Bounds>> = BTreeMap::new();
    for record in records {
        let topic = topics.entry(record.topic.clone()).or_default();
        topic.entry(record.partition).or_insert(Bounds { start: 0, end: 0 }).end += 1;
    }
    topics
}

fn pretty<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn lines<T: serde::Serialize>(list: &[T]) -> String {
    list.iter().map(|value| serde_json::to_string(value).unwrap() + "\n").collect()
}
