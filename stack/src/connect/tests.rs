use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use artifacts::events::EventKind;

use crate::observe::{Observer, Raw};

/// Answers one request per given answer, in order.
async fn server(answers: Vec<(u16, &'static str)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for (status, body) in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 8192];
            let _ = socket.read(&mut buffer).await.unwrap();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close", body.len());
            socket.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        }
    });
    base
}

#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl Observer for Kept {
    fn event(&self, kind: EventKind, raw: Option<Raw<'_>>) {
        let raw = raw.map(|raw| String::from_utf8_lossy(raw.bytes).into_owned());
        self.0.lock().unwrap().push(format!("{kind:?} {}", raw.unwrap_or_default()));
    }
}

#[tokio::test]
async fn a_rebalance_is_waited_out() {
    let base = server(vec![
        (409, r#"{"error_code":409,"message":"rebalance"}"#),
        (409, r#"{"error_code":409,"message":"rebalance"}"#),
        (200, r#"{"name":"c","connector":{"state":"RUNNING"},"tasks":[{"id":0,"state":"RUNNING"}]}"#),
    ])
    .await;
    let status = Client::new(&base, silent()).unwrap().status("c").await.unwrap();
    assert!(status.running(), "{status}");
}

#[tokio::test]
async fn html_becomes_a_sentence() {
    let base = server(vec![(200, "<html>\n<b>login</b>"), (502, "<html>bad gateway")]).await;
    let client = Client::new(&base, silent()).unwrap();
    let first = client.status("a b").await.unwrap_err().to_string();
    assert!(first.contains("/connectors/a%20b/status: status 200, but not JSON"), "{first}");
    assert!(first.ends_with("<html> <b>login</b>"), "{first}");
    let second = client.status("c").await.unwrap_err().to_string();
    assert!(second.ends_with("status 502: <html>bad gateway"), "{second}");
}

#[tokio::test]
async fn nobody_answers() {
    let client = Client::new("http://127.0.0.1:1/", silent()).unwrap();
    let message = client.worker().await.unwrap_err().to_string();
    assert!(message.starts_with("GET http://127.0.0.1:1/: ") && message.contains("refused"), "{message}");
}

#[tokio::test]
async fn no_password_reaches_an_observer_or_a_snapshot() {
    const CONFIG: &str = r#"{"database.password":"hunter2","slot.name":"s"}"#;
    let base = server(vec![(200, CONFIG)]).await;
    let kept = Arc::new(Kept::default());
    let config = Client::new(&base, kept.clone()).unwrap().config("c").await.unwrap();
    assert_eq!(config["slot.name"], "s");
    let seen = format!("{config:?} {:?}", kept.0.lock().unwrap());
    assert!(seen.contains("[redacted]") && !seen.contains("hunter2"), "{seen}");
}

#[test]
fn an_offset_is_understood() {
    let raw = json!({"offsets": [{"partition": {"server": "cdc"}, "offset": {
        "lsn": 26_000_000, "lsn_proc": 26_000_000, "lsn_commit": 26_000_048, "messageType": "INSERT"}}]});
    let offsets = Offsets::new(raw);
    assert_eq!(offsets.lsn_commit().unwrap().to_string(), "0/18CBAB0");
    assert!(!offsets.is_empty() && !offsets.snapshotting() && !offsets.incremental_snapshot());
    assert!(Offsets::new(json!({"offsets": []})).is_empty());
    let snapshot = |completed: bool| {
        let offset = json!({"lsn": 1, "snapshot": "INITIAL", "snapshot_completed": completed});
        Offsets::new(json!({"offsets": [{"partition": {}, "offset": offset}]}))
    };
    assert!(snapshot(false).snapshotting() && !snapshot(true).snapshotting());
}

#[test]
fn a_failure_is_told_by_its_causes() {
    let status =
        Status::new(json!({"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "FAILED",
        "trace": "a.B: outer\n\tat x\nCaused by: c.D: inner\n\tat y\n"}]}));
    assert_eq!(status.failure().unwrap(), "a.B: outer; caused by c.D: inner");
    assert_eq!(status.to_string(), "connector RUNNING, task 0 FAILED");
}
