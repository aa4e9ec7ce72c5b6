//! Everything the checks know beside the histories of the keys.

use std::collections::BTreeMap;

use artifacts::collected::Collected;
use artifacts::drain::{Drain, Settled};
use artifacts::findings::Evidence;
use artifacts::ledger::{Op, Phase};
use artifacts::row::Tables;
use artifacts::run::Run;
use artifacts::snapshot::{NAMES, Snapshot, TableState};
use artifacts::{Error, RunDir};

use super::agree::misplaced;
use super::audit::audit;
use super::deliver::Topics;
use super::expect::Ledger;
use super::looks::Looks;
use super::rows::{Rows, step_folder};

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
    /// `run.json`
    pub run: Run,
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
    /// The last drain, and its file.
    pub drain: Read<Option<(String, Drain)>>,
    /// Samples after the upgrade.
    pub looks: Read<Looks>,
    /// `snapshots/*.json`
    pub snapshots: BTreeMap<String, Read<Option<Snapshot>>>,
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

/// Reads the result of the last drain.
pub fn drain(run: &RunDir) -> Read<Option<(String, Drain)>> {
    let Some(step) = step_folder(run, "drain-again") else { return Ok(None) };
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
        let remedy = format!("rehearse again; snapshots/{name}.json is written by cargo xtask {step}");
        Err(Doubt { evidence, remedy })
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

    /// Reasons why the histories of the keys prove nothing: damaged or incomplete evidence, or too
    /// little of it.
    pub fn doubts(&self) -> Vec<Doubt> {
        let again = "rehearse again: the evidence is damaged or was not written to its end";
        let mut doubts = Vec::new();
        let mut add = |evidence: Evidence, remedy: &str| {
            doubts.push(Doubt { evidence, remedy: remedy.to_owned() });
        };
        if let Err(evidence) = &self.ledger {
            add(evidence.clone(), again);
        }
        if let Some(evidence) = &self.topics_damage {
            add(evidence.clone(), again);
        }
        let file = Some("collected.json".to_owned());
        match &self.collected {
            Err(evidence) => add(evidence.clone(), again),
            Ok(None) => {
                let text = "collected.json was not written: nobody knows how far the topics were read".into();
                add(Evidence { text, file, at: None }, "cargo xtask collect");
            }
            Ok(Some(_)) => {
                for hole in self.topics.holes.iter().take(3) {
                    let evidence = Evidence { text: hole.clone(), file: file.clone(), at: None };
                    add(evidence, "rehearse again: the topics were not read from first to last record");
                }
            }
        }
        if let Some(Err(doubt)) = audit(self) {
            add(doubt.evidence, &doubt.remedy);
        }
        if let (Ok(_), Some(topic)) = (&self.ledger, self.foreign_topic()) {
            let text = format!("{topic} is a topic of the run, and the ledger knows no table of it");
            let file = Some("run.json".to_owned());
            add(Evidence { text, file, at: Some("/names/topics".into()) }, again);
        }
        if let Some(text) = self.too_little() {
            let evidence = Evidence { text, file: Some(self.ledger_file.clone()), at: None };
            add(evidence, "rehearse with more changes: cargo xtask upgrade --changes 5000");
        }
        doubts
    }

    /// A topic of the run whose table the ledger does not know.
    fn foreign_topic(&self) -> Option<&String> {
        let table =
            |topic: &str| topic.strip_prefix(&self.run.names.prefix)?.strip_prefix('.').map(str::to_owned);
        let known = |topic: &&String| table(topic).is_some_and(|table| self.tables.contains_key(&table));
        self.run.names.topics.iter().find(|topic| !known(topic))
    }

    /// At least one acknowledged insert, update and delete per table and phase, or what lacks.
    fn too_little(&self) -> Option<String> {
        let ledger = self.ledger.as_ref().ok()?;
        let mut lacking = Vec::new();
        if self.tables.is_empty() {
            return Some("too little was seen: the ledger names no table".to_owned());
        }
        for phase in [Phase::Before, Phase::After] {
            for table in self.tables.keys() {
                for (op, name) in [(Op::Create, "insert"), (Op::Update, "update"), (Op::Delete, "delete")] {
                    if !ledger.acknowledged.contains_key(&(phase, table.clone(), op)) {
                        lacking.push(format!("{name} of {table} {phase} the cut"));
                    }
                }
            }
        }
        let more = lacking.len().saturating_sub(1);
        let rest = if more > 0 { format!(" (and {more} more kinds)") } else { String::new() };
        let first = lacking.first()?;
        Some(format!("too little was seen: the ledger has no acknowledged {first}{rest}"))
    }

    /// Whether delivery had settled, so that missing may be said.
    pub fn unsettled(&self) -> Option<Doubt> {
        let settled = self.collected.as_ref().ok().and_then(|c| c.as_ref()).and_then(|c| c.settled);
        let text = match settled {
            Some(Settled::Marker | Settled::Idle) => return None,
            Some(Settled::No) => "delivery had not settled: something was still moving at the deadline",
            None => "nobody waited until delivery had settled: drain-again was not run",
        };
        let at = Some("/settled".to_owned());
        let evidence = Evidence { text: text.into(), file: Some("collected.json".into()), at };
        Some(Doubt { evidence, remedy: "cargo xtask drain-again, then cargo xtask collect".into() })
    }

    /// Everything that was delivered was read, and nothing can arrive any more.
    pub fn conclusive(&self) -> bool {
        matches!(self.collected, Ok(Some(_)))
            && self.topics_damage.is_none()
            && self.topics.holes.is_empty()
            && self.unsettled().is_none()
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
        match &self.looks {
            Ok(looks) => looks.evidence(),
            Err(evidence) => evidence.clone(),
        }
    }
}
