//! `tables-converge` names the columns in which a row differs.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use artifacts::findings::Verdict;
use artifacts::row::{self, column_digests};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use report::{Options, verify};
use serde_json::{Value, json};
use support::judge::{Judged, spoiled};
use support::{Plan, Rehearsal, story::rehearse};

const CHECK: &str = "tables-converge";

/// Spoils a column of a row in the new database: its digests change with it.
fn alter(run: &mut Rehearsal, table: &str, key: i64, column: &str) {
    let columns = &row::tables()[table];
    let of_row = |record: &&support::Record| record.table == table && record.row_key == key;
    let last = run.records.iter().rfind(|record| of_row(record) && record.value.is_some()).unwrap();
    let value: Value = serde_json::from_str(last.value.as_deref().unwrap()).unwrap();
    let mut after = value["after"].as_object().unwrap().clone();
    let other = match &after[column] {
        Value::Number(n) => json!(n.as_i64().unwrap() + 1),
        _ if column == "updated_at" => json!("2001-01-01T00:00:00.000000Z"),
        _ => json!("something else"),
    };
    after.insert(column.into(), other);
    let digest = artifacts::row::Digest::of(&format!("{table} {key} {column}"));
    run.rows_after.get_mut(table).unwrap().insert(key, digest);
    let known = run.columns_after.get_mut(table).unwrap().get_mut(&key).unwrap();
    let at = columns.iter().position(|c| c.name == column).unwrap() * 8;
    known.replace_range(at..at + 8, &column_digests(columns, &after)[at..at + 8]);
    let state = support::story::state(run.rows_after[table].values());
    run.snapshots.get_mut("after").unwrap().tables.insert(table.into(), state);
}

/// Table, key and column of some place in the new database.
fn place(run: &Rehearsal, at: &Index) -> (String, i64, String) {
    let tables = row::tables();
    let of_table = |(table, rows): (&String, &std::collections::BTreeMap<i64, row::Digest>)| {
        let names = tables[table].iter().filter(|column| column.name != "id" && column.name != "body");
        let names: Vec<String> = names.map(|column| column.name.clone()).collect();
        let table = table.clone();
        let keys: Vec<i64> = rows.keys().copied().collect();
        keys.into_iter().flat_map(move |key| {
            let table = table.clone();
            names.clone().into_iter().map(move |name| (table.clone(), key, name))
        })
    };
    let all: Vec<_> = run.rows_after.iter().flat_map(of_table).collect();
    at.get(&all).clone()
}

fn texts(judged: &Judged) -> Vec<String> {
    let named = judged.check(CHECK).evidence.iter().map(|evidence| evidence.text.clone());
    named.filter(|text| text.contains(" leaves another row than ")).collect()
}

#[test]
fn without_columns_in_the_evidence_the_row_alone_is_named() {
    let judged = spoiled(|run| {
        let key = *run.rows_after["public.orders"].keys().next().unwrap();
        alter(run, "public.orders", key, "status");
        run.columns_after.clear();
    });
    assert_eq!(judged.check(CHECK).verdict, Verdict::Broken);
    let texts = texts(&judged);
    assert!(texts.len() == 1 && texts[0].ends_with("than the new database holds"), "{texts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_columns_are_named(
        seed in 0..1000u64, places in proptest::collection::vec(any::<Index>(), 1..5), from in select(vec![0, u64::MAX]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut rehearsal = rehearse(&Plan { seed, odd_fates: false, ..Plan::default() });
        let mut altered: std::collections::BTreeMap<(String, i64), BTreeSet<String>> = Default::default();
        for at in &places {
            let (table, key, column) = place(&rehearsal, at);
            alter(&mut rehearsal, &table, key, &column);
            altered.entry((table, key)).or_default().insert(column);
        }
        let run = rehearsal.write(&dir.path().join("run"));
        let options = Options { index_from: from, ..Options::default() };
        let judged = Judged::run(&run, &options);
        let texts = texts(&judged);
        prop_assert_eq!(texts.len(), altered.len(), "{:?}", texts);
        for ((table, key), columns) in altered {
            let said = texts.iter().find(|text| text.contains(&format!("{table} key {key} "))).unwrap();
            let named: BTreeSet<String> =
                said.split_once(", in ").unwrap().1.split(", ").map(str::to_owned).collect();
            prop_assert_eq!(named, columns, "{}", said);
        }
        prop_assert_eq!(verify(&run, &options).unwrap(), judged.findings);
    }
}
