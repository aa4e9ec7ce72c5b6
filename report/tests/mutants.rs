//! Cases that no other test decided: each was found by changing a check in one place (cargo-mutants).

#![allow(clippy::unwrap_used)]

mod support;

use artifacts::drain::Settled;
use artifacts::findings::{Verdict, ViolationKind};
use artifacts::ledger::{Change, Entry, Op};
use artifacts::row::LEFT_OUT;
use serde_json::{Value, json};
use support::judge::{Judged, acknowledged, judge, spoiled, unknown};
use support::story::rehearse;
use support::{Plan, Record, Rehearsal};

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

/// The ledger's entries of one transaction that nothing touched again: its name, and the ids of its
/// first two changes of the kind. Only the last changes of their rows are looked at.
fn last_of_their_rows(run: &Rehearsal, op: Op) -> (String, [u64; 2]) {
    let last = |change: &Change| {
        let of = |record: &&Record| record.change_id == Some(change.id);
        let Some(record) = run.records.iter().find(of) else { return false };
        let same = |other: &&Record| (&other.table, other.row_key) == (&record.table, record.row_key);
        let last = run.records.iter().rfind(same).unwrap();
        change.op == op && last.change_id == Some(change.id)
    };
    let found = run.ledger.iter().find_map(|entry| {
        let Entry::Invoke { tx, changes, .. } = entry else { return None };
        let ids: Vec<u64> = changes.iter().filter(|change| last(change)).map(|change| change.id).collect();
        (ids.len() == changes.len() && ids.len() > 1).then(|| (tx.clone(), [ids[0], ids[1]]))
    });
    found.unwrap()
}

/// Makes a transaction one of which nobody knows the fate, and takes the event of a change away.
fn half_delivered(run: &mut Rehearsal, op: Op, returned: bool) {
    let (name, [_, gone]) = last_of_their_rows(run, op);
    for entry in &mut run.ledger {
        if let Entry::Ok { tx, t } = entry
            && *tx == name
        {
            *entry = Entry::Info { tx: tx.clone(), t: *t, error: "connection reset".into() };
        }
    }
    if !returned {
        run.ledger.retain(|entry| !matches!(entry, Entry::Returned { tx, .. } if *tx == name));
    }
    run.records.retain(|record| record.change_id != Some(gone));
}

/// COMMIT is all or nothing: what one event proves, all changes of it must show.
#[test]
fn one_event_proves_the_commit_that_its_client_did_not_see() {
    let plan = Plan { odd_fates: false, transactions: 300, ..Plan::default() };
    let judged = judge(&plan, |run| half_delivered(run, Op::Create, true));
    let said = judged.text("nothing-missing");
    assert_eq!(judged.check("nothing-missing").verdict, Verdict::Broken, "{said}");
    let missing = judged.violations.iter().filter(|violation| violation.kind == ViolationKind::Missing);
    assert_eq!(missing.count(), 1, "{said}");
    // One that never got as far as COMMIT is not: the contradiction is another finding.
    let judged = judge(&plan, |run| half_delivered(run, Op::Update, false));
    let missing = judged.violations.iter().filter(|violation| violation.kind == ViolationKind::Missing);
    assert_eq!(missing.count(), 0, "{:#?}", judged.violations);
}

#[test]
fn what_later_changes_prove_is_counted_with_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        let run = rehearse(&Plan { seed, transactions: 300, ..Plan::default() });
        let judged = Judged::of(&run, dir.path());
        let held = &judged.check("nothing-missing").summary;
        std::fs::remove_dir_all(dir.path().join("run")).ok();
        if let Some((changes, rest)) = held.split_once(" committed changes (") {
            let (proven, _) = rest.split_once(' ').unwrap();
            let number = |text: &str| text.replace(',', "").parse::<usize>().unwrap();
            assert_eq!(number(changes), acknowledged(&run.ledger).len() + number(proven), "{held}");
            return;
        }
    }
    panic!("nothing was proven by later changes");
}

#[test]
fn changes_and_seed_rows_are_counted_apart() {
    let mut changes = 0;
    let judged = spoiled(|run| changes = acknowledged(&run.ledger).len());
    let summary = &judged.check("nothing-missing").summary;
    assert!(summary.starts_with(&format!("{changes} committed changes and ")), "{changes}: {summary}");
}

/// What a snapshot read and the connector then streamed came twice; nobody wrote it twice.
#[test]
fn a_row_of_the_snapshot_that_is_streamed_as_well_is_delivered_again() {
    let plan = Plan { odd_fates: false, before_snapshot: 20, ..Plan::default() };
    assert_eq!(judge(&plan, |_| {}).findings.verdict, Verdict::Held);
    let judged = judge(&plan, |run| {
        let inserted = |record: &Record| {
            let id = record.change_id.filter(|id| *id > 0);
            let is = |change: &Change| Some(change.id) == id && change.op == Op::Create;
            record.op() == "r"
                && run
                    .ledger
                    .iter()
                    .any(|entry| matches!(entry, Entry::Invoke { changes, .. } if changes.iter().any(is)))
        };
        let read = run.records.iter().position(inserted).unwrap();
        let mut again = run.records[read].clone();
        again.edit(|value| {
            value["op"] = json!("c");
            (value["source"]["txId"], value["source"]["lsn"]) = (json!(4_000_000), json!(4_000_000));
        });
        run.records.insert(read + 1, again);
    });
    let said = judged.text("nothing-repeated");
    assert!(said.contains("re-delivery") && !said.contains("double-execution"), "{said}");
}

/// Where nothing is on its way, a marker that did not arrive says nothing about what did.
#[test]
fn what_arrived_is_not_missing_whatever_the_marker_did() {
    let moving = |run: &mut Rehearsal| run.collected.as_mut().unwrap().settled = Some(Settled::No);
    let judged = spoiled(moving);
    assert_eq!(judged.check("nothing-missing").verdict, Verdict::Held);
    assert_eq!(judged.check("tables-converge").verdict, Verdict::Held);
    let judged = spoiled(|run| {
        moving(run);
        let lost = run.records.iter().rposition(|record| record.op() == "u").unwrap();
        run.records.remove(lost);
    });
    let said = judged.text("tables-converge");
    assert_eq!(judged.check("tables-converge").verdict, Verdict::Unknown, "{said}");
    assert!(!said.contains("the topics fold to"), "its row is known to be on its way: {said}");
}

#[test]
fn updates_without_a_wide_column_are_not_spoken_of() {
    let plans = (0..50).map(|seed| Plan { seed, transactions: 2, odd_fates: false, ..Plan::default() });
    let narrow = |plan: &Plan| {
        let left_out = |record: &Record| record.value.as_ref().is_some_and(|value| value.contains(LEFT_OUT));
        !rehearse(plan).records.iter().any(left_out)
    };
    let plan = plans.into_iter().find(narrow).unwrap();
    let summary = judge(&plan, |_| {}).check("nothing-altered").summary.clone();
    assert!(!summary.contains("wide column"), "{summary}");
}

#[test]
fn what_a_transaction_of_unknown_fate_may_have_written_hides_no_altered_row() {
    let judged = spoiled(|run| {
        let at = run.records.iter().rposition(|record| record.op() == "u").unwrap();
        run.records[at].edit(|value| value["before"]["updated_at"] = json!("2020-01-01T00:00:00Z"));
        let id = run.records[at].change_id;
        let invoke = run.ledger.iter().find_map(|entry| match entry {
            Entry::Invoke { t, phase, changes, lsn_floor, .. } => {
                let change = changes.iter().find(|change| Some(change.id) == id)?;
                let (tx, key) = ("c99-1".to_owned(), Some(run.records[at].row_key));
                let changes = vec![Change { id: 99_999_999, ver: change.ver + 1, key, ..change.clone() }];
                Some(Entry::Invoke { tx, t: *t, phase: *phase, changes, lsn_floor: *lsn_floor })
            }
            _ => None,
        });
        let Some(Entry::Invoke { t, .. }) = invoke else { panic!() };
        run.ledger.extend(invoke);
        run.ledger.push(Entry::Info { tx: "c99-1".into(), t, error: "connection reset".into() });
    });
    assert_eq!(judged.checks(Verdict::Broken), ["nothing-altered"], "{:#?}", judged.findings);
}

#[test]
fn a_second_thing_that_is_not_ready_is_counted() {
    let not_ready = |spoil: fn(&mut Value)| {
        let judged = spoiled(|run| {
            let after = run.snapshots.get_mut("after").unwrap();
            let mut publication = serde_json::to_value(&after.publication).unwrap();
            spoil(&mut publication);
            after.publication = serde_json::from_value(publication).unwrap();
        });
        assert_eq!(judged.check("replication-ready").verdict, Verdict::Broken, "{:#?}", judged.findings);
        judged.text("replication-ready")
    };
    let one = not_ready(|publication| publication["delete"] = json!(false));
    assert!(!one.contains("thing") && one.contains(r#"[Some("snapshots/after.json")"#), "{one}");
    let three = not_ready(|publication| {
        for kind in ["insert", "update", "delete"] {
            publication[kind] = json!(false);
        }
    });
    assert!(three.contains(", and 2 things more"), "{three}");
}

/// A version that no change of the ledger made: neither its event nor the one behind it is in order.
#[test]
fn a_version_that_the_ledger_does_not_know_is_a_jump() {
    let judged = judge(&Plan { odd_fates: false, transactions: 400, ..Plan::default() }, |run| {
        let alone = |id: Option<u64>| {
            run.ledger.iter().find_map(|entry| match entry {
                Entry::Invoke { tx, changes, .. } if changes.len() == 1 && Some(changes[0].id) == id => {
                    Some(tx.clone())
                }
                _ => None,
            })
        };
        let updates = |i: &usize| run.records[*i].op() == "u";
        let next = |i: &usize| {
            let (record, mut later) = (&run.records[*i], run.records[*i + 1..].iter());
            let next = later.find(|r| (&r.table, r.row_key) == (&record.table, record.row_key));
            next.is_some_and(|next| next.op() == "u")
        };
        let found = (0..run.records.len()).filter(updates).filter(next);
        let (at, name) = found.filter_map(|i| Some((i, alone(run.records[i].change_id)?))).next().unwrap();
        run.ledger.retain(|entry| match entry {
            Entry::Invoke { tx, .. } | Entry::Returned { tx, .. } | Entry::Ok { tx, .. } => *tx != name,
            _ => true,
        });
        run.records.remove(at);
    });
    assert!(judged.checks(Verdict::Broken).contains(&"order-kept"), "{:#?}", judged.findings);
}

#[test]
fn the_stored_offset_is_said_where_the_connector_had_it() {
    let mut at = String::new();
    let plan = Plan { odd_fates: false, rebase: false, ..Plan::default() };
    let judged = judge(&plan, |run| {
        let cut = run.snapshots.get_mut("cut").unwrap();
        cut.server.position.lsn = artifacts::Lsn(cut.server.position.lsn.0 + 0x1000);
        at = run.snapshots["at-resume"].offset.as_ref().unwrap().position.lsn.to_string();
    });
    let said = judged.text("positions-consistent");
    assert!(said.contains(&format!("the stored offset is {at}")), "{at}: {said}");
}

/// The first byte of the WAL that the slot keeps is one that it has.
#[test]
fn an_offset_at_the_edge_of_the_slot_is_within() {
    let at_edge = |column: &'static str, strategy: Option<&'static str>| {
        spoiled(|run| {
            let at = run.snapshots.get_mut("at-resume").unwrap();
            let lsn = at.offset.as_ref().unwrap().position.lsn.to_string();
            at.slot.as_mut().unwrap().insert(column.into(), json!(lsn));
            let connector = at.connector.as_mut().unwrap();
            strategy.map(|name| connector.config.insert("offset.mismatch.strategy".into(), name.into()));
        })
    };
    let said = |judged: &Judged| judged.check("positions-consistent").summary.clone();
    let judged = at_edge("restart_lsn", None);
    assert_eq!(judged.check("positions-consistent").verdict, Verdict::Held, "{}", said(&judged));
    let judged = at_edge("confirmed_flush_lsn", Some("trust_slot"));
    assert!(!said(&judged).contains("starts at the slot instead"), "{}", said(&judged));
}

/// Whoever cannot read the last event of a row does not know that it is gone.
#[test]
fn a_row_that_is_gone_and_whose_last_event_is_unreadable_differs() {
    let unreadable = |run: &mut Rehearsal| {
        let deleted = run.records.iter().rfind(|record| record.op() == "d").unwrap().clone();
        let of = |record: &Record| (&record.table, record.row_key) == (&deleted.table, deleted.row_key);
        run.records.retain(|record| !(of(record) && matches!(record.op().as_str(), "d" | "tombstone")));
        let last = run.records.iter_mut().rfind(|record| of(record)).unwrap();
        last.edit(|value| value["after"]["ver"] = json!("none"));
    };
    let judged = spoiled(unreadable);
    assert_eq!(judged.check("tables-converge").verdict, Verdict::Broken, "{:#?}", judged.findings);
    let judged = spoiled(|run| {
        unreadable(run);
        run.collected.as_mut().unwrap().settled = Some(Settled::No);
    });
    assert_eq!(judged.check("tables-converge").verdict, Verdict::Unknown, "{:#?}", judged.findings);
}

#[test]
fn a_row_without_any_event_is_named_by_its_key() {
    let mut key = 0;
    let judged = spoiled(|run| {
        let lost = run.records.iter().rfind(|record| record.op() == "c").unwrap().clone();
        run.records.retain(|record| (&record.table, record.row_key) != (&lost.table, lost.row_key));
        key = lost.row_key;
        assert!(run.rows_after[&lost.table].contains_key(&key));
    });
    let said = judged.text("tables-converge");
    assert!(said.contains(&format!(r#"Some("key {key}")"#)), "{said}");
}
