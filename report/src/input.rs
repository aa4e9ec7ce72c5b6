//! Everything the report shows, read once. What cannot be read is a reason, never a failure.

use artifacts::drain::Drain;
use artifacts::events::Event;
use artifacts::findings::{Findings, Violation};
use artifacts::run::Run;
use artifacts::run_dir::SUMS;
use artifacts::snapshot::{self, Snapshot};
use artifacts::{RunDir, seal};

use crate::curves::{self, Curve};
use crate::listed::{self, Listed};
use crate::verify::course::Course;
use crate::verify::violations;

/// What was read, or a sentence why not.
pub(crate) type Seen<T> = Result<T, String>;

/// A run directory in memory; lists that can be long are cut while reading.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) run: Run,
    pub(crate) events: Seen<Vec<Event>>,
    /// What the events say about steps and looks.
    pub(crate) course: Seen<Course>,
    /// In the order of [`snapshot::NAMES`].
    pub(crate) snapshots: Vec<(&'static str, Seen<Snapshot>)>,
    pub(crate) drains: Vec<(&'static str, Drain)>,
    pub(crate) findings: Seen<Findings>,
    pub(crate) violations: Seen<Listed<Violation>>,
    pub(crate) written: Seen<Curve>,
    pub(crate) delivered: Seen<Curve>,
    pub(crate) seal: Seen<Seal>,
}

/// The seal of the evidence.
#[derive(Debug)]
pub(crate) struct Seal {
    pub(crate) files: u64,
    pub(crate) sha256: String,
}

impl Input {
    /// Reads a run directory, keeping `max_violations` of each kind.
    ///
    /// # Errors
    /// `run.json` is missing, corrupt or of a later major version; nothing else is an error.
    pub(crate) fn read(dir: &RunDir, max_violations: usize) -> Result<Self, artifacts::Error> {
        let run = dir.run()?;
        let findings = seen(dir.findings(), "verify has not run: there is no findings.json");
        let events = events(dir);
        let (written, delivered) = curves::read(dir);
        Ok(Self {
            course: events.as_deref().map(Course::of).map_err(Clone::clone),
            events,
            snapshots: snapshots(dir),
            drains: drains(dir),
            violations: listed::read(&dir.path(violations::FILE), max_violations),
            written,
            delivered,
            seal: read_seal(dir),
            findings,
            run,
        })
    }

    /// A snapshot that was taken.
    pub(crate) fn snapshot(&self, name: &str) -> Option<&Snapshot> {
        self.snapshots.iter().find(|(n, _)| *n == name).and_then(|(_, s)| s.as_ref().ok())
    }

    /// Changes were made after the upgrade, and no event of one was read.
    pub(crate) fn events_never_came_back(&self) -> bool {
        let written = self.written.as_ref().is_ok_and(|curve| curve.first_after.is_some());
        written && self.delivered.as_ref().is_ok_and(|curve| curve.first_after.is_none())
    }

    /// The events that could be read.
    pub(crate) fn events(&self) -> &[Event] {
        self.events.as_deref().unwrap_or_default()
    }
}

/// Without those of verdict and report, which may be made any number of times from the same
/// evidence: the report has the same bytes each time.
fn events(dir: &RunDir) -> Seen<Vec<Event>> {
    let mut events = dir.events().map_err(|e| e.to_string())?;
    events.retain(|e| !matches!(e.step.as_deref(), Some("verify" | "report")));
    Ok(events)
}

fn seen<T>(read: Result<Option<T>, artifacts::Error>, none: &str) -> Seen<T> {
    read.map_err(|e| e.to_string())?.ok_or_else(|| none.to_owned())
}

fn snapshots(dir: &RunDir) -> Vec<(&'static str, Seen<Snapshot>)> {
    let read = |name| seen(dir.snapshot(name), &format!("the snapshot '{name}' was not taken"));
    snapshot::NAMES.iter().map(|name| (*name, read(name))).collect()
}

fn drains(dir: &RunDir) -> Vec<(&'static str, Drain)> {
    let Ok(entries) = std::fs::read_dir(dir.path("steps")) else { return Vec::new() };
    let folders: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let find = |name: &'static str| {
        let folder = folders.iter().filter(|f| f.split_once('-').is_some_and(|(_, n)| n == name)).max()?;
        dir.read_if_there(&format!("steps/{folder}/drain.json")).ok()?.map(|drain| (name, drain))
    };
    ["drain", "drain-again"].into_iter().filter_map(find).collect()
}

fn read_seal(dir: &RunDir) -> Seen<Seal> {
    let path = dir.path(SUMS);
    let text = std::fs::read_to_string(&path).map_err(|_| "the evidence is not sealed yet".to_owned())?;
    let sha256 = seal::sha256_file(&path).map_err(|e| e.to_string())?;
    Ok(Seal { files: text.lines().count() as u64, sha256 })
}
