//! Does the verifier see what it is for? Known faults are planted, one after another, into a copy of
//! the evidence of a run that held; each must turn the verdict, be named, and nothing else with it.
//!
//! The original is never written to. Planted into Avro, events become JSON. What each fault must lead to is worked out here from the events
//! and the ledger in the plainest way, without the walk and the checks of [`crate::verify`].

mod copy;
mod damage;
mod faults;
mod original;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use artifacts::findings::{Findings, Verdict, Violation, ViolationKind};
use artifacts::ledger::Op;
use artifacts::{Error, Result, RunDir};

use crate::synth::sim::Dice;
use crate::{Options, verify};
use copy::Spoil;
use original::{Key, Original};

/// How a planted fault was judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What was planted.
    pub fault: &'static str,
    /// Verdict of the run; none when the run has no place for the fault.
    pub verdict: Option<Verdict>,
    /// Checks that are not held, with their verdicts.
    pub checks: Vec<(String, Verdict)>,
    /// Violations that had to be named.
    pub expected: usize,
    /// Violations of these that were named.
    pub found: usize,
    /// What is wrong with the judgement; none when it is right.
    pub misses: Vec<String>,
    /// How long planting and judging took.
    pub took: Duration,
}

/// A violation that must be named. Of a key that ends differently, neither version nor operation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    kind: ViolationKind,
    at: Key,
    ver: Option<u32>,
    op: Option<Op>,
}

/// What a fault must lead to.
enum Expected {
    /// Nothing.
    Held,
    /// The checks of these violations are broken, and `more`.
    Broken { named: BTreeSet<Named>, more: Vec<&'static str> },
    /// This check is unknown and names the file, with a place in it; nothing is broken, nothing named.
    Unknown { check: &'static str, file: String, place: bool },
}

/// A fault and what it must lead to.
struct Planted {
    spoil: Spoil,
    expected: Expected,
    /// The column that `tables-converge` must name of the rows that it names.
    column: Option<String>,
}

/// Plants every fault into copies below `scratch`, which is made, and judges them. `told` hears of
/// each; false ends it. The first is none: the copy must be held, else nothing is planted.
///
/// # Errors
/// The run cannot be read or has events that cannot be decoded, or a copy cannot be written.
pub fn self_test(
    run: &RunDir,
    scratch: &Path,
    seed: u64,
    mut told: impl FnMut(&Judged) -> bool,
) -> crate::Result<()> {
    let original = Original::read(run)?;
    let begun = Instant::now();
    let held = Planted { spoil: Spoil::default(), expected: Expected::Held, column: None };
    let first = judge("none", Some(held), &original, scratch, begun)?;
    if !told(&first) || !first.misses.is_empty() {
        return Ok(());
    }
    let mut planter = faults::Planter { original: &original, dice: Dice(seed) };
    for (name, fault) in faults::FAULTS {
        let begun = Instant::now();
        let planted = fault(&mut planter);
        if !told(&judge(name, planted, &original, scratch, begun)?) {
            return Ok(());
        }
    }
    for (name, fault) in damage::FAULTS {
        if !told(&judge(name, fault(&original), &original, scratch, Instant::now())?) {
            return Ok(());
        }
    }
    Ok(())
}

fn judge(
    fault: &'static str,
    planted: Option<Planted>,
    original: &Original,
    scratch: &Path,
    begun: Instant,
) -> crate::Result<Judged> {
    let mut judged = Judged {
        fault,
        verdict: None,
        checks: Vec::new(),
        expected: 0,
        found: 0,
        misses: Vec::new(),
        took: Duration::ZERO,
    };
    let Some(Planted { spoil, expected, column }) = planted else { return Ok(judged) };
    let run = spoil.write(original, scratch)?;
    let findings = verify(&run, &Options::default())?;
    let violations = violations(&run)?;
    judged.verdict = Some(findings.verdict);
    let open = findings.checks.iter().filter(|check| check.verdict != Verdict::Held);
    judged.checks = open.map(|check| (check.name.clone(), check.verdict)).collect();
    let (named, broken) = match &expected {
        Expected::Held => (BTreeSet::new(), BTreeSet::new()),
        Expected::Broken { named, more } => {
            let checks = named.iter().map(|named| check_of(named.kind)).chain(more.iter().copied());
            (named.clone(), checks.collect())
        }
        Expected::Unknown { check, file, place } => {
            judged.misses.extend(not_said(&findings, check, file, *place));
            (BTreeSet::new(), BTreeSet::new())
        }
    };
    compare(&mut judged, &named, &violations);
    compare_checks(&mut judged, &expected, &broken);
    let column = column.filter(|_| original.columns_known);
    judged.misses.extend(column.and_then(|column| other_column(&findings, &column)));
    judged.took = begun.elapsed();
    Ok(judged)
}

/// What is named. A change that is not there yet is no finding.
fn violations(run: &RunDir) -> Result<Vec<Violation>> {
    let path = run.path(crate::verify::violations::FILE);
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let parse = |(n, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| Error::corrupt(&path, format!("line {}", n + 1), e))
    };
    let all: Result<Vec<Violation>> = text.lines().enumerate().map(parse).collect();
    let found = |violation: &Violation| violation.stage.as_deref() != Some("not-yet");
    Ok(all?.into_iter().filter(found).collect())
}

/// Each once, and no others.
fn compare(judged: &mut Judged, expected: &BTreeSet<Named>, violations: &[Violation]) {
    let mut found = BTreeSet::new();
    for violation in violations {
        let diverged = violation.kind == ViolationKind::Diverged;
        let named = Named {
            kind: violation.kind,
            at: (violation.table.clone(), violation.key.unwrap_or_default()),
            ver: violation.ver.filter(|_| !diverged),
            op: violation.op.filter(|_| !diverged),
        };
        if !expected.contains(&named) {
            judged.misses.push(format!("named, and not planted: {}", show(&named)));
        } else if !found.insert(named.clone()) {
            judged.misses.push(format!("named twice: {}", show(&named)));
        }
    }
    for named in expected.difference(&found) {
        judged.misses.push(format!("planted, and not named: {}", show(named)));
    }
    (judged.expected, judged.found) = (expected.len(), found.len());
}

fn show(named: &Named) -> String {
    let Named { kind, at: (table, key), ver, op } = named;
    let (ver, op) = (ver.map(|ver| format!(" version {ver}")), op.map(|op| format!(" ({op})")));
    format!("{kind:?} {table} {key}{}{}", ver.unwrap_or_default(), op.unwrap_or_default())
}

/// Broken are those that must be, all others are held or, when something is unknown, may be unknown.
fn compare_checks(judged: &mut Judged, expected: &Expected, broken: &BTreeSet<&str>) {
    let wanted = match expected {
        Expected::Held => Verdict::Held,
        Expected::Broken { .. } => Verdict::Broken,
        Expected::Unknown { .. } => Verdict::Unknown,
    };
    if judged.verdict != Some(wanted) {
        judged.misses.push(format!("the verdict is not {wanted}"));
    }
    let found: BTreeSet<&str> = judged
        .checks
        .iter()
        .filter(|(_, verdict)| *verdict == Verdict::Broken || wanted != Verdict::Unknown)
        .map(|(name, _)| name.as_str())
        .collect();
    let missed = broken.difference(&found).map(|check| format!("{check} is not broken"));
    let extra = found.difference(broken).map(|check| format!("{check} is not held"));
    let wrong: Vec<String> = missed.chain(extra).collect();
    judged.misses.extend(wrong);
}

/// The check that names violations of a kind.
fn check_of(kind: ViolationKind) -> &'static str {
    match kind {
        ViolationKind::Missing => "nothing-missing",
        ViolationKind::Repeated => "nothing-repeated",
        ViolationKind::Reordered => "order-kept",
        ViolationKind::Unexpected => "nothing-invented",
        ViolationKind::Altered => "nothing-altered",
        ViolationKind::Diverged => "tables-converge",
    }
}

/// Why a row that differs is not said to differ in this column alone.
fn other_column(findings: &Findings, column: &str) -> Option<String> {
    let check = findings.checks.iter().find(|check| check.name == check_of(ViolationKind::Diverged))?;
    let mut named =
        check.evidence.iter().filter(|evidence| evidence.text.contains(" leaves another row than "));
    let other = named.find(|evidence| !evidence.text.ends_with(&format!(", in {column}")))?;
    Some(format!("not {column} alone is named: {}", other.text))
}

/// Why a check does not say which file is damaged, and where.
fn not_said(findings: &Findings, check: &str, file: &str, place: bool) -> Option<String> {
    let of = findings.checks.iter().find(|result| result.name == check)?;
    if of.verdict != Verdict::Unknown {
        return Some(format!("{check} is {}, not unknown", of.verdict));
    }
    let says = |at: &Option<String>| !place || at.is_some();
    let said = of.evidence.iter().any(|e| e.file.as_deref() == Some(file) && says(&e.at));
    let what = if place { "with a place in it" } else { "by its name" };
    (!said).then(|| format!("{check} does not name {file} {what}"))
}
