//! Rows of a COPY share positions in the WAL. Up to Debezium 3.6 a connector that is stopped among them and goes on
//! loses the others of the position (debezium/dbz#1554), without any upgrade. The verdict counts and names them.

use std::time::{Duration, Instant};

use artifacts::findings::Verdict;
use stack::connect::State;

use crate::support::{Running, STACK, check, connect, expect, findings, run_of, violations};

/// So often the connector is stopped in the middle of a transaction: about 1 in 30 is between two positions and loses nothing.
const STOPS: u32 = 3;
const DEADLINE: Duration = Duration::from_secs(120);

#[test]
#[ignore = "takes minutes: run by cargo xtask ci --full"]
fn rows_of_a_copy_that_a_stop_loses_are_named() {
    let words = "upgrade --option b --changes 40000 --rate 0 --copy-rows 5000 --keep-up";
    let mut running = Running::start(&format!("{words} --name {STACK}"));
    running.until(" start-generator ");
    tokio::runtime::Runtime::new().unwrap().block_on(stop_in_transactions());
    assert_eq!(running.child.wait().unwrap().code(), Some(1));
    let run = run_of(&expect(1, &format!("verify --name {STACK}")));
    let found = findings(&run);
    let missing = found.counts.total.missing;
    assert!(missing > 0);
    assert_eq!(found.counts.by_phase["before"].missing, missing, "the upgrade loses nothing");
    let evidence = check(&found, "nothing-missing").evidence;
    let named = format!("{missing} changes lost as debezium/dbz#1554 loses rows, not by the upgrade");
    assert!(evidence.iter().any(|e| e.text.starts_with(&named)), "{evidence:#?}");
    assert!(violations(&run).iter().all(|v| v.table == "public.orders"));
    assert_eq!(check(&found, "nothing-repeated").verdict, Verdict::Held);
}

/// Stops the connector and lets it go on, until it has left off often enough where a transaction was not over.
async fn stop_in_transactions() {
    let client = connect(STACK);
    let name = client.connectors().await.unwrap().pop().unwrap();
    let (begun, mut stops, mut left_off) = (Instant::now(), 0, None);
    while stops < STOPS {
        // It is under way again when it stores another offset.
        while client.offsets(&name).await.unwrap().lsn_proc() <= left_off {
            assert!(begun.elapsed() < DEADLINE, "left off in {stops} transactions only");
        }
        client.stop(&name).await.unwrap();
        while client.status(&name).await.unwrap().connector != State::Stopped {}
        let offsets = client.offsets(&name).await.unwrap();
        left_off = offsets.lsn_proc();
        stops += u32::from(left_off < offsets.lsn_commit());
        client.resume(&name).await.unwrap();
    }
}
