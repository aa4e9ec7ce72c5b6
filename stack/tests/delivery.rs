//! The three clients against a real PostgreSQL, Kafka and Kafka Connect with Debezium.
//!
//! `cargo test -p stack --test delivery -- --ignored --nocapture` makes a stack of its own for it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use artifacts::consumed::{Reader, Writer};
use artifacts::row::{self, Digest};
use artifacts::run::Names;
use artifacts::snapshot::Role;
use serde_json::{Value, json};
use stack::observe::silent;
use stack::postgres::{Client, Login, Roles, WRITER_ROLE};
use stack::wait::Probe;
use stack::{connect, connector, kafka};
use support::Lab;

const MINUTE: Duration = Duration::from_secs(60);
/// Size of the bulk part.
const ROWS: u64 = 1000;
const CHANGES: &str = r#"
    INSERT INTO public.customers (name, email, note, ver, change_id, updated_at) VALUES
      ('a', 'e', NULL, 1, 1, '2026-11-22 21:15:00+00'),
      ('<b>"x" \ ''q''', 'ü😀' || chr(8238) || 'bidi', 'tab	 and
newline', 1, 2, '2026-11-22 23:15:00.1+02'),
      ('', '\N', E'\x01\x1f', 1, 9007199254740993, '1969-12-31 23:59:59.999999+00'),
      ('now', 'e', repeat('wide ', 4000), 1, 4, now());
    INSERT INTO public.orders (customer_id, amount, status, payload, ver, change_id)
      VALUES (1, 0.5, 's', 'p', 1, 5), (2, -1234567890.1, 's', NULL, 1, 6), (3, 0, 's', '{}', 1, 7);
    UPDATE public.customers SET ver = 2, name = 'x' WHERE id = 5;
    UPDATE public.customers SET ver = 3 WHERE id = 5;
    DELETE FROM public.orders WHERE id = 3;
"#;

struct Clients {
    names: Names,
    pg: Client,
    debezium: Login,
    connect: connect::Client,
    kafka: kafka::Client,
}

async fn clients(stack: &Lab) -> Clients {
    let unique = "delivery_test".to_owned();
    let login = |database: &str| stack.login(Role::Old, "postgres", &stack.secrets().postgres, database);
    let admin = Client::connect(&login("postgres"), Role::Old, silent()).await.unwrap();
    assert!(admin.create_database(&unique).await.unwrap());
    let pg = Client::connect(&login(&unique), Role::Old, silent()).await.unwrap();
    let roles = Roles { debezium_password: "one".into(), writer_password: "two".into(), writer_login: true };
    pg.prepare_source(&roles, "debezium_publication", true).await.unwrap();
    let names = Names {
        database: unique.clone(),
        prefix: unique.clone(),
        connector: unique.clone(),
        slot: unique.clone(),
        publication: "debezium_publication".into(),
        topics: ["customers", "orders"].map(|t| format!("{unique}.public.{t}")).to_vec(),
    };
    Clients {
        names,
        pg,
        debezium: stack.login(Role::Old, "debezium", "one", &unique),
        connect: connect::Client::new(&stack.endpoints().connect, silent()).unwrap(),
        kafka: kafka::Client::new(&stack.endpoints().kafka, silent()),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts real components"]
async fn everything_in_turn() {
    let stack = Lab::up("test-delivery").await;
    let lab = clients(&stack).await;
    lab.pg
        .execute("INSERT INTO public.customers (name, email, ver, change_id) VALUES ('seed', 'e', 1, 0)")
        .await
        .unwrap();
    deploy(&lab).await;
    let dir = tempfile::tempdir().unwrap();
    lab.pg.execute(CHANGES).await.unwrap();
    drain(&lab, "first").await;
    digests(&lab, &dir.path().join("consumed.jsonl.zst")).await;
    bulk(&lab, &dir.path().join("bulk.jsonl.zst")).await;
    stop(&lab).await;
    offsets(&lab).await;
    lab.connect.delete(&lab.names.connector).await.unwrap();
    assert!(!lab.connect.delete(&lab.names.connector).await.unwrap());
    lab.pg.drop_slot(&lab.names.slot).await.unwrap();
}

async fn deploy(lab: &Clients) {
    let (start, name) = (Instant::now(), &lab.names.connector);
    let not_there = lab.connect.status(name).await.unwrap_err();
    assert!(not_there.is_not_found(), "{not_there}");
    println!("{not_there}\n{}", lab.connect.put_config(name, &BTreeMap::new()).await.unwrap_err());
    println!("{}", lab.connect.plugins().await.unwrap());
    let config = connector::config(&lab.names, &lab.debezium, 0, None).unwrap();
    lab.connect.put_config(name, &config).await.unwrap();
    let running = |status: &connect::Status| match status.failure() {
        Some(why) => Probe::Never(why),
        None if status.running() => Probe::Ready(()),
        None => Probe::NotYet(status.to_string()),
    };
    lab.connect.wait_for(name, "connector runs", MINUTE, running).await.unwrap();
    println!("running after {:?}", start.elapsed());
    stack::wait::until(&stack::observe::Silent, "snapshot has ended", MINUTE, || async {
        match lab.connect.offsets(name).await {
            Ok(offsets) if !offsets.is_empty() && !offsets.snapshotting() => Probe::Ready(()),
            other => Probe::NotYet(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    println!("snapshot after {:?}: {}", start.elapsed(), lab.connect.offsets(name).await.unwrap().raw());
    let kept = lab.connect.config(name).await.unwrap();
    assert_eq!(kept["database.password"], artifacts::redact::REDACTED);
}

/// The stored offset first: it is committed when every topic has got its records. The marker may
/// overtake records of other topics on their way to Kafka.
async fn drain(lab: &Clients, nonce: &str) {
    let start = Instant::now();
    let marker = lab.pg.emit_marker(nonce).await.unwrap();
    let stored = stack::wait::until(&stack::observe::Silent, "stored offset", MINUTE * 5, || async {
        let offsets = lab.connect.offsets(&lab.names.connector).await.unwrap();
        match offsets.lsn_commit() {
            Some(lsn) if lsn >= marker.lsn => Probe::Ready(offsets),
            other => Probe::NotYet(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    println!("marker {} stored after {:?}: {}", marker.lsn, start.elapsed(), stored.offset());
    let topic = format!("{}.message", lab.names.prefix);
    let place = lab.kafka.find_marker(&topic, &BTreeMap::new(), nonce, MINUTE).await.unwrap();
    println!("marker arrived at {place:?}, found after {:?}", start.elapsed());
    let late = lab.kafka.find_marker(&topic, &BTreeMap::new(), "another", MINUTE / 60).await.unwrap_err();
    println!("{late}");
}

/// The digest of every event's `after` is the one that the database computes.
async fn digests(lab: &Clients, path: &std::path::Path) {
    let topics = lab.kafka.topics(&lab.names.prefix).await.unwrap();
    println!("{topics:?}");
    let bounds = lab.kafka.bounds(&topics).await.unwrap();
    let mut writer = Writer::create(path).unwrap();
    let start = Instant::now();
    let reads = lab.kafka.consume(&bounds, MINUTE, |record| writer.write(&record)).await.unwrap();
    println!("read in {:?}: {reads:?}", start.elapsed());
    assert!(reads.values().flatten().all(|(_, read)| read.complete()));
    writer.finish().unwrap();
    let mut latest: BTreeMap<(String, i64), (Digest, String)> = BTreeMap::new();
    let (mut tombstones, mut events) = (0, 0);
    let tables = row::tables();
    for record in Reader::open(path).unwrap().map(Result::unwrap) {
        let Some(table) = record.topic.strip_prefix(&format!("{}.", lab.names.prefix)) else { continue };
        let Some(columns) = tables.get(table) else { continue };
        let key: Value = serde_json::from_str(record.key.as_ref().unwrap().get()).unwrap();
        let key = (table.to_owned(), key["id"].as_i64().unwrap());
        let Some(value) = record.value else {
            tombstones += 1;
            continue;
        };
        events += 1;
        let value: Value = serde_json::from_str(value.get()).unwrap();
        match value["after"].as_object() {
            Some(after) => {
                let (row, parts) =
                    (row::digest(columns, after).unwrap(), row::column_digests(columns, after));
                latest.insert(key, (row, parts))
            }
            None => {
                row::digest(columns, value["before"].as_object().unwrap()).unwrap();
                latest.remove(&key)
            }
        };
    }
    assert_eq!((events, tombstones), (11, 1));
    let mut expected = BTreeMap::new();
    for (table, columns) in &tables {
        let each = |key, digest, parts: &str| {
            expected.insert((table.clone(), key), (digest, parts.to_owned()));
        };
        lab.pg.row_digests(table, columns, each).await.unwrap();
    }
    assert_eq!(latest, expected);
}

async fn bulk(lab: &Clients, path: &std::path::Path) {
    let before = lab.pg.wal_lsn().await.unwrap();
    let insert = format!(
        "INSERT INTO public.customers (name, email, note, ver, change_id) \
         SELECT 'n', 'e', repeat('x', 200), 1, i FROM generate_series(1, {ROWS}) AS i"
    );
    lab.pg.execute(&insert).await.unwrap();
    let after = lab.pg.wal_lsn().await.unwrap();
    println!("{} bytes of WAL per insert", (after.0 - before.0) / ROWS);
    let pending = lab.pg.pending_xids(&lab.names.slot, &lab.names.publication).await.unwrap();
    println!("pending on the active slot: {pending:?}");
    drain(lab, "bulk").await;
    let topics = lab.kafka.topics(&lab.names.prefix).await.unwrap();
    let start = Instant::now();
    let bounds = lab.kafka.bounds(&topics).await.unwrap();
    println!("bounds of {} topics in {:?}", topics.len(), start.elapsed());
    let (mut records, start) = (0_u64, Instant::now());
    let mut writer = Writer::create(path).unwrap();
    let each = |record| {
        records += 1;
        writer.write(&record)
    };
    lab.kafka.consume(&bounds, MINUTE, each).await.unwrap();
    writer.finish().unwrap();
    println!("{records} records read and kept in {:?}", start.elapsed());
    assert!(records > ROWS);
    let start = Instant::now();
    lab.kafka.consume(&bounds, MINUTE, |_| Ok(())).await.unwrap();
    println!("{records} records only read in {:?}", start.elapsed());
    let mut last = Vec::new();
    let each = |record: artifacts::consumed::Record| {
        last.push(record.offset);
        std::ops::ControlFlow::Continue(())
    };
    let orders = &lab.names.topics[0];
    lab.kafka.tail(orders, kafka::From::Last(3), false, MINUTE, each).await.unwrap();
    assert_eq!(last.len(), 3);
}

async fn stop(lab: &Clients) {
    let (start, name) = (Instant::now(), &lab.names.connector);
    assert!(lab.pg.drop_slot(&lab.names.slot).await.unwrap_err().to_string().contains("in use by process"));
    lab.connect.stop(name).await.unwrap();
    let stopped = |status: &connect::Status| {
        if status.stopped() { Probe::Ready(()) } else { Probe::NotYet(status.to_string()) }
    };
    lab.connect.wait_for(name, "connector is stopped", MINUTE, stopped).await.unwrap();
    println!("stopped after {:?}", start.elapsed());
    stack::wait::until(&stack::observe::Silent, "slot inactive", MINUTE, || async {
        match lab.pg.slot_active_pid(&lab.names.slot).await.unwrap() {
            None => Probe::Ready(()),
            Some(pid) => Probe::NotYet(pid),
        }
    })
    .await
    .unwrap();
    assert_eq!(
        lab.pg.peek_count(&lab.names.slot, &lab.names.publication, artifacts::Lsn(0)).await.unwrap(),
        0
    );
    assert!(lab.pg.pending_xids(&lab.names.slot, &lab.names.publication).await.unwrap().is_empty());
    lab.pg.fence(WRITER_ROLE, MINUTE).await.unwrap();
    lab.pg.lift_fence(WRITER_ROLE).await.unwrap();
}

async fn offsets(lab: &Clients) {
    let name = &lab.names.connector;
    let stored = lab.connect.offsets(name).await.unwrap();
    println!("at the end: {}", stored.raw());
    let lsn = stored.lsn().unwrap();
    lab.connect.patch_offsets(name, stored.partition(), &connect::rebased(lsn)).await.unwrap();
    let rebased = lab.connect.offsets(name).await.unwrap();
    assert_eq!(rebased.offset(), &json!({"lsn": lsn.0, "lsn_proc": lsn.0}));
    lab.connect.update_config(name, &connector::endpoint(&lab.debezium)).await.unwrap();
    lab.connect.resume(name).await.unwrap();
    let running = |status: &connect::Status| {
        if status.running() { Probe::Ready(()) } else { Probe::NotYet(status.to_string()) }
    };
    lab.connect.wait_for(name, "connector runs again", MINUTE, running).await.unwrap();
    println!("{}", lab.connect.patch_offsets(name, stored.partition(), &json!({})).await.unwrap_err());
    lab.connect.restart(name, true, false).await.unwrap();
    lab.connect.wait_for(name, "connector runs after a restart", MINUTE, running).await.unwrap();
    lab.connect.pause(name).await.unwrap();
    lab.connect.stop(name).await.unwrap();
    let stopped = |status: &connect::Status| {
        if status.stopped() { Probe::Ready(()) } else { Probe::NotYet(status.to_string()) }
    };
    lab.connect.wait_for(name, "connector is stopped", MINUTE, stopped).await.unwrap();
    lab.connect.delete_offsets(name).await.unwrap();
    assert!(lab.connect.offsets(name).await.unwrap().is_empty());
}
