//! The README's steps typed one by one give the same verdict as `upgrade`; a connector without
//! heartbeat drains; a late commit by an orphaned backend is stopped by the fence.

use std::time::Duration;

use artifacts::findings::Verdict;
use artifacts::snapshot::Role;
use stack::{Options, Stack};

use crate::support::{STACK, expect, findings, not_held, run_of};

const BEFORE_FENCE: [&str; 4] = ["deploy-connector", "start-generator", "capture-before", "stop-generator"];
const AFTER: [&str; 19] = [
    "fence-writers",
    "drain",
    "stop-connector",
    "capture-cut",
    "backup",
    "upgrade-database",
    "capture-restored",
    "recreate-slot",
    "repoint-connector",
    "rebase-offsets",
    "resume-connector",
    "open-writers",
    "restart-generator",
    "stop-generator-again",
    "fence-again",
    "drain-again",
    "capture-after",
    "collect",
    "report",
];

#[test]
fn typed_one_by_one_without_heartbeat_and_with_an_orphan() {
    expect(0, &format!("up --no-heartbeat --changes 500 --name {STACK}"));
    for step in BEFORE_FENCE {
        expect(0, &format!("{step} --name {STACK}"));
    }
    let orphan = Orphan::new();
    for step in AFTER {
        expect(0, &format!("{step} --name {STACK}"));
    }
    assert!(orphan.elapsed() > Orphan::COMMITS_AFTER, "the orphan would have committed by now");
    assert_eq!(orphans_on_the_old_server(), 0);
    let run = run_of(&expect(0, &format!("verify --name {STACK}")));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    assert_eq!(run.run().unwrap().heartbeat_ms, 0);
    let fence = std::fs::read_to_string(run.path("events.jsonl")).unwrap();
    assert!(fence.contains("1 backends ended"), "the fence found the orphan");
}

/// A backend whose client was killed in the middle of a statement: it goes on and would commit.
struct Orphan {
    started: std::time::Instant,
}

impl Orphan {
    const COMMITS_AFTER: Duration = Duration::from_secs(3);

    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (client, task) = connect("app_writer").await;
            let statement = format!(
                "INSERT INTO public.customers (name, email, note, ver, change_id, updated_at) \
                 SELECT 'orphan', 'o@example.org', '', 1, 999999999, now() FROM pg_sleep({})",
                Self::COMMITS_AFTER.as_secs()
            );
            // The statement is under way when the client is gone: no answer is waited for.
            let sent =
                tokio::time::timeout(Duration::from_millis(500), client.batch_execute(&statement)).await;
            assert!(sent.is_err(), "the statement ended too early: {sent:?}");
            task.abort();
        });
        Self { started: std::time::Instant::now() }
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Rows that an orphan has left; the old server still runs after the upgrade.
fn orphans_on_the_old_server() -> i64 {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (client, _task) = connect("postgres").await;
        let row = client.query_one("SELECT count(*) FROM public.customers WHERE name = 'orphan'", &[]).await;
        row.unwrap().get(0)
    })
}

/// A connection to the old server.
async fn connect(user: &str) -> (tokio_postgres::Client, tokio::task::JoinHandle<()>) {
    let stack = Stack::open(Options { name: STACK.into(), install: false, standard_ports: false }).unwrap();
    let endpoints = stack.endpoints();
    let server = endpoints.postgres(Role::Old).unwrap();
    let secrets = stack.secrets();
    let password = if user == "postgres" { &secrets.postgres } else { &secrets.app_writer };
    let mut config = tokio_postgres::Config::new();
    config.host(&server.host).port(server.port).user(user).password(password).dbname("testdb");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    (client, tokio::spawn(async move { drop(connection.await) }))
}
