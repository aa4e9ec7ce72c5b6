//! Decided runs: those of `support` with findings and violations written by hand, so that a golden
//! report does not change with the wording of a check.

use std::fmt::Write as _;
use std::path::Path;

use artifacts::RunDir;
use artifacts::findings::{
    CheckResult, Counts, Evidence, Findings, Tally, Verdict, Violation, ViolationKind,
};
use artifacts::ledger::{Op, Phase};
use serde_json::json;

fn tally(acknowledged: u64, missing: u64) -> Tally {
    Tally { acknowledged, delivered: acknowledged - missing, missing, ..Tally::default() }
}

/// Findings as `verify` would write them: all held, or everything after the upgrade missing.
pub fn findings(run: &RunDir, broken: bool) -> Findings {
    let missing = if broken { 60 } else { 0 };
    let names = [
        "nothing-missing",
        "nothing-repeated",
        "order-kept",
        "nothing-invented",
        "nothing-altered",
        "tables-converge",
        "database-carried-over",
        "replication-ready",
        "positions-consistent",
        "still-flowing",
    ];
    let check = |name: &&str| {
        let verdict = match *name {
            "nothing-missing" | "positions-consistent" if broken => Verdict::Broken,
            "still-flowing" if broken => Verdict::Unknown,
            _ => Verdict::Held,
        };
        CheckResult {
            name: (*name).into(),
            verdict,
            compared: 120,
            summary: format!("what {name} found"),
            evidence: vec![Evidence {
                text: "the slot still holds them".into(),
                file: Some("snapshots/after.json".into()),
                at: Some("/slot".into()),
            }],
            remedy: (verdict == Verdict::Broken).then(|| "rebase the stored offset".into()),
        }
    };
    Findings {
        schema: artifacts::SCHEMA.into(),
        run: run.id(),
        verdict: if broken { Verdict::Broken } else { Verdict::Held },
        counts: Counts {
            total: tally(120, missing),
            by_phase: [("before".into(), tally(60, 0)), ("after".into(), tally(60, missing))].into(),
            by_table: [("public.orders".into(), tally(120, missing))].into(),
        },
        checks: names.iter().map(check).collect(),
    }
}

pub fn violation(n: u64) -> Violation {
    Violation {
        kind: ViolationKind::Missing,
        check: "nothing-missing".into(),
        table: "public.orders".into(),
        key: Some(n as i64),
        ver: Some(1),
        op: Some(Op::Create),
        change_id: Some(n),
        phase: Some(Phase::After),
        stage: Some("recoverable".into()),
        xid: Some("771".into()),
        lsn: Some(artifacts::Lsn(0x188_5148 + n)),
        at: Vec::new(),
        expected: Some(json!({"op": "c", "row": "5d41402abc4b2a76b9719d911017c592"})),
        actual: None,
    }
}

pub fn decide(run: &RunDir, broken: bool, violations: impl Iterator<Item = Violation>) {
    run.write("findings.json", &findings(run, broken)).unwrap();
    let mut text = String::new();
    violations.for_each(|v| writeln!(text, "{}", serde_json::to_string(&v).unwrap()).unwrap());
    std::fs::write(run.path("violations.jsonl"), text).unwrap();
}

pub fn held(dir: &Path) -> RunDir {
    let run = super::held_run(&dir.join("run"));
    decide(&run, false, std::iter::empty());
    run
}

pub fn broken(dir: &Path) -> RunDir {
    let run = super::broken_run(&dir.join("run"));
    decide(&run, true, (0..60).map(violation));
    run
}
