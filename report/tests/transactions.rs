//! `transactions-whole`: what END events count against what the topics hold.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashSet};

use artifacts::findings::Verdict;
use proptest::prelude::*;
use report::{Options, verify};
use serde_json::{Value, json};
use support::judge::{Judged, judge, only_broken, says, unknown};
use support::{Plan, Record, Rehearsal, story::rehearse};

const CHECK: &str = "transactions-whole";

fn plan() -> Plan {
    Plan { metadata: true, odd_fates: false, ..Plan::default() }
}

fn is_end(record: &Record) -> bool {
    record.topic.ends_with(".transaction") && record.value.as_deref().unwrap().contains("END")
}

fn ends(run: &Rehearsal) -> Vec<usize> {
    (0..run.records.len()).filter(|i| is_end(&run.records[*i])).collect()
}

/// Positions of changes in the topics of tables.
fn changes(run: &Rehearsal) -> Vec<usize> {
    let change = |i: &usize| matches!(run.records[*i].op().as_str(), "c" | "u" | "d");
    (0..run.records.len()).filter(change).filter(|i| !run.records[*i].table.is_empty()).collect()
}

#[test]
fn end_events_count_what_the_topics_hold() {
    let judged = judge(&plan(), |_| {});
    assert_eq!(judged.checks(Verdict::Held).len(), 11, "{:#?}", judged.findings);
    let text = judged.text(CHECK);
    assert!(text.contains("END events count") && judged.check(CHECK).compared > 100, "{text}");
}

#[test]
fn end_events_without_the_setting_that_makes_them_prove_nothing() {
    let judged = judge(&plan(), |run| {
        for snapshot in run.snapshots.values_mut() {
            let Some(connector) = &mut snapshot.connector else { continue };
            connector.config.remove("provide.transaction.metadata");
        }
    });
    unknown(&judged, &[CHECK], &["was not seen to be true"]);
}

#[test]
fn what_was_counted_once_is_said_where_there_was_any() {
    let twice = "what came twice counted once";
    assert!(!judge(&plan(), |_| {}).text(CHECK).contains(twice));
    let judged = judge(&plan(), |run| {
        run.run.allow_repeats = true;
        let again = run.records[*changes(run).last().unwrap()].clone();
        run.records.push(again);
    });
    assert!(judged.text(CHECK).contains(twice), "{}", judged.text(CHECK));
}

/// There is nothing to count where nobody wrote, and no repeat excuses a topic without any END event.
#[test]
fn no_end_event_at_all() {
    let none = judge(&plan(), |run| {
        run.records.retain(|record| !is_end(record) && matches!(record.op().as_str(), "" | "r"));
    });
    assert!(!none.text(CHECK).contains("no END event is in"), "{}", none.text(CHECK));
    let few = judge(&Plan { transactions: 2, seed_rows: 2, ..plan() }, |run| {
        run.run.allow_repeats = true;
        run.records.retain(|record| !is_end(record));
    });
    assert_eq!(few.check(CHECK).verdict, Verdict::Broken, "{:#?}", few.findings);
}

#[test]
fn a_lost_end_event_breaks_it_alone() {
    let judged = judge(&plan(), |run| {
        let lost = ends(run)[7];
        run.records.remove(lost);
    });
    let parts =
        ["no END event counts an event, the topic holds 1", "of transaction 753", "1 transaction, by table"];
    only_broken(&judged, CHECK, &parts);
}

#[test]
fn an_end_event_that_counts_more_is_named_with_its_offset() {
    let judged = judge(&plan(), |run| {
        let at = ends(run)[3];
        run.records[at].edit(|value| value["data_collections"][0]["event_count"] = json!(5));
    });
    only_broken(
        &judged,
        CHECK,
        &["the END event counts 5 events, the topic holds 1", "cdc.transaction offset 7"],
    );
}

/// Debezium counts from where it came back: fewer events than the topics hold, and never more.
#[test]
fn what_a_restarted_connector_did_not_count_is_tolerated_where_repeats_are() {
    for (counted, verdict) in [(0, Verdict::Held), (5, Verdict::Broken)] {
        let judged = judge(&plan(), |run| {
            run.run.allow_repeats = true;
            let at = ends(run)[3];
            run.records[at].edit(|value| value["data_collections"][0]["event_count"] = json!(counted));
        });
        assert_eq!(judged.check(CHECK).verdict, verdict, "{counted}: {:#?}", judged.findings);
        assert!(judged.text(CHECK).contains("the topic holds 1"), "{counted}");
    }
}

#[test]
fn numbers_that_cannot_be_break_it_and_nothing_else() {
    let judged = judge(&plan(), |run| {
        for at in &ends(run)[3..5] {
            run.records[*at].edit(|value| value["data_collections"][0]["event_count"] = json!(u64::MAX));
        }
        let mut again = run.records[ends(run)[3]].clone();
        again.edit(|value| value["id"] = json!(value["id"].as_str().unwrap().replace(':', ":1")));
        run.records.push(again);
    });
    only_broken(&judged, CHECK, &["counts 18446744073709551615 events, the topic holds 1"]);
}

#[test]
fn a_lost_change_breaks_it_without_the_ledger() {
    let judged = judge(&plan(), |run| {
        let lost = *changes(run).last().unwrap();
        run.records.remove(lost);
    });
    assert!(judged.checks(Verdict::Broken).contains(&CHECK), "{:#?}", judged.findings);
}

#[test]
fn without_any_end_event_it_is_broken() {
    let judged = judge(&plan(), |run| run.records.retain(|record| !is_end(record)));
    only_broken(
        &judged,
        CHECK,
        &["provide.transaction.metadata is true, and no END event is in cdc.transaction"],
    );
}

#[test]
fn what_was_delivered_twice_counts_once() {
    let judged = judge(&plan(), |run| {
        let again: Vec<Record> = [*changes(run).last().unwrap(), ends(run)[4]]
            .map(|i| run.records[i].clone())
            .into_iter()
            .collect();
        run.records.extend(again);
    });
    assert_eq!(judged.checks(Verdict::Broken), ["nothing-repeated"]);
    assert_eq!(judged.check(CHECK).verdict, Verdict::Held);
}

#[test]
fn two_servers_may_number_transactions_alike() {
    let judged = judge(&plan(), |run| {
        let first = |record: &Record| record.value.as_deref().is_some_and(|value| value.contains("1791"));
        let end = run.records.iter().position(|record| is_end(record) && first(record)).unwrap();
        let mut same = run.records[end].clone();
        same.edit(|value| {
            value["id"] = json!("1791:77");
            value["data_collections"] = json!([]);
        });
        run.records.push(same);
    });
    assert_eq!(judged.check(CHECK).verdict, Verdict::Held, "{}", judged.text(CHECK));
}

#[test]
fn it_says_nothing_where_the_connector_does_not_count_and_doubts_where_it_counted_in_one_phase() {
    let held = judge(&Plan { metadata: false, ..plan() }, |_| {});
    assert!(held.findings.checks.iter().all(|check| check.name != CHECK));
    let half = judge(&plan(), |run| {
        for name in ["after", "at-resume"] {
            let connector = run.snapshots.get_mut(name).unwrap().connector.as_mut().unwrap();
            connector.config.remove("provide.transaction.metadata");
        }
    });
    unknown(&half, &[CHECK], &["was not seen to be true both before the cut and after it"]);
}

#[test]
fn while_something_may_still_arrive_a_difference_proves_nothing() {
    let judged = judge(&plan(), |run| {
        let lost = ends(run)[7];
        run.records.remove(lost);
        run.collected.as_mut().unwrap().settled = Some(artifacts::drain::Settled::No);
    });
    says(&judged, CHECK, Verdict::Unknown, &["delivery had not settled", "no END event counts"]);
}

/// How many pairs of table and transaction differ, counted as plainly as can be.
fn naive(run: &Rehearsal) -> usize {
    let value = |record: &Record| -> Value {
        record.value.as_deref().map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
    };
    let mut counted: BTreeMap<(String, String), BTreeMap<String, u64>> = BTreeMap::new();
    let mut held: BTreeMap<(String, String), HashSet<String>> = BTreeMap::new();
    for record in &run.records {
        let value = value(record);
        if is_end(record) {
            let id = value["id"].as_str().unwrap().to_owned();
            for part in value["data_collections"].as_array().unwrap() {
                let at = (part["data_collection"].as_str().unwrap().to_owned(), xid(&id));
                let most = counted.entry(at).or_default().entry(id.clone()).or_default();
                *most = (*most).max(part["event_count"].as_u64().unwrap());
            }
        } else if matches!(record.op().as_str(), "c" | "u" | "d") {
            let image = if record.op() == "d" { "before" } else { "after" };
            let (ver, lsn) = (&value[image]["ver"], &value["source"]["lsn"]);
            let at = (record.table.clone(), value["source"]["txId"].to_string());
            let identity = format!("{} {} {ver} {lsn}", record.row_key, record.op());
            held.entry(at).or_default().insert(identity);
        }
    }
    let all: HashSet<_> = counted.keys().chain(held.keys()).cloned().collect();
    let ends = |at| counted.get(at).map_or(0, |ends| ends.values().sum::<u64>());
    all.iter().filter(|at| ends(at) != held.get(at).map_or(0, |events| events.len() as u64)).count()
}

fn xid(id: &str) -> String {
    id.split(':').next().unwrap().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_as_many_transactions_differ_as_a_plain_count_says(
        seed in 0..1000u64, spoils in proptest::collection::vec((0..4, any::<prop::sample::Index>()), 0..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut rehearsal = rehearse(&Plan { seed, ..plan() });
        for (kind, at) in spoils {
            let (ends, changes) = (ends(&rehearsal), changes(&rehearsal));
            match kind {
                0 => drop(rehearsal.records.remove(*at.get(&ends))),
                1 => rehearsal.records[*at.get(&ends)]
                    .edit(|value| value["data_collections"][0]["event_count"] = json!(3)),
                2 => drop(rehearsal.records.remove(*at.get(&changes))),
                _ => rehearsal.records.push(rehearsal.records[*at.get(&changes)].clone()),
            }
        }
        let differ = naive(&rehearsal);
        let run = rehearsal.write(&dir.path().join("run"));
        let judged = Judged::run(&run, &Options { index_from: 1, ..Options::default() });
        let said = &judged.check(CHECK).summary;
        let verdict = judged.check(CHECK).verdict;
        if differ == 0 {
            prop_assert_eq!(verdict, Verdict::Held, "{}", said);
        } else {
            prop_assert_eq!(verdict, Verdict::Broken, "{}", said);
            prop_assert!(said.starts_with(&format!("{differ} transaction")), "{differ}: {said}");
        }
        // The index says the same.
        prop_assert_eq!(verify(&run, &Options::default()).unwrap(), judged.findings);
    }
}
