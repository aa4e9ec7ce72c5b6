//! The main job with events in Avro: the same verdicts as with JSON, without a registry to ask.

use artifacts::findings::{Findings, Verdict};
use artifacts::schemas::{FILE, Schemas};
use artifacts::{consumed, schemas};
use report::avro;
use serde_json::Value;

use crate::support::{STACK, check, expect, findings, not_held, run_of};

#[test]
fn held_with_avro() {
    let words = format!("upgrade --option b --format avro --changes 1000 --keep-up --name {STACK}");
    let run = run_of(&expect(0, &words));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    let total = &found.counts.total;
    assert!(total.acknowledged >= 2_000 && total.delivered == total.acknowledged, "{total:?}");

    // The evidence has the bytes, and the schemas that they name.
    let info = run.run().unwrap();
    assert!(info.format == "avro" && info.versions.contains_key("schema-registry"));
    let known: Schemas = run.read(FILE).unwrap();
    assert!(known.unknown.is_empty(), "{:?}", known.unknown);
    for record in consumed::Reader::open(&run.path("consumed.jsonl.zst")).unwrap() {
        let record = record.unwrap();
        for raw in [record.key, record.value].into_iter().flatten() {
            let id = schemas::id(&raw).unwrap_or_else(|| panic!("{} has {raw}", record.topic));
            assert!(known.ids.contains_key(&id), "schema {id}");
        }
    }
    let after = run.snapshot("after").unwrap().unwrap();
    let orders = format!("{}.public.orders-value", info.names.prefix);
    assert_eq!(after.subjects.as_ref().unwrap()[&orders], known.subjects[&orders]);
    assert!(std::fs::read_to_string(run.path("report.html")).unwrap().contains("Schema Registry subjects"));
    expect(0, &format!("self-test --run {}", run.root().display()));

    // A schema that is not there any more makes nothing but doubt.
    let path = run.path(FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let id = known.subjects[&orders].versions[&1];
    let without = Schemas { ids: known.ids.clone().into_iter().filter(|(n, _)| *n != id).collect(), ..known };
    let sums = run.path("SHA256SUMS");
    let sealed = std::fs::read_to_string(&sums).unwrap();
    std::fs::write(&path, serde_json::to_string(&without).unwrap()).unwrap();
    std::fs::write(&sums, artifacts::seal::sums(run.root()).unwrap()).unwrap();
    expect(4, &format!("verify --run {}", run.root().display()));
    let told = format!("{:?}", check(&findings(&run), "nothing-missing"));
    let part = format!("the value cannot be decoded: schema {id} is not in schemas.json");
    assert!(told.contains(&part) && told.contains("consumed.jsonl.zst"), "{told}");
    std::fs::write(&path, text).unwrap();
    std::fs::write(&sums, sealed).unwrap();

    looks(&format!("{}.public.orders", info.names.prefix));
    // With the registry switched off, and the rest of the stack.
    expect(0, &format!("down --name {STACK}"));
    expect(0, &format!("verify --run {}", run.root().display()));
    assert_eq!(findings(&run), found);
}

/// The registry is a component as the others, and what it knows is there after a crash.
fn looks(topic: &str) {
    let json = |words: &str| -> Value {
        serde_json::from_slice(&expect(0, &format!("{words} --json --name {STACK}")).stdout).unwrap()
    };
    let printed = expect(0, &format!("events {topic} --max 3 --name {STACK}"));
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    for line in printed.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["key"]["id"].is_u64() && event["value"]["op"] == "r", "{line}");
    }
    assert_eq!(printed.lines().count(), 3);
    let log = expect(0, &format!("logs schema-registry --tail 50 --name {STACK}"));
    assert!(String::from_utf8_lossy(&log.stdout).contains("apicurio-registry"));
    let answer = || {
        let answers = json("ping");
        let mut all = answers.as_array().unwrap().iter();
        all.find(|a| a["component"] == "schema-registry").unwrap()["answer"].as_str().unwrap().to_owned()
    };
    let subjects = answer();
    let processes = json("ps");
    let registry = processes.as_array().unwrap().iter().find(|p| p["service"] == "schema-registry").unwrap();
    let kill = std::process::Command::new("kill").args(["-9", &registry["pid"].to_string()]).status();
    assert!(kill.unwrap().success());
    expect(0, &format!("up --format avro --changes 0 --name {STACK}"));
    assert_eq!(answer(), subjects);
}

/// Events of both schemas are decoded, each by the one that wrote it.
#[test]
fn a_column_added_between_the_phases() {
    for format in ["avro", "json"] {
        let words =
            format!("upgrade --option b --format {format} --add-column --changes 1000 --name {STACK}");
        let run = run_of(&expect(0, &words));
        let found = findings(&run);
        assert_eq!(found.verdict, Verdict::Held, "{format}: {:?}", not_held(&found));
        let schemas = avro::Schemas::read(&run);
        let topic = format!("{}.public.orders", run.run().unwrap().names.prefix);
        let decoder = avro::Decoder::new(&schemas);
        let cut = run.collected().unwrap().unwrap().cut[&topic][&0];
        let (mut before, mut after) = (0, 0);
        for record in consumed::Reader::open(&run.path("consumed.jsonl.zst")).unwrap() {
            let mut record = record.unwrap();
            decoder.decode(&mut record).unwrap();
            let value = record.value.filter(|_| record.topic == topic);
            let Some(value) = value.map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap()) else {
                continue;
            };
            let row = if value["after"].is_null() { &value["before"] } else { &value["after"] };
            if record.offset < cut {
                assert!(row["id"].is_u64() && row.get("added").is_none(), "{row}");
                before += 1;
            } else {
                assert_eq!(row["added"], "after the upgrade", "{row}");
                after += 1;
            }
        }
        assert!(before > 200 && after > 200, "{before} before, {after} after");
        let report = std::fs::read_to_string(run.path("report.md")).unwrap();
        assert!(report.contains(" --add-column"), "the same run once more: {report}");
        if format == "avro" {
            let subjects = |name: &str| run.snapshot(name).unwrap().unwrap().subjects.unwrap();
            let versions = |name: &str, topic: &str| subjects(name)[&format!("{topic}-value")].versions.len();
            assert_eq!((versions("before", &topic), versions("after", &topic)), (1, 2));
            let other = topic.replace("orders", "customers");
            assert_eq!(versions("after", &other), 1);
        }
    }
}

#[test]
fn avro_and_json_lose_the_same() {
    let lose = |format: &str| -> Findings {
        let words = "upgrade --option b --without rebase-offsets --changes 1000";
        findings(&run_of(&expect(1, &format!("{words} --format {format} --name {STACK}"))))
    };
    let [json, avro] = ["json", "avro"].map(lose);
    let verdicts = |f: &Findings| f.checks.iter().map(|c| (c.name.clone(), c.verdict)).collect::<Vec<_>>();
    assert_eq!(verdicts(&avro), verdicts(&json));
    for found in [&avro, &json] {
        // The last transaction of a client may be larger than what is left to do: a few more than 1,000.
        let after = &found.counts.by_phase["after"];
        assert!(after.acknowledged >= 1_000 && after.missing == after.acknowledged, "{after:?}");
        assert_eq!(found.counts.total.missing, after.missing);
    }
}
