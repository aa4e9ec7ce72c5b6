//! The native backend with real components.
//!
//! `cargo test -p stack -- --include-ignored --test-threads=1` provisions what is missing, and leaves no
//! process and no folder of the stacks it makes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use artifacts::snapshot::Role;
use stack::observe::{Shared, silent};
use stack::postgres::Client;
use stack::{Parts, Stack, Transfer};
use support::Lab;

/// A connection of the superuser to the rehearsal's database.
async fn connect(stack: &Lab, role: Role, observer: Shared) -> Client {
    let login = stack.login(role, "postgres", &stack.secrets().postgres, "testdb");
    Client::connect(&login, role, observer).await.unwrap()
}

fn alive(stack: &Stack) -> Vec<String> {
    stack.processes().into_iter().filter(|p| p.alive).map(|p| p.service).collect()
}

fn kill_9(stack: &Stack, service: &str) {
    let pid = stack.service(service).unwrap().pid.unwrap();
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    // The signal works when the kernel comes to it.
    while stack.service(service).unwrap().alive {}
}

const ALL: [&str; 4] = ["connect", "kafka", "postgres-new", "postgres-old"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts real components"]
async fn a_stack_survives_crashes_and_leaves_nothing_behind() {
    let observer = silent();
    let mut stack = Lab::open("test-crash");
    stack.up(15, 16, Parts::default(), &observer).await.unwrap();
    stack.replace_postgres(&observer).await.unwrap();
    assert_eq!(alive(&stack), ALL);
    let memory: u64 = stack.processes().iter().filter_map(|p| p.rss_bytes).sum();
    assert!(memory < 2_500_000_000, "{memory} bytes");
    let ports = stack.endpoints();
    connect(&stack, Role::Old, observer.clone()).await.execute("CREATE TABLE kept (id int)").await.unwrap();
    for service in ALL {
        kill_9(&stack, service);
    }
    stack.reopen("test-crash");
    stack.ensure_running(&observer).await.unwrap();
    assert_eq!(alive(&stack), ALL);
    assert_eq!(stack.endpoints(), ports, "ports are kept");
    connect(&stack, Role::Old, observer.clone()).await.execute("SELECT FROM kept").await.unwrap();
    stack.stop_postgres(Role::Old).await.unwrap();
    stack.ensure_running(&observer).await.unwrap();
    assert!(!alive(&stack).contains(&"postgres-old".to_owned()), "it was stopped on purpose");
    stack.start_postgres(Role::Old, &observer).await.unwrap();

    let secrets = stack.state_dir().join("secrets.json");
    let kept = std::fs::read(&secrets).unwrap();
    std::fs::write(&secrets, "{").unwrap();
    stack.reopen("test-crash");
    for result in [stack.ensure_running(&observer).await, stack.up(15, 16, Parts::default(), &observer).await]
    {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("cargo xtask down --volumes"), "{message}");
    }
    std::fs::write(&secrets, kept).unwrap();
    stack.reopen("test-crash");

    ALL.iter().for_each(|service| kill_9(&stack, service));
    stack.up(15, 16, Parts::default(), &observer).await.unwrap();
    assert_eq!(stack.generation(), 2);
    assert_eq!(alive(&stack), ["connect", "kafka", "postgres-old"]);
    let fresh = connect(&stack, Role::Old, observer.clone()).await;
    assert!(fresh.execute("SELECT FROM kept").await.is_err(), "the earlier cluster is gone");

    std::fs::remove_dir_all(stack.state_dir().join("run")).unwrap();
    std::fs::create_dir(stack.state_dir().join("backups")).unwrap();
    assert_eq!(stack.down(false).await.unwrap().ended, 3);
    assert_eq!(stack.down(true).await.unwrap().ended, 0);
    assert!(!stack.state_dir().exists());
    assert_eq!(stack.down(true).await.unwrap().ended, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts real components"]
async fn linked_files_are_those_of_one_server_only() {
    let (observer, logs) = (silent(), tempfile::tempdir().unwrap());
    let mut stack = Lab::up("test-link").await;
    connect(&stack, Role::Old, observer.clone()).await.execute("CREATE TABLE kept (id int)").await.unwrap();
    let port = stack.endpoints().postgres(Role::Old).unwrap().port;
    assert!(stack.decommission().await.is_err(), "nothing was upgraded");
    for _ in 0..2 {
        stack.upgrade_in_place(Transfer::Link, logs.path(), &observer).await.unwrap();
        kill_9(&stack, "postgres-new");
        stack.reopen("test-link");
        stack.ensure_running(&observer).await.unwrap();
        connect(&stack, Role::New, observer.clone()).await.execute("SELECT FROM kept").await.unwrap();
    }
    let endpoints = stack.endpoints();
    assert!(endpoints.postgres(Role::Old).is_none());
    assert_eq!(endpoints.postgres(Role::New).unwrap().port, port);
    let refused = stack.start_postgres(Role::Old, &observer).await.unwrap_err().to_string();
    assert!(refused.contains("the same files"), "{refused}");
    stack.decommission().await.unwrap();
    assert!(stack.decommission().await.unwrap_err().to_string().contains("removed already"));
    connect(&stack, Role::New, observer.clone()).await.execute("SELECT FROM kept").await.unwrap();

    // As an interrupted pg_upgrade --link leaves it.
    stack.up(15, 16, Parts::default(), &observer).await.unwrap();
    stack.stop_postgres(Role::Old).await.unwrap();
    let control = stack.state_dir().join("postgres/old/data/global/pg_control");
    std::fs::rename(&control, control.with_extension("old")).unwrap();
    let upgrade = stack.upgrade_in_place(Transfer::Link, logs.path(), &observer).await;
    assert!(upgrade.unwrap_err().to_string().contains("neither can be trusted"));
    assert!(stack.start_postgres(Role::Old, &observer).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts real components"]
async fn two_stacks_run_side_by_side_and_keep_their_secrets() {
    let observer = silent();
    let (mut one, mut two) = (Lab::open("test-one"), Lab::open("test-two"));
    let ups = tokio::join!(
        one.up(15, 16, Parts::default(), &observer),
        two.up(16, 17, Parts::default(), &observer)
    );
    ups.0.unwrap();
    ups.1.unwrap();
    let version = one.exec("psql", Role::Old, &["-Atc", "SHOW server_version"], &observer).await.unwrap();
    assert!(version.starts_with("15."), "{version}");
    let version = two.exec("psql", Role::Old, &["-Atc", "SHOW server_version"], &observer).await.unwrap();
    assert!(version.starts_with("16."), "{version}");
    let (first, second) = (one.endpoints(), two.endpoints());
    assert!(first.kafka != second.kafka && first.connect != second.connect);

    let secret = one.secrets().postgres.clone();
    let leak = format!("SELECT '{secret}' FROM nowhere");
    one.exec("psql", Role::Old, &["-c", &leak], &observer).await.unwrap_err();
    let logs = tempfile::tempdir().unwrap();
    one.collect_logs(logs.path()).unwrap();
    let text = std::fs::read_to_string(logs.path().join("postgres-old.log")).unwrap();
    assert!(text.contains("[redacted]") && !text.contains(&secret));
    for file in ["connect.log", "kafka.log"] {
        assert!(std::fs::metadata(logs.path().join(file)).unwrap().len() > 1000, "{file}");
    }
    for (file, expected) in [("secrets.json", 0o600), ("pgpass", 0o600), ("kafka", 0o700), ("connect", 0o700)]
    {
        let mode = std::fs::metadata(one.state_dir().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{file}");
    }

    assert_eq!(one.down(true).await.unwrap().ended, 3);
    assert_eq!(alive(&two).len(), 3, "the other stack is left alone");
    two.down(true).await.unwrap();
}
