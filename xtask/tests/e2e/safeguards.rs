//! Every safeguard alone left out: what becomes of it. The catalogue is docs/findings.md.

use std::collections::BTreeSet;

use artifacts::findings::{Findings, Verdict, ViolationKind};
use artifacts::ledger::Phase;
use artifacts::snapshot::Role;

use crate::support::{STACK, expect, findings, not_held, run_of, violations, xtask};

/// Safeguards, the verdict without them, and a check that is broken then.
const TABLE: [(&str, Verdict, &str); 7] = [
    ("writers-first", Verdict::Broken, "nothing-missing"),
    ("fence", Verdict::Held, ""),
    ("drain", Verdict::Held, ""),
    ("stop-connector", Verdict::Broken, "still-flowing"),
    ("keep-publication", Verdict::Held, ""),
    ("repoint-connector", Verdict::Broken, "still-flowing"),
    ("rebase-offsets", Verdict::Broken, "nothing-missing"),
];

fn without(safeguards: &str, more: &str) -> (artifacts::RunDir, Findings) {
    let words =
        format!("upgrade --option b --changes 400 --keep-up --name {STACK} --without {safeguards} {more}");
    let run = run_of(&xtask(&words));
    let found = findings(&run);
    (run, found)
}

#[test]
fn each_alone_left_out() {
    for (name, verdict, check) in TABLE {
        let (_, found) = without(name, "");
        assert_eq!(found.verdict, verdict, "without {name}: {:?}", not_held(&found));
        let broken = found.checks.iter().filter(|c| c.verdict == Verdict::Broken);
        let broken: Vec<&str> = broken.map(|c| c.name.as_str()).collect();
        assert!(check.is_empty() || broken.contains(&check), "without {name}: {broken:?}");
    }
}

/// Changes that were committed after the slot had become inactive are in the backup and in no topic.
#[test]
fn writers_that_outlive_the_connector_are_named() {
    let (run, found) = without("writers-first,drain", "");
    assert_eq!(found.verdict, Verdict::Broken);
    let missing = violations(&run).into_iter().filter(|v| v.kind == ViolationKind::Missing);
    let named: BTreeSet<u64> = missing.filter_map(|v| v.change_id).collect();
    // Counted by somebody else: what the old server's slot still holds, by its transactions.
    let cut = run.snapshot("cut").unwrap().unwrap();
    assert_eq!(cut.server.role, Role::Old);
    let pending: BTreeSet<String> = cut.slot_pending.unwrap().iter().map(ToString::to_string).collect();
    let held = crate::support::committed_by_xid(&run, Phase::Before);
    let expected: BTreeSet<u64> =
        held.iter().filter(|(xid, _)| pending.contains(xid)).map(|(_, id)| *id).collect();
    assert!(expected.len() >= 50, "{expected:?}");
    assert_eq!(named, expected);
}

/// The stored offset lies ahead until the new server's WAL passes it: what was written below it is in no
/// topic, the rest arrives.
#[test]
fn overtaken_is_named_exactly() {
    let (run, found) = without("rebase-offsets", "--lsn-case overtaken --rate 200");
    assert_eq!(found.verdict, Verdict::Broken, "{:?}", not_held(&found));
    let missing: Vec<_> = violations(&run).into_iter().filter(|v| v.kind == ViolationKind::Missing).collect();
    let after = found.counts.by_phase[&Phase::After];
    assert!(after.delivered > 0 && !missing.is_empty(), "{after:?}");
    assert_eq!(after.delivered + missing.len() as u64, after.acknowledged);
}

/// Both other ways to come to a position of the new server.
#[test]
fn a_reset_offset_and_a_trusted_slot() {
    let words = format!("upgrade --option b --changes 400 --keep-up --name {STACK} --offsets reset");
    let found = findings(&run_of(&expect(0, &words)));
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
}

/// The slot is advanced to an offset of another history: what is missing is gone for good.
#[test]
fn a_trusted_offset_makes_it_worse() {
    let (run, found) = without("rebase-offsets", "--mismatch-strategy trust_offset");
    assert_eq!(found.verdict, Verdict::Broken);
    let missing: Vec<_> = violations(&run).into_iter().filter(|v| v.kind == ViolationKind::Missing).collect();
    assert!(!missing.is_empty());
    assert!(missing.iter().all(|v| v.stage.as_deref() == Some("gone")), "{:?}", missing.first());
}
