//! `violations.jsonl`: every violation as it is found, and the counts of them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use artifacts::findings::{Counts, Tally, Violation, ViolationKind};
use artifacts::ledger::{Op, Phase};
use artifacts::{Error, Result, RunDir};

use super::history::{Belongs, Event, KeyHistory, Wanted};

/// File name in the run directory.
pub const FILE: &str = "violations.jsonl";

/// Takes violations and writes them line by line. The file appears when it is whole.
pub struct Violations {
    path: PathBuf,
    tmp: PathBuf,
    out: BufWriter<File>,
    lines: u64,
    failed: Option<std::io::Error>,
    /// What was counted so far.
    pub counts: Counts,
}

impl Violations {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(run: &RunDir) -> Result<Self> {
        let path = run.path(FILE);
        let tmp = path.with_added_extension("tmp");
        let file = File::create(&tmp).map_err(Error::io("create", &tmp))?;
        let counts = Counts::default();
        Ok(Self { path, tmp, out: BufWriter::new(file), lines: 0, failed: None, counts })
    }

    /// Writes and counts a violation. A failed write is told by [`Violations::finish`].
    pub fn push(&mut self, violation: &Violation) {
        self.tolerate(violation);
        self.lines += 1;
        let written = serde_json::to_writer(&mut self.out, violation).map_err(Into::into);
        if let Err(e) = written.and_then(|()| self.out.write_all(b"\n")) {
            self.failed.get_or_insert(e);
        }
    }

    /// Counts a violation without writing it.
    pub fn tolerate(&mut self, violation: &Violation) {
        let table = &violation.table;
        match violation.kind {
            ViolationKind::Repeated => self.add(violation.phase, table, 1, |t| &mut t.repeated),
            ViolationKind::Reordered => self.add(violation.phase, table, 1, |t| &mut t.reordered),
            ViolationKind::Unexpected => self.add(violation.phase, table, 1, |t| &mut t.unexpected),
            ViolationKind::Altered => self.add(violation.phase, table, 1, |t| &mut t.altered),
            // What is missing is counted by what it is: see [`Violations::missing`].
            ViolationKind::Missing | ViolationKind::Diverged => {}
        }
    }

    /// Writes a missing change and counts it by what it is. `decided`: it cannot arrive any more;
    /// `committed`: its transaction is known to be.
    pub fn missing(&mut self, violation: &Violation, decided: bool, committed: bool) {
        self.push(violation);
        let field: fn(&mut Tally) -> &mut u64 = match violation.op {
            _ if !decided => return,
            Some(Op::Tombstone) => |t| &mut t.tombstones_missing,
            Some(Op::Read) => |t| &mut t.seed_rows_missing,
            _ if !committed => |t| &mut t.unknown_missing,
            _ => |t| &mut t.missing,
        };
        self.add(violation.phase, &violation.table, 1, field);
    }

    /// Adds to a count: in total, of the phase and of the table.
    pub fn add(&mut self, phase: Option<Phase>, table: &str, n: u64, field: fn(&mut Tally) -> &mut u64) {
        *field(&mut self.counts.total) += n;
        if let Some(phase) = phase {
            *field(self.counts.by_phase.entry(phase.to_string()).or_default()) += n;
        }
        if !self.counts.by_table.contains_key(table) {
            self.counts.by_table.insert(table.to_owned(), Tally::default());
        }
        if let Some(tally) = self.counts.by_table.get_mut(table) {
            *field(tally) += n;
        }
    }

    /// Makes the file whole.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn finish(self) -> Result<Counts> {
        let Self { path, tmp, out, failed, mut counts, .. } = self;
        let parts = counts.by_phase.values_mut().chain(counts.by_table.values_mut());
        for tally in parts.chain([&mut counts.total]) {
            tally.undecided = tally.acknowledged.saturating_sub(tally.delivered + tally.missing);
        }
        failed.map_or(Ok(()), Err).map_err(Error::io("write", &tmp))?;
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(Error::io("write", &tmp))?;
        std::fs::rename(&tmp, &path).map_err(Error::io("replace", &path))?;
        Ok(counts)
    }
}

/// A violation about a key, without details.
pub fn of_key(history: &KeyHistory, kind: ViolationKind, check: &str) -> Violation {
    Violation {
        kind,
        check: check.to_owned(),
        table: history.table.to_string(),
        key: history.key,
        ver: None,
        op: None,
        change_id: None,
        phase: None,
        stage: None,
        xid: None,
        lsn: None,
        at: Vec::new(),
        expected: None,
        actual: None,
    }
}

/// A violation about an expectation.
pub fn of_change(history: &KeyHistory, wanted: &Wanted, kind: ViolationKind, check: &str) -> Violation {
    let fact = &wanted.fact;
    Violation {
        ver: Some(fact.ver),
        op: Some(fact.op),
        change_id: (fact.change_id > 0).then_some(fact.change_id),
        phase: Some(fact.phase),
        xid: fact.xid.map(|xid| xid.to_string()),
        lsn: fact.lsn_floor,
        ..of_key(history, kind, check)
    }
}

/// A violation about an event.
pub fn of_event(history: &KeyHistory, event: &Event, kind: ViolationKind, check: &str) -> Violation {
    let fact = &event.fact;
    let change = match event.belongs {
        Belongs::First(of) | Belongs::Repeat { of, .. } => Some(&history.expected[of].fact),
        _ => None,
    };
    Violation {
        ver: fact.ver.or(change.map(|c| c.ver)),
        op: fact.op,
        change_id: change.map(|c| c.change_id).or(fact.change_id).filter(|id| *id > 0),
        phase: Some(fact.phase),
        xid: fact.xid.map(|xid| xid.to_string()),
        lsn: fact.lsn,
        at: vec![fact.at(&history.topic)],
        ..of_key(history, kind, check)
    }
}

/// A sentence about a violation.
pub fn sentence(violation: &Violation) -> String {
    let none = violation.kind == ViolationKind::Diverged && violation.at.is_empty();
    let what = match violation.op {
        _ if none => "no record of",
        Some(Op::Read) => "snapshot of",
        Some(Op::Create) => "insert of",
        Some(Op::Update) => "update of",
        Some(Op::Delete) => "delete of",
        Some(Op::Tombstone) => "tombstone of",
        None => "a record in the topic of",
    };
    let key = violation.key.map_or("without a key".to_owned(), |key| format!("key {key}"));
    let mut details: Vec<String> = Vec::new();
    details.extend(violation.ver.map(|ver| format!("version {ver}")));
    details.extend(violation.change_id.map(|id| format!("change {id}")));
    details.extend(violation.xid.as_ref().map(|xid| format!("transaction {xid}")));
    details.extend(violation.phase.map(|phase| format!("{phase} the cut")));
    let wrong = match violation.kind {
        _ if none => "leaves the row that the new database holds",
        ViolationKind::Missing => "is in no topic",
        ViolationKind::Repeated => "was delivered again",
        ViolationKind::Reordered => "is out of order",
        ViolationKind::Unexpected => "belongs to no change and no seed row",
        ViolationKind::Altered => "is not what was written",
        ViolationKind::Diverged => "leaves another row than the new database holds",
    };
    let stage = violation.stage.as_ref().map_or(String::new(), |stage| format!(": {stage}"));
    let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
    format!("{what} {} {key}{details} {wrong}{stage}", violation.table)
}
