//! The rows of the new database at the end, `steps/NN-capture-after/rows-<table>.jsonl`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use artifacts::row::{Digest, Fingerprint, Tables};
use artifacts::{Error, Result, RunDir};
use serde::{Deserialize, Serialize};

use super::record::Item;
use super::sort::Sorter;

/// What was found for a table, in the order of the ledger's tables.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Rows {
    /// The file; none when there is none.
    pub file: Option<String>,
    /// Sum over its rows.
    pub sum: Fingerprint,
    /// Why it cannot be read.
    #[serde(skip)]
    pub damage: Option<Error>,
    /// Why it is not believed: see [`super::agree::rows`].
    pub contradiction: Option<String>,
}

impl Rows {
    /// Whether the rows are known one by one.
    pub fn known(&self) -> bool {
        self.file.is_some() && self.damage.is_none() && self.contradiction.is_none()
    }
}

#[derive(Deserialize)]
struct Line {
    key: i64,
    row: Digest,
}

/// Hands the rows of every table to `sorter`.
///
/// # Errors
/// The sorter cannot spill.
pub fn read(run: &RunDir, tables: &Tables, sorter: &mut Sorter) -> Result<Vec<Rows>> {
    let step = step_folder(run, "capture-after");
    tables
        .keys()
        .enumerate()
        .map(|(table, name)| {
            let mut rows = Rows::default();
            let short = name.rsplit('.').next().unwrap_or(name);
            let names = [name.as_str(), short].map(|name| format!("rows-{name}.jsonl"));
            let found = step.iter().flat_map(|step| names.iter().map(move |name| format!("{step}/{name}")));
            rows.file = found.into_iter().find(|file| run.path(file).exists());
            if let Some(file) = rows.file.clone() {
                one(&run.path(file), table as u16, &mut rows, sorter)?;
            }
            Ok(rows)
        })
        .collect()
}

fn one(path: &Path, table: u16, rows: &mut Rows, sorter: &mut Sorter) -> Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) => {
            rows.damage = Some(Error::io("open", path)(e));
            return Ok(());
        }
    };
    for (n, line) in BufReader::with_capacity(1 << 18, file).split(b'\n').enumerate() {
        let place = || format!("line {}", n + 1);
        let line = line.map_err(|e| Error::corrupt(path, place(), e)).and_then(|line| {
            serde_json::from_slice::<Line>(&line).map_err(|e| Error::corrupt(path, place(), e))
        });
        match line {
            Ok(Line { key, row }) => {
                rows.sum.add(row);
                sorter.push(Item::row(table, key, row))?;
            }
            Err(e) => {
                rows.damage = Some(e);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The folder of a step, `steps/22-capture-after`; the last one if there are several.
pub fn step_folder(run: &RunDir, step: &str) -> Option<String> {
    let names: Vec<PathBuf> =
        std::fs::read_dir(run.path("steps")).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
    let names = names.iter().filter_map(|path| path.file_name()?.to_str());
    names
        .filter(|name| name.split_once('-').is_some_and(|(_, rest)| rest == step))
        .max()
        .map(|name| format!("steps/{name}"))
}
