//! Cases that no other test decided: each was found by changing a check in one place (cargo-mutants).

#![allow(clippy::unwrap_used)]

mod support;

use artifacts::findings::Verdict;
use artifacts::ledger::Entry;
use artifacts::row::LEFT_OUT;
use serde_json::json;
use support::Rehearsal;
use support::judge::{spoiled, unknown};

#[test]
fn what_a_snapshot_does_not_show_was_not_carried_over() {
    let judged = spoiled(|run| {
        for name in ["cut", "restored"] {
            run.snapshots.get_mut(name).unwrap().roles.clear();
        }
    });
    let parts = [
        "snapshots/cut.json does not show roles: it is empty",
        "snapshots/restored.json does not show roles",
    ];
    unknown(&judged, &["database-carried-over"], &parts);
    let judged = spoiled(|run| {
        let cut = run.snapshots.get_mut("cut").unwrap();
        cut.unobserved.insert("/sequences".into(), "permission denied".into());
    });
    unknown(
        &judged,
        &["database-carried-over"],
        &["snapshots/cut.json does not show sequences: permission denied"],
    );
}

/// The ledger has the whole transaction id, Debezium its lower half.
#[test]
fn the_epoch_of_a_transaction_id_is_in_no_event() {
    let judged = spoiled(|run| {
        for entry in &mut run.ledger {
            if let Entry::Returned { xid, .. } = entry {
                *xid = (xid.parse::<u64>().unwrap() + (1 << 32)).to_string();
            }
        }
    });
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
    assert!(judged.text("nothing-altered").contains("name the transaction that wrote them"));
}

#[test]
fn only_what_was_compared_is_said() {
    let without_ids = |run: &mut Rehearsal| {
        for record in &mut run.records {
            record.edit(|value| {
                if let Some(source) = value["source"].as_object_mut() {
                    source.remove("txId");
                }
            });
        }
    };
    let summary = spoiled(without_ids).check("nothing-altered").summary.clone();
    assert!(!summary.contains("name the transaction") && summary.contains("wide column"), "{summary}");
}

/// A value that nothing has brought: no event is missing that could have.
#[test]
fn a_value_that_never_came_is_not_known() {
    let judged = spoiled(|run| {
        let first = run.records.iter_mut().find(|record| record.table == "public.documents").unwrap();
        first.edit(|value| value["after"]["body"] = json!(LEFT_OUT));
    });
    let said = judged.text("nothing-altered");
    assert_eq!(judged.check("nothing-altered").verdict, Verdict::Unknown, "{said}");
    assert!(said.contains("1 event left out a value that nothing before had brought"), "{said}");
}
