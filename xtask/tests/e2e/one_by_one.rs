//! The README's steps typed one by one give the same verdict as `upgrade`; a connector without
//! heartbeat drains; a late commit by an orphaned backend is stopped by the fence.

use std::time::Duration;

use artifacts::events::{Event, EventKind};
use artifacts::findings::Verdict;
use artifacts::snapshot::Role;

use crate::support::{STACK, expect, findings, not_held, procedure, run_of, stack};

#[test]
fn typed_one_by_one_without_heartbeat_and_with_an_orphan() {
    let (mut orphan, mut verified) = (None, None);
    for words in procedure() {
        match words {
            "up" => drop(expect(0, &format!("up --no-heartbeat --changes 500 --name {STACK}"))),
            "verify" => verified = Some(expect(0, &format!("verify --name {STACK}"))),
            _ => {
                if words == "fence-writers" {
                    orphan = Some(Orphan::new());
                }
                expect(0, &format!("{words} --name {STACK}"));
            }
        }
    }
    let elapsed = orphan.expect("the README fences the writers").elapsed();
    assert!(elapsed > Orphan::COMMITS_AFTER, "the orphan would have committed by now");
    assert_eq!(orphans_on_the_old_server(), 0);
    let run = run_of(&verified.expect("the README verifies"));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    assert_eq!(run.run().unwrap().heartbeat_ms, 0);
    assert_eq!(ended_by_the_fence(&run), ["1"], "the fence finds the orphan and nobody else");
}

/// How many backends the first fence has ended, from its sentence.
fn ended_by_the_fence(run: &artifacts::RunDir) -> Vec<String> {
    let of_the_fence = |event: &Event| event.step.as_deref() == Some("fence-writers");
    let events = run.events().unwrap().into_iter().filter(of_the_fence);
    let told = events.filter_map(|event| {
        let EventKind::Note { text } = event.kind else { return None };
        Some(text.split_once(" backends ended")?.0.to_owned())
    });
    told.collect()
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
    let stack = stack(STACK);
    let endpoints = stack.endpoints();
    let server = endpoints.postgres(Role::Old).unwrap();
    let secrets = stack.secrets();
    let password = if user == "postgres" { &secrets.postgres } else { &secrets.app_writer };
    let mut config = tokio_postgres::Config::new();
    config.host(&server.host).port(server.port).user(user).password(password).dbname("testdb");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    (client, tokio::spawn(async move { drop(connection.await) }))
}
