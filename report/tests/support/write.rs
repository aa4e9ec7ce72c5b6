//! Writes a [`Rehearsal`] as a run directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use artifacts::collected::ReadTo;
use artifacts::drain::Offsets;
use artifacts::ledger::{Entry, Phase};
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
        let (mut ends, mut cut) = (Offsets::new(), Offsets::new());
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
            if record.phase == Phase::Before {
                cut.entry(record.topic.clone()).or_default().insert(record.partition, *end);
            }
        }
        writer.finish().unwrap();
        let Some(mut collected) = self.collected.clone() else { return };
        collected.cut = cut;
        for (topic, partitions) in ends {
            for (partition, end) in partitions {
                let topic = collected.topics.entry(topic.clone()).or_default();
                topic.entry(partition).or_insert(ReadTo { start: 0, end, read: end });
            }
        }
        fs::write(run.path("collected.json"), pretty(&collected)).unwrap();
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
