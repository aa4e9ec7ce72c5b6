//! In which columns a row of the topics differs from the row of the new database: looked up for the few
//! that a check names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};

use artifacts::RunDir;
use artifacts::consumed::{FRAME_BYTES, Frames, Line, Record, text};
use artifacts::findings::KafkaPlace;
use artifacts::row::{Tables, column_digests, differing};
use serde::Deserialize;

use super::event;
use crate::avro::{Decoder, Schemas};
use crate::parallel;

/// A row of the new database and the event that leaves another one.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// Table, `public.orders`.
    pub(crate) table: String,
    pub(crate) key: i64,
    /// The file with the rows of the table.
    pub(crate) file: String,
    pub(crate) at: KafkaPlace,
}

/// Names of the columns, by pair; none where one of the sides cannot be told, as in a run of a version that did not write
/// down columns.
pub(crate) fn of(run: &RunDir, tables: &Tables, pairs: &[Pair]) -> Vec<Vec<String>> {
    let database = database(run, pairs);
    if database.is_empty() {
        return vec![Vec::new(); pairs.len()];
    }
    let topics = topics(run, tables, pairs);
    let names = |pair: &Pair| {
        let columns = tables.get(&pair.table)?;
        let (row, event) = (database.get(&(&*pair.table, pair.key))?, topics.get(&pair.at)?);
        Some(differing(columns, row, event).into_iter().map(str::to_owned).collect())
    };
    pairs.iter().map(|pair| names(pair).unwrap_or_default()).collect()
}

/// Table and key to the digests of the row's columns.
fn database<'p>(run: &RunDir, pairs: &'p [Pair]) -> BTreeMap<(&'p str, i64), String> {
    #[derive(Deserialize)]
    struct Row {
        key: i64,
        columns: Option<String>,
    }
    let mut found = BTreeMap::new();
    let files: BTreeSet<(&str, &str)> = pairs.iter().map(|pair| (&*pair.file, &*pair.table)).collect();
    for (file, table) in files {
        let Ok(open) = File::open(run.path(file)) else { continue };
        let wanted: BTreeSet<i64> = pairs.iter().filter(|p| p.file == file).map(|p| p.key).collect();
        for line in BufReader::new(open).lines().map_while(Result::ok) {
            let Ok(row) = serde_json::from_str::<Row>(&line) else { break };
            if wanted.contains(&row.key) {
                found.extend(row.columns.map(|columns| ((table, row.key), columns)));
            }
        }
    }
    found
}

/// Place of an event to the digests of the columns of the row that it leaves.
fn topics(run: &RunDir, tables: &Tables, pairs: &[Pair]) -> BTreeMap<KafkaPlace, String> {
    let schemas = Schemas::read(run);
    let decoder = Decoder::new(&schemas);
    let wanted: BTreeMap<&KafkaPlace, &Pair> = pairs.iter().map(|pair| (&pair.at, pair)).collect();
    let digests = |line: &Line<'_>| {
        let at = KafkaPlace { topic: line.topic.to_owned(), partition: line.partition, offset: line.offset };
        let columns = tables.get(&wanted.get(&at)?.table)?;
        let (_, value) = decoder.sides(line.key, line.value).ok()?;
        let row = event::row_after(value.as_deref()?)?;
        Some((at, column_digests(columns, &row)))
    };
    let offsets: BTreeSet<i64> = pairs.iter().map(|pair| pair.at.offset).collect();
    let of_frame = |frame: std::io::Result<Vec<u8>>| {
        let mut lines = Vec::with_capacity(FRAME_BYTES + 1);
        let _ = frame.and_then(|frame| text(&frame, &mut lines));
        let lines =
            lines.split_inclusive(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        let found = lines.filter_map(|line| match Line::split(line) {
            Some(line) => offsets.contains(&line.offset).then(|| digests(&line))?,
            None => digests(&Line::from(&serde_json::from_str::<Record>(line).ok()?)),
        });
        found.collect::<Vec<_>>()
    };
    let mut all = BTreeMap::new();
    let Ok(frames) = Frames::open(&run.path("consumed.jsonl.zst")) else { return all };
    parallel::ordered(frames, of_frame, |found| {
        all.extend(found);
        all.len() < wanted.len()
    });
    all
}
