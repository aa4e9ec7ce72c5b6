//! Every safeguard alone left out: what becomes of it. The catalogue is docs/findings.md.

use std::collections::BTreeSet;

use artifacts::consumed::{Reader, Record};
use artifacts::findings::{Findings, Verdict, ViolationKind};
use artifacts::ledger::{Op, Phase};

use crate::support::{
    STACK, check, committed_by_xid, expect, findings, ids, not_held, procedure, run_of, violations, xtask,
};

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
    // The old server's slot has them, and perhaps some that were delivered and not confirmed.
    let pending = run.snapshot("cut").unwrap().unwrap().slot_pending.unwrap();
    let pending: BTreeSet<String> = pending.iter().map(ToString::to_string).collect();
    let committed = committed_by_xid(&run, Phase::Before);
    let held = committed.iter().filter(|(xid, _)| pending.contains(xid)).map(|(_, change)| change.id);
    assert!(named.len() >= 50 && named.is_subset(&held.collect()), "{named:?}");
    // Counted by hand, without deletions: their events do not carry the change.
    let arrived = arrived(&run);
    let undelivered: BTreeSet<u64> = committed
        .iter()
        .map(|(_, change)| change)
        .filter(|change| change.op != Op::Delete && !arrived.contains(&change.id))
        .map(|change| change.id)
        .collect();
    let deleted: BTreeSet<u64> =
        committed.iter().filter(|(_, c)| c.op == Op::Delete).map(|(_, change)| change.id).collect();
    assert_eq!(&named - &deleted, undelivered);
}

/// The changes whose rows are in a topic.
fn arrived(run: &artifacts::RunDir) -> BTreeSet<u64> {
    let events = Reader::open(&run.path("consumed.jsonl.zst")).unwrap();
    let value = |record: Record| serde_json::to_value(record).unwrap()["value"].clone();
    let id = |value: serde_json::Value| value.pointer("/after/change_id")?.as_u64();
    events.filter_map(|record| id(value(record.unwrap()))).collect()
}

/// The stored offset lies ahead until the new server's WAL passes it: what was written below it is in no
/// topic, the rest arrives.
#[test]
fn overtaken_is_named_exactly() {
    let (run, found) = without("rebase-offsets", "--lsn-case overtaken --rate 200");
    assert_eq!(found.verdict, Verdict::Broken, "{:?}", not_held(&found));
    let missing: Vec<_> = violations(&run).into_iter().filter(|v| v.kind == ViolationKind::Missing).collect();
    let after = found.counts.by_phase["after"];
    assert!(after.delivered > 0 && !missing.is_empty(), "{after:?}");
    assert_eq!(after.delivered + missing.len() as u64, after.acknowledged);
}

/// Another way to come to a position of the new server.
#[test]
fn a_reset_offset() {
    let words = format!("upgrade --option b --changes 400 --keep-up --name {STACK} --offsets reset");
    let found = findings(&run_of(&expect(0, &words)));
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
}

/// Debezium advances the slot to an offset of another history, as far as the server's WAL goes: nothing was
/// written yet at resume, so the slot still holds what is dropped. At the next start of the task it is gone.
#[test]
fn a_trusted_offset_makes_it_worse() {
    let left_out = "--without rebase-offsets --mismatch-strategy trust_offset";
    for words in procedure().into_iter().take_while(|words| *words != "verify") {
        match words {
            "up" => drop(expect(0, &format!("up --changes 400 --name {STACK} {left_out}"))),
            _ => drop(expect(0, &format!("{words} --name {STACK}"))),
        }
        if words == "stop-generator-again" {
            expect(0, &format!("restart-connector --name {STACK}"));
        }
    }
    let run = run_of(&expect(1, &format!("verify --name {STACK}")));
    let missing: Vec<_> = violations(&run).into_iter().filter(|v| v.kind == ViolationKind::Missing).collect();
    let named: BTreeSet<u64> = missing.iter().filter_map(|v| v.change_id).collect();
    assert_eq!(named, ids(&run, Phase::After));
    assert!(missing.iter().all(|v| v.stage.as_deref() == Some("gone")), "{:?}", missing.first());
}

/// In place the new positions are above the stored offset, and Debezium can be told to trust the slot.
#[test]
fn a_trusted_slot_in_place() {
    let strategy = "--without rebase-offsets --mismatch-strategy trust_slot";
    let words = format!("upgrade --option a --changes 400 --keep-up --name {STACK} {strategy}");
    let found = findings(&run_of(&expect(0, &words)));
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
}

/// No PostgreSQL starts on the files of another major version.
#[test]
fn without_pg_upgrade() {
    let words = format!("upgrade --option a --without pg-upgrade --changes 100 --keep-up --name {STACK}");
    let flowing = check(&findings(&run_of(&expect(1, &words))), "still-flowing");
    assert!(flowing.summary.contains("database files are incompatible with server"), "{}", flowing.summary);
}

/// The original README, snippet by snippet: in place it ends at step 5, with a new instance at step 6.
#[test]
fn as_written() {
    let words =
        |option| format!("upgrade --option {option} --as-written --changes 100 --keep-up --name {STACK}");
    let run = run_of(&expect(1, &words("b")));
    let found = findings(&run);
    assert!(
        found.counts.total.missing >= 50,
        "committed behind a paused connector: {:?}",
        found.counts.total
    );
    let html = std::fs::read_to_string(run.path("report.html")).unwrap();
    for told in ["step 6 of the original README went to the old server", "replication slot", "already exists"]
    {
        assert!(html.contains(told), "{told}");
    }
    let ready = check(&found, "replication-ready");
    assert_eq!(ready.verdict, Verdict::Broken, "{}", ready.summary);

    let run = run_of(&expect(1, &words("a")));
    let flowing = check(&findings(&run), "still-flowing");
    for told in ["step 5 of the original README", "database files are incompatible with server"] {
        assert!(flowing.summary.contains(told), "{}", flowing.summary);
    }
}
