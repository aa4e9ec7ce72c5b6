//! The builder of run directories builds what its users think it does.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use artifacts::findings::Verdict;
use artifacts::ledger::{Op, Reader};
use report::Options;
use report::synth::{Plan, write};
use serde_json::Value;
use support::judge::Judged;

#[test]
fn a_built_run_can_be_read_and_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let run = support::held_run(&dir.path().join("run"));
    assert_eq!(artifacts::seal::differences(run.root()).unwrap(), Vec::<String>::new());
    assert!(Reader::open(&run.ledger()).unwrap().all(|entry| entry.is_ok()));
    assert!(artifacts::consumed::Reader::open(&run.path("consumed.jsonl.zst")).unwrap().all(|r| r.is_ok()));
    assert!(run.collected().unwrap().unwrap().cut.contains_key("cdc.public.orders"));
    assert_eq!(run.events().unwrap().last().unwrap().seq as usize, run.events().unwrap().len());
}

#[test]
fn the_same_plan_builds_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let sums = |name: &str| {
        let run = support::broken_run(&dir.path().join(name));
        std::fs::read_to_string(run.path(artifacts::run_dir::SUMS)).unwrap()
    };
    assert_eq!(sums("a"), sums("b"));
}

#[test]
fn a_synthetic_run_is_held_and_rendered() {
    let dir = tempfile::tempdir().unwrap();
    let run = write(&Plan::of_events(5_000, 7), &dir.path().join("run")).unwrap();
    let judged = Judged::run(&run, &Options::default());
    assert_eq!(judged.findings.verdict, Verdict::Held, "{:#?}", judged.findings);
    let records = artifacts::consumed::Reader::open(&run.path("consumed.jsonl.zst")).unwrap();
    let of_tables = records.filter(|r| r.as_ref().unwrap().topic.starts_with("cdc.public.")).count();
    assert!((5_000..5_100).contains(&of_tables), "{of_tables}");
    let html = std::fs::read_to_string(report::render(&run).unwrap().html).unwrap();
    assert!(html.contains("synthetic"));
    assert!(write(&Plan::of_events(10, 7), run.root()).is_err(), "a run is never written over");
}

#[test]
fn the_same_plan_synthesises_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let sums = |name: &str| {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        let run = write(&Plan::of_events(1_000, 7), &dir.path().join(name).join("run")).unwrap();
        std::fs::read_to_string(run.path(artifacts::run_dir::SUMS)).unwrap()
    };
    assert_eq!(sums("a"), sums("b"));
}

/// An update as Debezium 3.6.3 wrote it in a rehearsal on real components.
const UPDATE: &str = r#"{"before":{"id":116,"name":"n","email":"e","note":null,"ver":1,"change_id":0,"updated_at":"2026-01-01T00:01:56.000116Z"},"after":{"id":116,"name":"n","email":"e","note":null,"ver":2,"change_id":9,"updated_at":"2026-11-22T23:29:06.359694Z"},"source":{"version":"3.6.3.Final","connector":"postgresql","name":"cdc3","ts_ms":1795390146360,"snapshot":"false","db":"testdb","sequence":"[null,\"570858504\"]","ts_us":1795390146360265,"ts_ns":1795390146360265000,"schema":"public","table":"customers","txId":734,"lsn":570858504,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"u","ts_ms":1795390146566,"ts_us":1795390146566801,"ts_ns":1795390146566801016}"#;

/// Names and types, in the order of the text.
fn shape(value: &str) -> Vec<(String, String)> {
    fn types(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        out.push((path.to_owned(), kind.to_owned()));
        for (name, value) in value.as_object().into_iter().flatten() {
            types(&format!("{path}/{name}"), value, out);
        }
    }
    let mut out = Vec::new();
    types("", &serde_json::from_str(value).unwrap(), &mut out);
    // The note may be null.
    out.retain(|(path, _)| !path.ends_with("/note"));
    out
}

#[test]
fn a_synthetic_event_has_the_shape_of_a_real_one() {
    let rehearsal = support::story::rehearse(&Plan::default());
    let update = rehearsal.records.iter().rfind(|r| r.op() == "u" && r.table == "public.customers").unwrap();
    let text = update.value.as_ref().unwrap();
    assert_eq!(shape(text), shape(UPDATE));
    let places = |text: &str| {
        let names = ["before", "after", "source", "txId", "lsn", "transaction", "op"];
        names.map(|name| text.rfind(&format!("\"{name}\":")).unwrap())
    };
    assert!(places(text).is_sorted() && places(UPDATE).is_sorted(), "fields come in the same order");
    assert!(rehearsal.records.iter().any(|r| r.op() == Op::Delete.to_string()));
}
