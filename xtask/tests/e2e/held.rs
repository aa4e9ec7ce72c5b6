//! The main job: `upgrade --option b`, all checks held, counted a second time by triggers.

use std::collections::BTreeMap;

use artifacts::findings::Verdict;
use artifacts::ledger::Op;

use crate::support::{STACK, committed, expect, findings, not_held, run_of, seeded, violations, xtask};

#[test]
fn held_and_counted_twice() {
    let output = expect(0, &format!("upgrade --option b --stack native --audit --keep-up --name {STACK}"));
    let run = run_of(&output);
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    assert_eq!(found.checks.len(), 11);
    assert!(violations(&run).is_empty());
    for (phase, tally) in &found.counts.by_phase {
        assert!(tally.acknowledged >= 5_000 && tally.delivered == tally.acknowledged, "{phase}: {tally:?}");
    }

    // The triggers counted in the same transactions, the rows before the connector as well; they came
    // along to the new server.
    let mut counted: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (table, ver) in seeded(&run) {
        let ops = counted.entry(table).or_default();
        *ops.entry("c".into()).or_default() += 1;
        *ops.entry("u".into()).or_default() += u64::from(ver - 1);
    }
    let changes = committed(&run);
    for (_, change) in &changes {
        assert_ne!(change.op, Op::Read);
        *counted.entry(change.table.clone()).or_default().entry(change.op.to_string()).or_default() += 1;
    }
    let audit = run.snapshot("after").unwrap().unwrap().audit.expect("audit counts");
    assert_eq!(audit, counted);
    assert_eq!(found.counts.total.acknowledged, changes.len() as u64);

    let html = std::fs::read_to_string(run.path("report.html")).unwrap();
    assert!(html.len() < 1_000_000 && !html.to_lowercase().contains("<script"), "{} bytes", html.len());

    // A sceptic re-checks from the evidence alone.
    for derived in ["findings.json", "violations.jsonl", "report.html"] {
        std::fs::remove_file(run.path(derived)).unwrap();
    }
    let again = xtask(&format!("verify --run {}", run.root().display()));
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(findings(&run), found);

    // Whatever is planted into a copy of it is found.
    expect(0, &format!("self-test --run {}", run.root().display()));

    // Evidence that was touched is not believed.
    let snapshot = run.path("snapshots/cut.json");
    let text = std::fs::read_to_string(&snapshot).unwrap();
    std::fs::write(&snapshot, text.replace("\"new\"", "\"old\"").replacen("rows\": ", "rows\": 1", 1))
        .unwrap();
    expect(4, &format!("verify --run {}", run.root().display()));
    std::fs::write(&snapshot, text).unwrap();
    expect(0, &format!("verify --run {}", run.root().display()));
    expect(0, &format!("report --run {}", run.root().display()));
}
