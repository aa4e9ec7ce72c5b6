//! Writes a [`Rehearsal`] as a run directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use artifacts::collected::ReadTo;
use artifacts::drain::Offsets;
use artifacts::ledger::{Entry, Op, Phase};
use artifacts::summary::{Changes, Summary, Transactions};
use artifacts::{RunDir, consumed, seal};
use serde_json::value::RawValue;

use super::Rehearsal;

impl Rehearsal {
    /// Writes `dir`, which is made; its last component becomes the run's id.
    pub fn write(&self, dir: &Path) -> RunDir {
        fs::create_dir_all(dir).unwrap();
        for (name, text) in self.small_files() {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let run = RunDir::open(dir).unwrap();
        self.write_topics(&run);
        self.write_ledger(&run);
        if self.seal {
            fs::write(dir.join(artifacts::run_dir::SUMS), seal::sums(dir).unwrap()).unwrap();
        }
        run
    }

    fn small_files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        files.insert("run.json".to_owned(), pretty(&self.run));
        files.insert("events.jsonl".to_owned(), lines(&self.events));
        for (name, snapshot) in &self.snapshots {
            let mut snapshot = snapshot.clone();
            if name == "after" {
                snapshot.topics = super::story::bounds(&self.records);
                snapshot.topics.extend(self.topics_after.clone());
            }
            files.insert(format!("snapshots/{name}.json"), pretty(&snapshot));
        }
        for (phase, summary) in self.summaries.clone().unwrap_or_else(|| self.summarise()) {
            let step = if phase == Phase::Before { "03-start-generator" } else { "18-restart-generator" };
            files.insert(format!("steps/{step}/summary.json"), pretty(&summary));
        }
        if let Some(drain) = &self.drain_again {
            files.insert("steps/21-drain-again/drain.json".into(), pretty(drain));
        }
        for (table, rows) in self.rows_after.iter().filter(|_| self.write_rows) {
            let again = rows.iter().take(usize::from(self.write_rows_twice && table == "public.orders"));
            let rows: Vec<_> =
                rows.iter().chain(again).map(|(k, row)| serde_json::json!({"key": k, "row": row})).collect();
            files.insert(format!("steps/22-capture-after/rows-{table}.jsonl"), lines(&rows));
        }
        for event in &self.events {
            if let artifacts::events::EventKind::Http { out: Some(out), .. }
            | artifacts::events::EventKind::Command { out: Some(out), .. } = &event.kind
            {
                files.insert(out.clone(), "{}\n".into());
            }
        }
        files
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
        self.write_first_drain(run);
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

    fn write_first_drain(&self, run: &RunDir) {
        let Some(mut drain) = self.first_drain.clone() else { return };
        if drain.ends.is_empty() {
            drain.ends = self.before();
        }
        run.write("steps/07-drain/drain.json", &drain).unwrap();
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

fn pretty<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn lines<T: serde::Serialize>(list: &[T]) -> String {
    list.iter().map(|value| serde_json::to_string(value).unwrap() + "\n").collect()
}
