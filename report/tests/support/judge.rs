//! Asks for the verdict over a [`Rehearsal`], and a naive reference for what it must name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use artifacts::RunDir;
use artifacts::findings::{CheckResult, Findings, Tally, Verdict, Violation, ViolationKind};
use artifacts::ledger::{Entry, Fate, Phase};
use artifacts::row;
use report::{Options, verify};
use serde_json::json;

use super::story::rehearse;
use super::{Plan, Rehearsal};

/// Findings and violations of a run.
pub struct Judged {
    /// `findings.json`
    pub findings: Findings,
    /// `violations.jsonl`
    pub violations: Vec<Violation>,
}

impl Judged {
    /// Writes the rehearsal below `dir` and judges it.
    pub fn of(rehearsal: &Rehearsal, dir: &Path) -> Self {
        Self::run(&rehearsal.write(&dir.join("run")), &Options::default())
    }

    /// Judges a run directory.
    pub fn run(run: &RunDir, options: &Options) -> Self {
        let findings = verify(run, options).unwrap();
        assert_eq!(run.findings().unwrap().unwrap(), findings);
        remedies_work(&findings, run.is_sealed());
        let text = std::fs::read_to_string(run.path("violations.jsonl")).unwrap();
        let violations = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let judged = Self { findings, violations };
        judged.numbers_add_up(run);
        judged
    }

    /// What the documentation of [`Tally`] promises, wherever a run is judged.
    fn numbers_add_up(&self, run: &RunDir) {
        let counts = &self.findings.counts;
        let parts = [counts.by_phase.values(), counts.by_table.values()];
        for tally in parts.into_iter().flatten().chain([&counts.total]) {
            assert_eq!(tally.acknowledged, tally.delivered + tally.missing + tally.undecided, "{counts:#?}");
            assert!(tally.seed_rows_missing <= tally.seed_rows, "{counts:#?}");
        }
        let field = |tally: &Tally| serde_json::to_value(tally).unwrap();
        let sum = |tallies: &BTreeMap<String, Tally>, name: &str| {
            tallies.values().filter_map(|tally| field(tally)[name].as_u64()).sum::<u64>()
        };
        for (name, total) in field(&counts.total).as_object().unwrap() {
            assert_eq!(sum(&counts.by_table, name), *total, "{name} by table: {counts:#?}");
            assert_eq!(sum(&counts.by_phase, name), *total, "{name} by phase: {counts:#?}");
        }
        let lines = |kind, decided: bool| {
            let of_kind = self.violations.iter().filter(|v| v.kind == kind);
            of_kind.filter(|v| decided != (v.stage.as_deref() == Some("not-yet"))).count() as u64
        };
        let total = &counts.total;
        let missing =
            [total.missing, total.seed_rows_missing, total.tombstones_missing, total.unknown_missing];
        assert_eq!(missing.iter().sum::<u64>(), lines(ViolationKind::Missing, true), "{counts:#?}");
        assert!(total.undecided <= lines(ViolationKind::Missing, false), "{counts:#?}");
        assert_eq!(total.reordered, lines(ViolationKind::Reordered, true));
        assert_eq!(total.unexpected, lines(ViolationKind::Unexpected, true));
        assert_eq!(total.altered, lines(ViolationKind::Altered, true));
        let tolerated = run.run().unwrap().allow_repeats;
        assert!(tolerated || total.repeated == lines(ViolationKind::Repeated, true), "{counts:#?}");
    }

    /// A check by its name.
    pub fn check(&self, name: &str) -> &CheckResult {
        self.findings.checks.iter().find(|check| check.name == name).unwrap()
    }

    /// Names of the checks that answered so.
    pub fn checks(&self, verdict: Verdict) -> Vec<&str> {
        let checks = self.findings.checks.iter().filter(|check| check.verdict == verdict);
        checks.map(|check| check.name.as_str()).collect()
    }

    /// Summary and evidence of a check, as one text with files and places.
    pub fn text(&self, name: &str) -> String {
        let check = self.check(name);
        let evidence = check.evidence.iter().map(|e| format!("{} [{:?} {:?}]", e.text, e.file, e.at));
        std::iter::once(check.summary.clone()).chain(evidence).collect::<Vec<_>>().join("\n")
    }

    /// Stages of the violations of a kind, each once.
    pub fn stages(&self, kind: ViolationKind) -> BTreeSet<Option<String>> {
        self.violations.iter().filter(|v| v.kind == kind).map(|v| v.stage.clone()).collect()
    }
}

/// Judges a held rehearsal without transactions of odd fates, spoiled.
pub fn spoiled(spoil: impl FnOnce(&mut Rehearsal)) -> Judged {
    judge(&Plan { odd_fates: false, ..Plan::default() }, spoil)
}

/// Judges a rehearsal, spoiled.
pub fn judge(plan: &Plan, spoil: impl FnOnce(&mut Rehearsal)) -> Judged {
    let dir = tempfile::tempdir().unwrap();
    let mut rehearsal = rehearse(plan);
    spoil(&mut rehearsal);
    Judged::of(&rehearsal, dir.path())
}

/// Asserts that run and check have the verdict and that the check says all parts.
pub fn says(judged: &Judged, check: &str, verdict: Verdict, parts: &[&str]) {
    assert_eq!(judged.findings.verdict, verdict, "{:#?}", judged.findings);
    assert_eq!(judged.check(check).verdict, verdict, "{:#?}", judged.findings);
    let text = judged.text(check);
    parts.iter().for_each(|part| assert!(text.contains(part), "'{part}' is not in {text}"));
}

/// Asserts that one check alone is broken and that its text has all parts.
pub fn only_broken(judged: &Judged, check: &str, parts: &[&str]) {
    assert_eq!(judged.checks(Verdict::Broken), [check], "{:#?}", judged.findings);
    says(judged, check, Verdict::Broken, parts);
}

/// Asserts that exactly these checks are unknown, none is broken, and the first says why.
pub fn unknown(judged: &Judged, checks: &[&str], parts: &[&str]) {
    assert_eq!(judged.checks(Verdict::Unknown), checks, "{:#?}", judged.findings);
    says(judged, checks[0], Verdict::Unknown, parts);
}

/// Commands that can be typed on a sealed run, or that begin another one.
const COMMANDS: [&str; 8] =
    ["upgrade", "verify", "status", "logs", "topics", "replication", "down", "reset-offsets"];

/// Whatever is not held says what helps, in commands that work: a sealed run refuses every step.
fn remedies_work(findings: &Findings, sealed: bool) {
    for check in &findings.checks {
        let Some(remedy) = &check.remedy else {
            assert_eq!(check.verdict, Verdict::Held, "{check:#?}");
            continue;
        };
        assert_ne!(check.verdict, Verdict::Held, "{check:#?}");
        let commands = remedy.split("cargo xtask ").skip(1);
        for command in commands.filter_map(|rest| rest.split([' ', ',', ';', ':', ')']).next()) {
            assert!(!sealed || COMMANDS.contains(&command), "{command} on a sealed run: {remedy}");
        }
    }
}

/// Change ids by phase that the ledger knows to be committed and that touched a row.
pub fn acknowledged(ledger: &[Entry]) -> BTreeMap<u64, Phase> {
    let mut open = BTreeMap::new();
    let mut touched: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    let mut known = BTreeMap::new();
    for entry in ledger {
        match entry {
            Entry::Invoke { tx, phase, changes, .. } => {
                open.insert(tx.clone(), (*phase, changes.clone()));
            }
            Entry::Returned { tx, counts, .. } => {
                touched.insert(tx.clone(), counts.iter().map(|n| *n > 0).collect());
            }
            Entry::Ok { tx, .. } | Entry::Settled { tx, fate: Fate::Ok, .. } => {
                let (phase, changes) = &open[tx];
                let changes = changes.iter().zip(&touched[tx]).filter(|(_, touched)| **touched);
                known.extend(changes.map(|(change, _)| (change.id, *phase)));
            }
            _ => {}
        }
    }
    known
}

/// Keys that end differently in the topics and in the database: the records of each key, applied one
/// after the other to an empty table. A value that an update leaves out stays as it was.
pub fn diverged(rehearsal: &Rehearsal) -> BTreeSet<(String, i64)> {
    let columns = row::tables();
    let mut folded: BTreeMap<(String, i64), serde_json::Map<String, serde_json::Value>> = BTreeMap::new();
    let mut order: Vec<_> = rehearsal.records.iter().filter(|r| !r.table.is_empty()).collect();
    order.sort_by_key(|record| record.partition); // Stable: as the walk, partition by partition.
    for record in order {
        let at = (record.table.clone(), record.row_key);
        let value = record.value.as_ref().map_or(json!({}), |text| serde_json::from_str(text).unwrap());
        let old = folded.remove(&at).unwrap_or_default();
        let Some(mut row) = value["after"].as_object().cloned() else { continue };
        for (column, value) in row.iter_mut().filter(|(_, value)| *value == row::LEFT_OUT) {
            *value = old.get(column).cloned().unwrap_or_else(|| json!("it never came"));
        }
        folded.insert(at, row);
    }
    let rows = |table: &String, key| rehearsal.rows_after.get(table).and_then(|rows| rows.get(&key)).copied();
    let keys = rehearsal.rows_after.iter().flat_map(|(t, rows)| rows.keys().map(|key| (t.clone(), *key)));
    let all: BTreeSet<(String, i64)> = folded.keys().cloned().chain(keys).collect();
    let ends = |at: &(String, i64)| folded.get(at).map(|row| row::digest(&columns[&at.0], row).ok());
    all.into_iter().filter(|at| ends(at) != rows(&at.0, at.1).map(Some)).collect()
}
