//! What looks wrong and does no harm, and how far that goes.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use artifacts::findings::Verdict;
use artifacts::position::Lsn;
use serde_json::json;
use support::judge::spoiled;

/// Debezium goes by numbers: an offset of another history is left alone when the slot is above it, and
/// followed when it is not.
#[test]
fn a_trusted_slot_wins_over_an_offset_below_it() {
    let trusting = |lsn: u64| {
        spoiled(move |run| {
            let cut = run.snapshots["cut"].offset.clone().unwrap();
            let at = run.snapshots.get_mut("at-resume").unwrap();
            at.connector
                .as_mut()
                .unwrap()
                .config
                .insert("offset.mismatch.strategy".into(), "trust_slot".into());
            let offset = at.offset.as_mut().unwrap();
            *offset = cut;
            offset.position.lsn = Lsn(lsn);
            offset.raw["offsets"][0]["offset"] = json!({"lsn": lsn, "lsn_proc": lsn});
        })
    };
    let below = trusting(2);
    assert_eq!(below.check("positions-consistent").verdict, Verdict::Held);
    assert!(below.text("positions-consistent").contains("starts at the slot instead"));
    assert_eq!(trusting(0xFFFF_FFFF).check("positions-consistent").verdict, Verdict::Broken);
}

#[test]
fn a_sequence_may_go_on_as_after_a_crash() {
    let restored = |further: i64| {
        spoiled(move |run| {
            let cut = run.snapshots["cut"].sequences["public.orders_id_seq"];
            let restored = run.snapshots.get_mut("restored").unwrap();
            restored.sequences.insert("public.orders_id_seq".into(), cut + further);
        })
    };
    let gap = restored(32);
    assert_eq!(gap.check("database-carried-over").verdict, Verdict::Held);
    assert!(gap.text("database-carried-over").contains("after a crash PostgreSQL goes on"));
    for further in [-1, 33] {
        assert_eq!(restored(further).check("database-carried-over").verdict, Verdict::Broken, "{further}");
    }
}
