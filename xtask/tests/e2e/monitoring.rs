//! The commands around a rehearsal, typed on a real stack: monitoring, troubleshooting, clean-up.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use artifacts::RunDir;
use artifacts::events::EventKind;
use artifacts::snapshot::Role;
use serde_json::Value;

use crate::support::{self, connect, expect, program, xtask};

/// Of its own: Kafka is killed, and a first rehearsal has the names of the original README.
const STACK: &str = "test-around";
const ORDERS: &str = "cdc.public.orders";

#[test]
fn everything_around_a_rehearsal() {
    expect(0, &typed("down --volumes --yes"));
    for words in ["up --changes 300", "deploy-connector"] {
        expect(0, &typed(words));
    }
    a_key_that_is_ignored();
    for words in ["start-generator", "capture-before", "stop-generator"] {
        expect(0, &typed(words));
    }
    looks();
    let restarted = expect(0, &typed("restart-connector"));
    assert!(stderr(&restarted).contains("restarted: connector RUNNING, task 0 RUNNING"));
    expect(0, &typed("pause-connector"));
    assert_eq!(json("status")["status"]["connector"]["state"], "PAUSED");
    expect(0, &typed("restart-connector"));
    assert_eq!(json("status")["status"]["connector"]["state"], "RUNNING");
    destroys();
    recorded();
    without_kafka();
    expect(0, &typed("down --backups --yes"));
    expect(0, &typed("down"));
    let told = stderr(&expect(5, &typed("topics")));
    assert!(
        told.contains(&format!("the stack is down: start it with: cargo xtask up --name {STACK}")),
        "{told}"
    );
    assert_eq!(json("ps"), serde_json::json!([]));
    let told = stderr(&expect(2, "topics --name test-none"));
    assert!(told.contains(STACK), "the stacks that are there are named: {told}");
    expect(0, &typed("down --volumes --yes"));
}

fn typed(words: &str) -> String {
    format!("{words} --name {STACK}")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command prints with `--json`.
fn json(words: &str) -> Value {
    serde_json::from_slice(&expect(0, &typed(&format!("{words} --json"))).stdout).unwrap()
}

/// Kafka Connect takes a key that the converter does not know, and everything runs.
fn a_key_that_is_ignored() {
    let ignored = || {
        let checks = json("doctor");
        let found =
            checks.as_array().unwrap().iter().filter(|check| check["name"] == "converter of the connector");
        found.map(|check| check["found"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ignored(), [""; 0]);
    let client = connect(STACK);
    let changes = [("value.converter.schema.enable".to_owned(), "true".to_owned())].into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.update_config("postgres-cdc-connector", &changes)).unwrap();
    let said = "value.converter.schema.enable is ignored by org.apache.kafka.connect.json.JsonConverter, \
                which knows value.converter.schemas.enable";
    assert_eq!(ignored(), [said]);
    expect(0, &typed("deploy-connector"));
    assert_eq!(json("status")["status"]["tasks"][0]["state"], "RUNNING");
    assert_eq!(ignored(), [""; 0]);
}

/// Commands that change nothing.
fn looks() {
    for answer in json("ping").as_array().unwrap() {
        let expected = if answer["component"] == "postgres-new" { Value::Null } else { true.into() };
        assert_eq!(answer["ok"], expected, "{answer}");
    }
    let topics = json("topics");
    let orders = topics.as_array().unwrap().iter().find(|t| t["topic"] == ORDERS).unwrap();
    let events = stdout(&expect(0, &typed(&format!("events {ORDERS}"))));
    assert_eq!(orders["records"], events.lines().count(), "as many events as records");
    let first: artifacts::consumed::Record = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert_eq!((first.topic.as_str(), first.offset), (ORDERS, 0));
    let last = stdout(&expect(0, &typed(&format!("events {ORDERS} --tail 1"))));
    assert_eq!(Some(last.trim_end()), events.lines().last());
    assert!(stderr(&expect(2, &typed("events cdc.public.order"))).contains(ORDERS));

    let server = &json("replication")[0];
    assert_eq!((&server["server"], &server["slots"][0]["active"]), (&"old".into(), &true.into()));
    assert_eq!(server["senders"][0]["usename"], "debezium");
    assert!(server["slots"][0]["retained_bytes"].is_u64());
    let table = stdout(&expect(0, &typed("slots list")));
    assert!(table.lines().nth(1).unwrap().contains("debezium_slot  pgoutput  logical"), "{table}");

    let status = json("status");
    assert_eq!(status["status"]["tasks"][0]["state"], "RUNNING");
    assert!(status["offsets"]["offsets"][0]["offset"]["lsn"].is_u64());
    expect(0, "doctor");
    expect(0, &typed("ps"));
    let run = &json("runs")[0];
    assert_eq!((&run["verdict"], &run["stack"]), (&"open".into(), &STACK.into()));
    logs();
}

fn logs() {
    for service in ["kafka", "connect", "postgres-old"] {
        let last = stdout(&expect(0, &typed(&format!("logs {service} --tail 2"))));
        assert_eq!(last.lines().count(), 2, "{service}: {last}");
    }
    assert!(stderr(&expect(5, &typed("logs postgres-new"))).contains("it was not started yet"));
    // Whoever has read enough closes the pipe, and what was followed ends.
    for words in ["logs connect --follow", "events __debezium-heartbeat.cdc --follow"] {
        let mut following = follow(&typed(words));
        let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
        assert!(!lines.next().unwrap().unwrap().is_empty());
        drop(lines);
        assert!(following.wait().unwrap().success(), "{words}");
    }
}

fn follow(words: &str) -> std::process::Child {
    let mut command = Command::new(program());
    command.args(words.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    support::typed(words);
    command.spawn().unwrap()
}

/// Commands that destroy something: refused without `--yes`, as nobody can be asked here.
fn destroys() {
    for words in
        ["slots drop debezium_slot --server old", "reset-offsets", "delete-connector", "down --volumes"]
    {
        let told = stderr(&expect(2, &typed(words)));
        assert!(told.contains(&format!("cargo xtask {} --yes", typed(words))), "{told}");
    }
    assert_eq!(json("status")["status"]["connector"]["state"], "RUNNING", "nothing was done");
    let told = stderr(&expect(5, &typed("slots drop debezium_slot --server old --yes")));
    assert!(told.contains("is in use by process"), "{told}");
    expect(0, &typed("reset-offsets --yes"));
    let status = json("status");
    assert_eq!(status["status"]["connector"]["state"], "STOPPED");
    assert_eq!(status["offsets"]["offsets"], serde_json::json!([]));
    expect(0, &typed("delete-connector --yes"));
    assert!(stderr(&expect(5, &typed("status"))).contains("cargo xtask deploy-connector"));
    assert!(
        stderr(&expect(2, &typed("slots drop nosuch --server old --yes"))).contains("it has debezium_slot")
    );
    expect(0, &typed("slots drop debezium_slot --server old --yes"));
    assert_eq!(json("slots list"), serde_json::json!([]));
}

/// What was done by hand is in the evidence of the open run.
fn recorded() {
    let path = json("runs")[0]["path"].as_str().unwrap().to_owned();
    let events = RunDir::open(path.as_ref()).unwrap().events().unwrap();
    let by_hand: Vec<EventKind> = events.into_iter().filter(|e| e.step.is_none()).map(|e| e.kind).collect();
    for command in ["restart-connector", "pause-connector", "reset-offsets", "delete-connector"] {
        let text = format!("by hand: cargo xtask {command}");
        assert!(by_hand.contains(&EventKind::Note { text }), "{command}: {by_hand:#?}");
    }
    let requested = |wanted: &str, end: &str| {
        let is = |e: &EventKind| matches!(e, EventKind::Http { method, url, .. } if method == wanted && url.ends_with(end));
        by_hand.iter().any(is)
    };
    assert!(requested("DELETE", "/offsets") && requested("DELETE", "/connectors/postgres-cdc-connector"));
    let dropped = |e: &EventKind| {
        let old = Role::Old.to_string();
        matches!(e, EventKind::Sql { server, statement, .. } if *server == old && statement.contains("pg_drop_replication_slot"))
    };
    assert!(by_hand.iter().any(dropped));
}

/// A component that has ended is told at once, also to who follows it.
fn without_kafka() {
    let mut following = follow(&typed(&format!("events {ORDERS} --follow --tail 1")));
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert!(!lines.next().unwrap().unwrap().is_empty());
    let stack = json("ps");
    let kafka =
        stack.as_array().unwrap().iter().find(|p| p["service"] == "kafka").unwrap()["pid"].as_u64().unwrap();
    assert!(Command::new("kill").args(["-KILL", &kafka.to_string()]).status().unwrap().success());
    let ended = following.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(5));
    assert!(stderr(&ended).contains(&format!("kafka has ended: cargo xtask logs kafka --name {STACK}")));
    let answers: Value = serde_json::from_slice(&expect(1, &typed("ping --json")).stdout).unwrap();
    let kafka = answers.as_array().unwrap().iter().find(|a| a["component"] == "kafka").unwrap();
    assert_eq!(kafka["ok"], false);
    assert_eq!(xtask(&typed("topics")).status.code(), Some(5));
}
