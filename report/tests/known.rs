//! Loss that a known fault of the connector explains is named as that.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;

use artifacts::findings::{Verdict, ViolationKind};
use artifacts::run_dir::SUMS;
use artifacts::seal;
use report::Options;
use serde_json::{Value, json};
use support::judge::Judged;
use support::{Plan, Record, Rehearsal, story::rehearse};

const LSN: u64 = 0x37F0_0000;

/// Two inserts of a transaction into one table: places of their records.
fn pair(run: &Rehearsal) -> [usize; 2] {
    let mut first: BTreeMap<(String, String), usize> = BTreeMap::new();
    let last = |i: usize| {
        let same = |record: &Record| {
            (&record.table, record.row_key) == (&run.records[i].table, run.records[i].row_key)
        };
        run.records.iter().rposition(same) == Some(i)
    };
    for (i, record) in run.records.iter().enumerate().filter(|(_, record)| record.op() == "c") {
        let value: Value = serde_json::from_str(record.value.as_deref().unwrap()).unwrap();
        let part = (record.table.clone(), value["source"]["txId"].to_string());
        match first.get(&part) {
            Some(before) if last(i) => return [*before, i],
            Some(_) => {}
            None => drop(first.insert(part, i)),
        }
    }
    panic!("no two inserts in one transaction");
}

/// One of two rows that share a position is lost, and the connector came back at `resumed`.
fn lost(version: &str, resumed: u64) -> (Judged, String) {
    lost_of(version, resumed, false)
}

/// As [`lost`]; `held`: the slot still holds the row.
fn lost_of(version: &str, resumed: u64, held: bool) -> (Judged, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut rehearsal = Rehearsal { seal: false, ..rehearse(&Plan { odd_fates: false, ..Plan::default() }) };
    let [kept, gone] = pair(&rehearsal);
    rehearsal.records[kept].edit(|value| value["source"]["lsn"] = json!(LSN));
    let gone: Value = serde_json::from_str(&rehearsal.records.remove(gone).value.unwrap()).unwrap();
    if held {
        let xid = gone["source"]["txId"].as_u64().unwrap() as u32;
        for name in ["cut", "after"] {
            rehearsal.snapshots.get_mut(name).unwrap().slot_pending = Some(vec![xid]);
        }
    }
    rehearsal.run.versions.insert("debezium".into(), version.into());
    let run = rehearsal.write(&dir.path().join("run"));
    fs::create_dir_all(run.path("logs")).unwrap();
    let offset = "[sourcePartition={server=cdc}]: {transaction_id=null";
    let line = format!(
        "INFO BaseSourceTask: Found previous partition offset PostgresPartition {offset}, lsn_proc={resumed}, lsn={resumed}}}"
    );
    fs::write(run.path("logs/connect.log"), format!("first\n{line}\nlast\n")).unwrap();
    fs::write(run.path(SUMS), seal::sums(run.root()).unwrap()).unwrap();
    let judged = Judged::run(&run, &Options::default());
    assert_eq!(judged.check("nothing-missing").verdict, Verdict::Broken, "{:#?}", judged.findings);
    let text = judged.text("nothing-missing");
    (judged, text)
}

#[test]
fn rows_that_share_the_position_of_a_restart_are_a_known_fault() {
    let (judged, text) = lost("3.6.3.Final", LSN);
    assert!(text.contains("1 change lost as debezium/dbz#1554 loses rows, not by the upgrade"), "{text}");
    assert!(text.contains("arrived at 0/37F00000") && text.contains("(here 3.6.3.Final)"), "{text}");
    assert!(text.contains(r#"[Some("logs/connect.log") Some("line 2")]"#), "{text}");
    assert_eq!(judged.findings.verdict, Verdict::Broken);
}

#[test]
fn a_row_that_the_slot_still_holds_is_not() {
    let (judged, text) = lost_of("3.6.3.Final", LSN, true);
    assert!(!text.contains("1554"), "{text}");
    assert_eq!(judged.stages(ViolationKind::Missing), [Some("recoverable".to_owned())].into());
}

#[test]
fn another_position_or_a_version_without_the_fault_is_not() {
    for (version, resumed) in
        [("3.6.3.Final", LSN + 1), ("3.7.0.Final", LSN), ("4.0.0.Alpha1", LSN), ("", LSN)]
    {
        let (_, text) = lost(version, resumed);
        assert!(!text.contains("1554"), "{version} {resumed}: {text}");
    }
}
