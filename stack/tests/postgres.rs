//! The PostgreSQL client against a real server.
//!
//! `cargo test -p stack --test postgres -- --ignored` makes a stack of its own for it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use artifacts::Lsn;
use artifacts::events::EventKind;
use artifacts::row::{self, Fingerprint};
use artifacts::snapshot::Role;
use stack::observe::{Observer, Raw, Shared, silent};
use stack::postgres::{Client, Error, Login, Roles, WRITER_ROLE, XactStatus};
use support::Lab;

const DATABASE: &str = "clients_test";
const PUBLICATION: &str = "Test, publication";
const SECOND: Duration = Duration::from_secs(1);

/// The superuser's login.
static SERVER: OnceLock<Login> = OnceLock::new();

fn login(user: &str, password: &str, database: &str) -> Login {
    let server = SERVER.get().unwrap().clone();
    let password = if password.is_empty() { server.password.clone() } else { password.to_owned() };
    Login { user: user.into(), password, database: database.into(), ..server }
}

fn roles() -> Roles {
    Roles { debezium_password: "hid'den-1".into(), writer_password: "hidden-2".into(), writer_login: true }
}

#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl Observer for Kept {
    fn event(&self, kind: EventKind, _raw: Option<Raw<'_>>) {
        self.0.lock().unwrap().push(format!("{kind:?}"));
    }
}

/// A prepared database, empty of rows, and the superuser's connection to it.
async fn prepared(observer: Shared) -> Client {
    let server = Client::connect(&login("postgres", "", "postgres"), Role::Old, silent()).await.unwrap();
    server.create_database(DATABASE).await.unwrap();
    let client = Client::connect(&login("postgres", "", DATABASE), Role::Old, observer).await.unwrap();
    for _ in 0..2 {
        client.prepare_source(&roles(), PUBLICATION, true).await.unwrap();
    }
    for slot in ["s1", "s2"] {
        client.drop_slot(slot).await.unwrap();
    }
    client
        .execute("TRUNCATE public.orders, public.customers, public.documents, audit.changes RESTART IDENTITY")
        .await
        .unwrap();
    client
}

async fn writer() -> Client {
    Client::connect(&login(WRITER_ROLE, "hidden-2", DATABASE), Role::Old, silent()).await.unwrap()
}

fn insert(n: usize) -> String {
    format!(
        "INSERT INTO public.customers (name, email, note, ver, change_id, updated_at) \
         SELECT 'n' || i, E'e''\\\\ü', CASE WHEN i % 2 = 0 THEN 'x' END, 1, i, now() \
         FROM generate_series(1, {n}) AS i"
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts real components"]
async fn everything_in_turn() {
    let lab = Lab::up("test-postgres").await;
    let superuser = lab.login(Role::Old, "postgres", &lab.secrets().postgres, "postgres");
    SERVER.set(superuser).map_err(drop).unwrap();
    let kept = Arc::new(Kept::default());
    let client = prepared(kept.clone()).await;
    capture(&client).await;
    slots(&client).await;
    fence(&client).await;
    wal(&client).await;
    lost(&client).await;
    let seen = kept.0.lock().unwrap().join("\n");
    assert!(seen.contains("PASSWORD '[redacted]'") && !seen.contains("hidden") && !seen.contains("hid'"));
}

async fn capture(client: &Client) {
    let writer = writer().await;
    writer.execute(&insert(25_000)).await.unwrap();
    writer.execute("UPDATE public.customers SET ver = 2 WHERE id <= 10").await.unwrap();
    writer.execute("DELETE FROM public.customers WHERE id = 1").await.unwrap();
    let tables = row::tables();
    let states = client.tables(&tables).await.unwrap();
    let (mut sum, mut last) = (Fingerprint::default(), 0);
    let each = |key: i64, digest, _: &str| {
        assert!(key > last);
        last = key;
        sum.add(digest);
    };
    client.row_digests("public.customers", &tables["public.customers"], each).await.unwrap();
    assert_eq!((states["public.customers"].rows, last), (24_999, 25_000));
    assert_eq!(states["public.customers"].fingerprint, sum.to_string());
    let audit = client.audit().await.unwrap().unwrap();
    let expected = [("c", 25_000), ("d", 1), ("u", 10)].map(|(op, n)| (op.to_owned(), n));
    assert_eq!(audit["public.customers"], BTreeMap::from(expected));
    assert_eq!(client.replica_identity(&tables).await.unwrap()["public.orders"], "f");
    let publication = client.publication(PUBLICATION).await.unwrap().unwrap();
    assert_eq!(
        publication["tables"],
        serde_json::json!(["public.customers", "public.documents", "public.orders"])
    );
    assert!(client.publication("none").await.unwrap().is_none());
    let sequences = client.sequences().await.unwrap();
    assert_eq!((sequences["public.customers_id_seq"], sequences["public.orders_id_seq"]), (25_000, 0));
    println!("{:#?}\n{:#?}", client.roles().await.unwrap(), client.settings().await.unwrap());
    println!("{:?} attver {}", client.server().await.unwrap(), client.has_pg_attver().await.unwrap());
}

async fn slots(client: &Client) {
    let writer = writer().await;
    let start = client.create_slot("s1", SECOND * 10).await.unwrap();
    assert!(client.create_slot("s1", SECOND).await.unwrap_err().to_string().contains("already exists"));
    assert_eq!(client.slot_row("s1").await.unwrap().unwrap()["confirmed_flush_lsn"], start.lsn.to_string());
    assert_eq!(client.peek_count("s1", PUBLICATION, Lsn(0)).await.unwrap(), 0);
    writer.execute("BEGIN; UPDATE public.customers SET ver = 3 WHERE id < 5; COMMIT").await.unwrap();
    let marker = client.emit_marker("n'once").await.unwrap();
    assert!(marker.lsn > start.lsn && marker.same_history(&start));
    // Relation, begin, three updates, commit.
    assert_eq!(client.peek_count("s1", PUBLICATION, Lsn(0)).await.unwrap(), 6);
    let pending = client.pending_xids("s1", PUBLICATION).await.unwrap();
    assert_eq!(pending.len(), 1, "{pending:?}");
    let slots = client.slots().await.unwrap();
    assert!(slots.iter().all(|slot| !slot["slot_name"].as_str().unwrap().starts_with("peek")), "{slots:?}");
    let sample = client.sample("s1").await.unwrap();
    assert!(sample.confirmed_flush_lsn.is_some() && sample.retained_bytes.unwrap() > 0);
    assert_eq!(client.sample("none").await.unwrap().retained_bytes, None);

    writer.execute("BEGIN").await.unwrap();
    writer.execute("UPDATE public.customers SET ver = 4 WHERE id = 7").await.unwrap();
    let error = client.create_slot("s2", SECOND / 2).await.unwrap_err();
    println!("{error}");
    assert!(matches!(error, Error::SlotBlocked { .. }) && error.to_string().contains("of app_writer"));
    assert!(client.slot_row("s2").await.unwrap().is_none());
    writer.execute("ROLLBACK").await.unwrap();
    assert!(client.drop_slot("s1").await.unwrap() && !client.drop_slot("s1").await.unwrap());
}

async fn fence(client: &Client) {
    let xid =
        async |c: &Client| c.json("SELECT pg_current_xact_id()::text AS x").await.unwrap()[0]["x"].clone();
    let (one, two) = (writer().await, writer().await);
    one.execute("BEGIN; UPDATE public.customers SET ver = 5 WHERE id = 8").await.unwrap();
    let aborted = xid(&one).await;
    let committed = xid(&two).await;
    let status = async |x: &str| client.xact_status(x).await.unwrap();
    assert_eq!(status(aborted.as_str().unwrap()).await, XactStatus::InProgress);
    let fenced = client.fence(WRITER_ROLE, SECOND * 10).await.unwrap();
    assert_eq!(fenced.terminated, 2);
    assert_eq!(status(aborted.as_str().unwrap()).await, XactStatus::Aborted);
    assert_eq!(status(committed.as_str().unwrap()).await, XactStatus::Committed);
    assert_eq!(status("99999999999").await, XactStatus::Aborted);
    assert_eq!(status("3").await, XactStatus::Unknown);
    let gone = one.execute("COMMIT").await.unwrap_err();
    println!("{gone}");
    assert!(matches!(gone, Error::Lost { .. }));
    let login = login(WRITER_ROLE, "hidden-2", DATABASE);
    let refused = Client::connect(&login, Role::Old, silent()).await.map(drop).unwrap_err().to_string();
    println!("{refused}");
    assert!(refused.contains("not permitted to log in"));

    let other = Client::connect(&self::login("postgres", "", DATABASE), Role::Old, silent()).await.unwrap();
    other.execute("BEGIN; UPDATE public.customers SET ver = 6 WHERE id = 9").await.unwrap();
    let blocked = client.fence(WRITER_ROLE, SECOND).await.unwrap_err().to_string();
    println!("{blocked}");
    assert!(blocked.contains("of postgres (idle in transaction") && blocked.contains("ver = 6"));
    other.execute("ROLLBACK").await.unwrap();
    client.fence(WRITER_ROLE, SECOND).await.unwrap();
    client.lift_fence(WRITER_ROLE).await.unwrap();
    writer().await;
}

async fn wal(client: &Client) {
    let before = client.wal_lsn().await.unwrap();
    let start = std::time::Instant::now();
    let target = Lsn(before.0 + stack::postgres::AHEAD_BYTES);
    let after = client.advance_wal_past(target, SECOND * 60).await.unwrap();
    println!("WAL from {before} to {after} in {:?}", start.elapsed());
    assert!(after > target && client.wal_insert_lsn().await.unwrap() >= after);
}

async fn lost(client: &Client) {
    let other = Client::connect(&login("postgres", "", DATABASE), Role::New, silent()).await.unwrap();
    let pid = other.json("SELECT pg_backend_pid() AS pid").await.unwrap()[0]["pid"].clone();
    let running = tokio::spawn({
        let other = other.clone();
        async move { other.execute("SELECT pg_sleep(60)").await }
    });
    client.execute(&format!("SELECT pg_sleep(0.2), pg_terminate_backend({pid})")).await.unwrap();
    for error in [running.await.unwrap().unwrap_err(), other.execute("SELECT 1").await.unwrap_err()] {
        println!("{error}");
        assert!(matches!(error, Error::Lost { .. }));
    }
    println!("{}", client.execute("SELECT *\n FROM nowhere").await.unwrap_err());
}
