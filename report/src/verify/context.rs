//! Everything the checks know beside the histories of the keys.

use std::collections::BTreeMap;

use artifacts::collected::Collected;
use artifacts::drain::Drain;
use artifacts::findings::Evidence;
use artifacts::ledger::Phase;
use artifacts::row::Tables;
use artifacts::run::Run;
use artifacts::snapshot::{NAMES, Snapshot, TableState};
use artifacts::summary::Summary;
use artifacts::{Error, RunDir};

use super::agree::{self, misplaced};
use super::course::Course;
use super::deliver::Topics;
use super::expect::Ledger;
use super::gather::Gathered;
use super::logs::Logs;
use super::rows::{Rows, step_folder};
use super::{remedy, summaries};

/// Read, or why not.
pub type Read<T> = std::result::Result<T, Evidence>;

/// A reason why nothing can be said, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What is wrong, with file and place.
    pub evidence: Evidence,
    /// The command that helps.
    pub remedy: String,
}

/// What the run directory holds beside keys and events.
pub struct Context {
    /// Where everything is.
    pub dir: RunDir,
    /// `run.json`
    pub run: Run,
    /// The evidence is complete: nothing is added to it any more.
    pub sealed: bool,
    /// Name of the ledger's file.
    pub ledger_file: String,
    /// Captured tables, from the ledger's header.
    pub tables: Tables,
    /// What the ledger says.
    pub ledger: Read<Ledger>,
    /// What the topics say.
    pub topics: Topics,
    /// Why `consumed.jsonl.zst` cannot be read to its end.
    pub topics_damage: Option<Evidence>,
    /// Rows of the new database, in the order of `tables`.
    pub rows: Vec<Rows>,
    /// `collected.json`
    pub collected: Read<Option<Collected>>,
    /// The drain before the cut, and its file.
    pub first_drain: Read<Option<(String, Drain)>>,
    /// The last drain, and its file.
    pub drain: Read<Option<(String, Drain)>>,
    /// How the run went.
    pub course: Read<Course>,
    /// What the data generator says it did: file, step and counts.
    pub summaries: Read<Vec<(String, String, Summary)>>,
    /// `snapshots/*.json`
    pub snapshots: BTreeMap<String, Read<Option<Snapshot>>>,
    /// What the components themselves logged.
    pub logs: Logs,
}

/// The small files of a run directory.
pub(super) struct Around {
    pub(super) run: Run,
    pub(super) collected: Read<Option<Collected>>,
    pub(super) drain: Read<Option<(String, Drain)>>,
}

impl Around {
    /// Reads those that the large files are read by.
    ///
    /// # Errors
    /// `run.json` cannot be read.
    pub(super) fn read(dir: &RunDir) -> artifacts::Result<Self> {
        let collected = dir.collected().map_err(|e| evidence(dir, &e));
        Ok(Self { run: dir.run()?, collected, drain: drain(dir, "drain-again") })
    }

    pub(super) fn collected(&self) -> Option<&Collected> {
        self.collected.as_ref().ok().and_then(Option::as_ref)
    }

    /// The last one.
    pub(super) fn drain(&self) -> Option<&Drain> {
        self.drain.as_ref().ok().and_then(Option::as_ref).map(|(_, drain)| drain)
    }

    /// With the others, and with what the large files say.
    pub(super) fn context(self, dir: &RunDir, gathered: Gathered) -> Context {
        let Gathered { tables, ledger, ledger_damage, topics, rows } = gathered;
        let mut cx = Context {
            dir: dir.clone(),
            run: self.run,
            sealed: dir.is_sealed(),
            ledger_file: dir.ledger().file_name().map(|n| n.to_string_lossy().into()).unwrap_or_default(),
            tables,
            ledger: ledger_damage.map_or(Ok(ledger), |e| Err(evidence(dir, &e))),
            topics_damage: topics.damage.as_ref().map(|e| evidence(dir, e)),
            topics,
            rows,
            collected: self.collected,
            first_drain: drain(dir, "drain"),
            drain: self.drain,
            course: dir.events().map(|list| Course::of(&list)).map_err(|e| evidence(dir, &e)),
            summaries: summaries::read(dir),
            snapshots: snapshots(dir),
            logs: Logs::read(&dir.path("logs")),
        };
        agree::rows(&mut cx);
        let unread = agree::unread(&cx);
        cx.topics.holes.extend(unread);
        cx
    }
}

/// Reads the snapshots.
pub fn snapshots(run: &RunDir) -> BTreeMap<String, Read<Option<Snapshot>>> {
    let read = |name: &str| {
        let snapshot = run.snapshot(name).map(|snapshot| {
            snapshot.map(|mut s| {
                s.slot_pending.iter_mut().for_each(|pending| pending.sort_unstable());
                s
            })
        });
        snapshot.map_err(|e| evidence(run, &e))
    };
    NAMES.iter().map(|name| ((*name).to_owned(), read(name))).collect()
}

/// Reads the result of a drain, `drain` or `drain-again`.
pub fn drain(run: &RunDir, step: &str) -> Read<Option<(String, Drain)>> {
    let Some(step) = step_folder(run, step) else { return Ok(None) };
    let file = format!("{step}/drain.json");
    let drain = run.read_if_there::<Drain>(&file).map_err(|e| evidence(run, &e))?;
    Ok(drain.map(|drain| (file, drain)))
}

/// An error as evidence: with the file relative to the run directory.
pub fn evidence(run: &RunDir, error: &Error) -> Evidence {
    let (path, place) = match error {
        Error::Io { path, .. } | Error::Schema { path, .. } => (path, None),
        Error::Corrupt { path, place, .. } => (path, Some(place.clone())),
    };
    let file = path.strip_prefix(run.root()).unwrap_or(path).display().to_string();
    let text = error.to_string().replace(&path.display().to_string(), &file);
    Evidence { text, file: Some(file), at: place }
}

impl Context {
    /// A snapshot, or the doubt that it was not taken or cannot be read.
    ///
    /// # Errors
    /// The doubt.
    pub fn snapshot(&self, name: &str) -> std::result::Result<&Snapshot, Doubt> {
        let evidence = match self.snapshots.get(name) {
            Some(Ok(Some(snapshot))) => match misplaced(self, name, snapshot) {
                None => return Ok(snapshot),
                Some(text) => Evidence {
                    text,
                    file: Some(format!("snapshots/{name}.json")),
                    at: Some("/server".into()),
                },
            },
            Some(Err(evidence)) => evidence.clone(),
            _ => {
                let file = format!("snapshots/{name}.json");
                Evidence { text: format!("{file} was not taken"), file: Some(file), at: None }
            }
        };
        let step = match name {
            "at-resume" => "resume-connector".to_owned(),
            other => format!("capture-{other}"),
        };
        Err(Doubt { evidence, remedy: self.go_on(&format!("cargo xtask {step}, then cargo xtask collect")) })
    }

    /// What was held against what.
    pub fn basis(&self) -> Evidence {
        let lines = self.ledger.as_ref().map_or(0, |ledger| ledger.lines);
        let topics = self.collected.as_ref().ok().and_then(Option::as_ref).map_or(0, |c| c.topics.len());
        let text = format!(
            "{lines} lines of {} were held against {} records of {topics} topics, each read from its first to its \
             last record",
            self.ledger_file, self.topics.records
        );
        Evidence { text, file: Some("collected.json".into()), at: Some("/topics".into()) }
    }

    /// Index of a table of the ledger.
    pub fn table_no(&self, table: &str) -> Option<usize> {
        self.tables.keys().position(|name| name == table)
    }

    /// Whether the rows of a table at the end are known one by one.
    pub fn rows_known(&self, table: &str) -> bool {
        self.table_no(table).and_then(|i| self.rows.get(i)).is_some_and(Rows::known)
    }

    /// Whether the restored table is the one at the cut; none when nobody looked.
    pub fn copied(&self, table: &str) -> Option<bool> {
        let state =
            |name: &str| -> Option<TableState> { self.snapshot(name).ok()?.tables.get(table).cloned() };
        Some(state("cut")? == state("restored")?)
    }

    /// The connector's setting in a phase.
    pub fn setting(&self, phase: Phase, key: &str) -> Option<&str> {
        let names = match phase {
            Phase::Before => ["before", "cut"],
            Phase::After => ["after", "at-resume"],
        };
        let mut found = names.iter().filter_map(|name| self.snapshot(name).ok()?.connector.as_ref());
        found.next()?.config.get(key).map(String::as_str)
    }

    /// Whether connector and task were RUNNING after the upgrade, or why nobody knows.
    pub fn looks(&self) -> Evidence {
        match &self.course {
            Ok(course) => course.looks.evidence(),
            Err(evidence) => evidence.clone(),
        }
    }

    /// The component whose death after the upgrade explains that nothing arrived or was made.
    pub fn death_after(&self) -> Option<Evidence> {
        self.course.as_ref().ok()?.death_after()
    }

    /// The offset with which the connector resumed is word for word the one at the cut, which another
    /// server wrote: the cut's snapshot.
    pub fn stale(&self) -> Option<&Snapshot> {
        let (at, cut) = (self.snapshot("at-resume").ok()?, self.snapshot("cut").ok()?);
        let same = at.offset.as_ref()?.raw == cut.offset.as_ref()?.raw;
        (same && !cut.server.position.same_history(&at.server.position)).then_some(cut)
    }

    /// What helps where the run proves nothing: the steps that lack while it is open, another
    /// rehearsal once it is sealed.
    pub fn go_on(&self, commands: &str) -> String {
        if self.sealed { remedy::rehearse(&self.run) } else { commands.to_owned() }
    }
}
