//! Without `rebase-offsets` the connector runs, all green, and drops every change.

use std::collections::BTreeSet;

use artifacts::events::EventKind;
use artifacts::findings::{Verdict, ViolationKind};
use artifacts::ledger::Phase;

use crate::support::{STACK, check, expect, findings, ids, run_of, violations};

#[test]
fn every_change_below_the_stored_offset_is_named_recoverable() {
    let words =
        format!("upgrade --option b --without rebase-offsets --lsn-case ahead --changes 1000 --name {STACK}");
    let run = run_of(&expect(1, &words));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Broken);

    // The whole after-phase lies below the stored offset: that was `stack::postgres::AHEAD_BYTES` ahead.
    let after = run.snapshot("after").unwrap().unwrap();
    let resume = run.snapshot("at-resume").unwrap().unwrap();
    let stored = resume.offset.expect("a stored offset").position;
    assert!(after.server.position.lsn < stored.lsn);
    let missing: Vec<_> = violations(&run).into_iter().filter(|v| v.kind == ViolationKind::Missing).collect();
    let named: BTreeSet<u64> = missing.iter().filter_map(|v| v.change_id).collect();
    assert_eq!(named, ids(&run, Phase::After));
    assert_eq!(named.len() as u64, found.counts.total.missing);
    assert!(missing.iter().all(|v| v.stage.as_deref() == Some("recoverable")), "{:?}", missing.first());

    let positions = check(&found, "positions-consistent");
    assert_eq!(positions.verdict, Verdict::Broken);
    let told = format!("{} {:?}", positions.summary, positions.evidence);
    let server = &resume.server.position;
    for part in [stored.lsn.to_string(), stored.system_identifier.clone(), server.system_identifier.clone()] {
        assert!(told.contains(&part), "{part} is not in: {told}");
    }
    // What a look saw before the stack was up was of the rehearsal before.
    let looks: Vec<_> =
        run.events().unwrap().into_iter().filter(|e| matches!(e.kind, EventKind::Sample { .. })).collect();
    assert!(looks.len() > 5 && looks.iter().all(|e| e.step.as_deref() != Some("up")), "{looks:?}");
    // The server's own log says what it was asked for.
    let log = positions.evidence.iter().find(|e| e.file.as_deref() == Some("logs/postgres-new.log"));
    let quoted = format!("START_REPLICATION SLOT \"debezium_slot\" LOGICAL {}", stored.lsn);
    assert!(log.is_some_and(|e| e.text.contains(&quoted)), "{quoted} is not in {:?}", positions.evidence);
    let html = std::fs::read_to_string(run.path("report.html")).unwrap();
    let sentence = "changes made after the upgrade reached no topic while connector and task were RUNNING";
    assert!(html.contains(sentence), "the report says that nothing showed it");
    let told = format!("{:?}", found.checks);
    assert!(told.contains("RUNNING in all"), "{told}");
}
