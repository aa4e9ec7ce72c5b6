//! The layout of a run directory.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::collected::Collected;
use crate::error::{Error, Result, check_schema};
use crate::events::Event;
use crate::findings::Findings;
use crate::run::Run;
use crate::snapshot::Snapshot;
use crate::time::Time;

/// The seal.
pub const SUMS: &str = "SHA256SUMS";
/// Events of the steps that only derive, written after the seal.
pub const DERIVED_EVENTS: &str = "derived-events.jsonl";
/// What can be deleted and computed again.
pub const DERIVED: [&str; 6] =
    ["findings.json", "violations.jsonl", "report.html", "report.md", "junit.xml", DERIVED_EVENTS];

/// A run directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Makes `runs/<UTC>-<suffix>`, with `-2`, `-3` ... when it exists, and points `runs/latest` to it.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn create(runs: &Path, opened_at: Time, suffix: &str) -> Result<Self> {
        fs::create_dir_all(runs).map_err(Error::io("create", runs))?;
        let id = format!("{}-{suffix}", opened_at.format("%Y%m%dT%H%M%SZ"));
        let mut n = 1;
        let root = loop {
            let name = if n == 1 { id.clone() } else { format!("{id}-{n}") };
            let root = runs.join(name);
            match fs::create_dir(&root) {
                Ok(()) => break root,
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
                Err(e) => return Err(Error::io("create", &root)(e)),
            }
        };
        for sub in ["steps", "snapshots", "logs"] {
            let path = root.join(sub);
            fs::create_dir(&path).map_err(Error::io("create", &path))?;
        }
        let dir = Self { root };
        dir.point_latest(runs)?;
        Ok(dir)
    }

    fn point_latest(&self, runs: &Path) -> Result<()> {
        let (latest, tmp) = (runs.join("latest"), runs.join(format!(".latest-{}", self.id())));
        std::os::unix::fs::symlink(self.id(), &tmp).map_err(Error::io("create", &tmp))?;
        fs::rename(&tmp, &latest).map_err(Error::io("replace", &latest))
    }

    /// Opens a run directory and checks that its `run.json` can be read.
    ///
    /// # Errors
    /// It is none, or it is of a later major version.
    pub fn open(root: &Path) -> Result<Self> {
        let dir = Self { root: fs::canonicalize(root).map_err(Error::io("open", root))? };
        dir.run()?;
        Ok(dir)
    }

    /// Its absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The name of the directory.
    pub fn id(&self) -> String {
        self.root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// A path inside it.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// `steps/07-stop-connector`, relative.
    pub fn step(no: u32, name: &str) -> String {
        format!("steps/{no:02}-{name}")
    }

    /// Whether the evidence is complete and sealed.
    pub fn is_sealed(&self) -> bool {
        self.path(SUMS).exists()
    }

    /// The ledger: `ledger.jsonl`, or `ledger.jsonl.zst` once sealed.
    pub fn ledger(&self) -> PathBuf {
        let sealed = self.path("ledger.jsonl.zst");
        if sealed.exists() { sealed } else { self.path("ledger.jsonl") }
    }

    /// `run.json`
    ///
    /// # Errors
    /// Missing, corrupt or of a later major version.
    pub fn run(&self) -> Result<Run> {
        self.read("run.json")
    }

    /// `snapshots/<name>.json`; none when it was not taken.
    ///
    /// # Errors
    /// Corrupt or of a later major version.
    pub fn snapshot(&self, name: &str) -> Result<Option<Snapshot>> {
        self.read_if_there(&format!("snapshots/{name}.json"))
    }

    /// `collected.json`; none when nothing was collected.
    ///
    /// # Errors
    /// Corrupt or of a later major version.
    pub fn collected(&self) -> Result<Option<Collected>> {
        self.read_if_there("collected.json")
    }

    /// `findings.json`; none when there is no verdict yet.
    ///
    /// # Errors
    /// Corrupt or of a later major version.
    pub fn findings(&self) -> Result<Option<Findings>> {
        self.read_if_there("findings.json")
    }

    /// The events, those of the derived steps last. A torn last line is left out.
    ///
    /// # Errors
    /// A file cannot be read, or a line before the last is corrupt.
    pub fn events(&self) -> Result<Vec<Event>> {
        let mut events = read_lines(&self.path("events.jsonl"))?;
        let derived = self.path(DERIVED_EVENTS);
        if derived.exists() {
            events.extend(read_lines(&derived)?);
        }
        Ok(events)
    }

    /// Reads a JSON file with a `schema` field, if it has one, of a version we know.
    ///
    /// # Errors
    /// Missing, corrupt or of a later major version.
    pub fn read<T: DeserializeOwned>(&self, relative: &str) -> Result<T> {
        let path = self.path(relative);
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        let place = |e: &serde_json::Error| format!("line {} column {}", e.line(), e.column());
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| Error::corrupt(&path, place(&e), &e))?;
        if let Some(found) = value.get("schema").and_then(|v| v.as_str()) {
            check_schema(&path, found)?;
        }
        // Once more, from the text: what is wrong with a field has a place.
        serde_json::from_slice(&text).map_err(|e| Error::corrupt(&path, place(&e), e))
    }

    /// As [`RunDir::read`]; none when there is no such file.
    ///
    /// # Errors
    /// Corrupt or of a later major version.
    pub fn read_if_there<T: DeserializeOwned>(&self, relative: &str) -> Result<Option<T>> {
        if self.path(relative).exists() { self.read(relative).map(Some) } else { Ok(None) }
    }

    /// Writes a JSON file: whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write<T: Serialize>(&self, relative: &str, value: &T) -> Result<()> {
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|e| Error::corrupt(&self.path(relative), "value", e))?;
        text.push('\n');
        self.write_text(relative, &text)
    }

    /// Writes a text file: whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_text(&self, relative: &str, text: &str) -> Result<()> {
        let path = self.path(relative);
        let tmp = path.with_added_extension("tmp");
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let mut file = fs::File::create(&tmp).map_err(Error::io("create", &tmp))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(Error::io("write", &tmp))?;
        fs::rename(&tmp, &path).map_err(Error::io("replace", &path))
    }
}

/// Reads a file of JSON lines into memory; only for small ones. A torn last line is left out.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let mut out = Vec::new();
    let mut lines = BufReader::new(file).split(b'\n').enumerate().peekable();
    while let Some((n, line)) = lines.next() {
        let line = line.map_err(Error::io("read", path))?;
        match serde_json::from_slice(&line) {
            Ok(value) => out.push(value),
            Err(_) if lines.peek().is_none() => {}
            Err(e) => return Err(Error::corrupt(path, format!("line {}", n + 1), e)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_one_second_do_not_collide() {
        let runs = tempfile::tempdir().unwrap();
        let t = crate::time::now();
        let first = RunDir::create(runs.path(), t, "b-15-16").unwrap();
        let second = RunDir::create(runs.path(), t, "b-15-16").unwrap();
        assert_eq!(second.id(), format!("{}-2", first.id()));
        assert_eq!(fs::read_link(runs.path().join("latest")).unwrap().to_string_lossy(), second.id());
    }

    #[test]
    fn a_later_schema_is_refused_and_a_half_written_file_named() {
        let runs = tempfile::tempdir().unwrap();
        let dir = RunDir::create(runs.path(), crate::time::now(), "b-15-16").unwrap();
        dir.write_text("run.json", r#"{"schema":"2.0"}"#).unwrap();
        assert!(dir.run().unwrap_err().to_string().contains("has schema 2.0, this tool reads 1.0"));
        dir.write_text("run.json", r#"{"schema":"1"#).unwrap();
        assert!(dir.run().unwrap_err().to_string().contains("run.json is corrupt at line 1"));
    }
}
