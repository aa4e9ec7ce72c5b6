//! The generator against a real PostgreSQL, undisturbed and disturbed. Each test ends by comparing
//! the ledger with the database row by row.
//!
//! `PG15_BINDIR=... cargo test -p data-generator -- --ignored`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests, their helpers too")]

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::truth::Truth;
use common::{Files, Postgres, until};
use data_generator::{Ended, Phase, State};
use rustix::process::Signal;

const SEED_ROWS: u64 = 120;

/// Starts a server with seeded tables.
macro_rules! server {
    ($files:expr) => {{
        let server = Postgres::start().await;
        // The seed rows are not changes.
        let admin = server.admin().await;
        data_generator::seed(&server.config("postgres"), &$files.ledger(), 7, SEED_ROWS).await.unwrap();
        admin.batch_execute("TRUNCATE audit.changes").await.unwrap();
        (server, admin)
    }};
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn two_phases_agree_with_the_database() {
    let files = Files::new();
    let (server, admin) = server!(files);
    let before =
        server.generator(&files).args(["--changes=2000", "--clients=4", "--tx-size=4"]).status().unwrap();
    assert!(before.success(), "{}", files.said());
    let truth = Truth::read(&files.ledger(), &admin).await;
    truth.assert_same(&admin).await;
    truth.assert_owners();
    truth.assert_every_kind(Phase::Before);
    let summary = files.read_summary();
    let total = summary.acknowledged.total();
    // Four clients, four statements of up to four rows.
    assert!((2000..2000 + 64).contains(&total), "{total}");
    assert!(summary.transactions.rolled_back > 0 && summary.transactions.refused > 0, "{summary:?}");
    assert_eq!(total as i64, truth.counts.values().sum::<i64>());
    assert_eq!(
        (summary.ended, summary.untouched, summary.reconnects, truth.unknown),
        (Ended::Changes, 0, 0, 0)
    );
    assert_eq!(summary.refused.total(), 0, "{}", files.said());

    // Another number of clients divides the rows in another way; some of the orders are copied.
    let options =
        "--changes=2000 --phase=after --clients=3 --tx-size=9 --key-skew=1.2 --row-size=4000 --copy-rows=50";
    assert!(
        server.generator(&files).args(options.split(' ')).status().unwrap().success(),
        "{}",
        files.said()
    );
    let truth = Truth::read(&files.ledger(), &admin).await;
    truth.assert_same(&admin).await;
    truth.assert_every_kind(Phase::After);

    let other = server.generator(&files).args(["--changes=1", "--seed=8"]).status().unwrap();
    assert_eq!(other.code(), Some(2));
    assert!(files.said().contains("was begun with seed 7, not 8"), "{}", files.said());
    let again = data_generator::seed(&server.config("postgres"), &files.ledger(), 7, 1).await.unwrap_err();
    assert!(again.to_string().contains("has begun already"));
    let elsewhere = data_generator::seed(&server.config("postgres"), &Files::new().ledger(), 7, 1).await;
    assert!(elsewhere.unwrap_err().to_string().contains("holds rows that no ledger knows"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn sigterm_ends_with_a_complete_ledger() {
    let files = Files::new();
    let (server, admin) = server!(files);
    for end in [Signal::TERM, Signal::INT] {
        let mut child = server.running(&files);
        child.writes(&files, 300_000).await;
        child.signal(end);
        assert_eq!(child.ended().await.code(), Some(0), "{}", files.said());
        assert_eq!(files.read_summary().ended, Ended::Stopped);
        let truth = Truth::read(&files.ledger(), &admin).await;
        assert_eq!((truth.unknown, truth.without_fate), (0, 0));
        truth.assert_same(&admin).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn after_kill_9_the_ledger_goes_on() {
    let files = Files::new();
    let (server, admin) = server!(files);
    for round in 1..=5 {
        let mut child = server.running(&files);
        child.writes(&files, 200_000).await;
        if round == 1 {
            let second = server.generator(&files).args(["--changes=1"]).status().unwrap();
            assert_eq!(second.code(), Some(1));
            assert!(files.said().contains("another data generator writes"), "{}", files.said());
        }
        child.signal(Signal::KILL);
        child.ended().await;
        until("its backends have ended", async || server.backends(&admin).await.is_empty().then_some(()))
            .await;
        let truth = Truth::read(&files.ledger(), &admin).await;
        truth.assert_same(&admin).await;
        println!("round {round}: {} without a fate", truth.without_fate);
    }
    let highest = State::read(&files.ledger()).unwrap().highest_change;
    assert!(server.generator(&files).args(["--changes=100"]).status().unwrap().success(), "{}", files.said());
    assert!(State::read(&files.ledger()).unwrap().highest_change >= highest + 100);
    Truth::read(&files.ledger(), &admin).await.assert_same(&admin).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn a_torn_last_line_is_left_behind() {
    use std::io::Write;
    let files = Files::new();
    let (server, admin) = server!(files);
    for _ in 0..2 {
        let torn = std::fs::File::options().append(true).open(files.ledger()).unwrap();
        (&torn).write_all(br#"{"e":"invoke","tx":"c1-"#).unwrap();
        assert!(
            server.generator(&files).args(["--changes=50"]).status().unwrap().success(),
            "{}",
            files.said()
        );
    }
    Truth::read(&files.ledger(), &admin).await.assert_same(&admin).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn terminated_backends_are_replaced() {
    let files = Files::new();
    let (server, admin) = server!(files);
    let mut child = server.running(&files);
    for _ in 0..20 {
        child.writes(&files, 20_000).await;
        server.terminate_backends(&admin).await;
    }
    child.writes(&files, 20_000).await;
    child.signal(Signal::TERM);
    assert_eq!(child.ended().await.code(), Some(0), "{}", files.said());
    let summary = files.read_summary();
    assert!(summary.reconnects >= 20 && summary.refused.total() > 0, "{summary:?}");
    let truth = Truth::read(&files.ledger(), &admin).await;
    assert_eq!(truth.without_fate, 0);
    println!("{} unknown, {} refused", summary.transactions.unknown, summary.transactions.refused);
    truth.assert_same(&admin).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn a_restarted_server_is_waited_for() {
    let files = Files::new();
    let (mut server, admin) = server!(files);
    drop(admin);
    let mut child = server.running(&files);
    let rounds = [Signal::INT, Signal::QUIT];
    for how in rounds {
        child.writes(&files, 100_000).await;
        server.stop(how);
        until("the outage is told", async || files.said().contains("no connection: ").then_some(())).await;
        server.start_again();
    }
    child.writes(&files, 100_000).await;
    child.signal(Signal::TERM);
    assert_eq!(child.ended().await.code(), Some(0), "{}", files.said());
    let told = files.said().matches("trying again until it is back").count();
    assert!((1..=rounds.len()).contains(&told), "{}", files.said());
    let admin = server.admin().await;
    let truth = Truth::read(&files.ledger(), &admin).await;
    assert_eq!(truth.without_fate, 0);
    println!("{} unknown", truth.unknown);
    truth.assert_same(&admin).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn a_fenced_role_is_an_outage_that_sigterm_ends() {
    let files = Files::new();
    let (server, admin) = server!(files);
    let mut child = server.running(&files);
    child.writes(&files, 100_000).await;
    admin.batch_execute("ALTER ROLE app_writer NOLOGIN").await.unwrap();
    server.terminate_backends(&admin).await;
    until("the refusal is told", async || files.said().contains("SQLSTATE 28000").then_some(())).await;
    assert!(server.backends(&admin).await.is_empty());
    child.signal(Signal::TERM);
    assert_eq!(child.ended().await.code(), Some(0), "{}", files.said());
    assert_eq!(files.said().matches("no connection: ").count(), 1, "{}", files.said());
    let truth = Truth::read(&files.ledger(), &admin).await;
    assert_eq!(truth.without_fate, 0);
    truth.assert_same(&admin).await;

    let status = server.generator(&files).args(["--changes=1"]).status().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(files.said().contains("cannot start the workload on 127.0.0.1"), "{}", files.said());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn a_server_that_hangs_is_given_up() {
    let files = Files::new();
    let (server, admin) = server!(files);
    let mut child = server.running(&files);
    child.writes(&files, 100_000).await;
    let backends = server.backends(&admin).await;
    let each = |what| {
        for pid in &backends {
            rustix::process::kill_process(rustix::process::Pid::from_raw(*pid).unwrap(), what).unwrap();
        }
    };
    each(Signal::STOP);
    let begun = Instant::now();
    child.signal(Signal::TERM);
    let status = child.ended().await;
    each(Signal::CONT);
    assert_eq!(status.code(), Some(0), "{}", files.said());
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(8), "{took:?}");
    until("its backends have ended", async || server.backends(&admin).await.is_empty().then_some(())).await;
    let truth = Truth::read(&files.ledger(), &admin).await;
    assert_eq!(truth.without_fate, 0);
    println!("{} unknown", truth.unknown);
    truth.assert_same(&admin).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn a_ledger_that_cannot_grow_stops_everything() {
    let files = Files::new();
    let (server, admin) = server!(files);
    // A limit on the size of files stands for a full disk; its signal is ignored, so that the
    // write fails.
    let generator = server.generator(&files);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"]).arg(generator.get_program());
    limited.args(generator.get_args()).env("PGPASSWORD", "correct horse");
    let output = limited.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write") && said.contains("nothing more was sent"), "{said}");
    until("its backends have ended", async || server.backends(&admin).await.is_empty().then_some(())).await;
    let truth = Truth::read(&files.ledger(), &admin).await;
    assert!(truth.without_fate > 0);
    truth.assert_same(&admin).await;
    assert!(server.generator(&files).args(["--changes=50"]).status().unwrap().success(), "{}", files.said());
    Truth::read(&files.ledger(), &admin).await.assert_same(&admin).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn a_row_somebody_else_has_changed_counts_as_not_touched() {
    let files = Files::new();
    let (server, admin) = server!(files);
    admin.batch_execute("UPDATE public.orders SET ver = ver + 100").await.unwrap();
    let options = ["--changes=300", "--mix=10:80:10"];
    assert!(server.generator(&files).args(options).status().unwrap().success(), "{}", files.said());
    let summary = files.read_summary();
    // A transaction may try a row more than once before it learns.
    assert!(summary.untouched > 0 && summary.untouched < 2 * SEED_ROWS, "{summary:?}");
    let truth = Truth::read(&files.ledger(), &admin).await;
    assert_eq!(truth.counts.values().sum::<i64>() as u64, summary.acknowledged.total());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run by cargo xtask ci"]
async fn rate_and_duration_are_kept() {
    let files = Files::new();
    let (server, admin) = server!(files);
    let options = ["--rate=200", "--duration=2", "--tx-size=1"];
    assert!(server.generator(&files).args(options).status().unwrap().success(), "{}", files.said());
    let summary = files.read_summary();
    assert_eq!(summary.ended, Ended::Duration);
    assert!((250..=450).contains(&summary.acknowledged.total()), "{summary:?}");
    Truth::read(&files.ledger(), &admin).await.assert_same(&admin).await;
}
