//! The rehearsal around the workload: steps, snapshots, markers, samples.

use std::collections::BTreeMap;

use artifacts::collected::{Collected, ReadTo};
use artifacts::drain::{Drain, Offsets, Settled};
use artifacts::events::{Event, EventKind, StepResult};
use artifacts::ledger::Phase;
use artifacts::position::{By, Lsn, Position};
use artifacts::row::{self, Column, Digest, Fingerprint};
use artifacts::run::Run;
use artifacts::snapshot::{Bounds, Role, Server, Snapshot, StoredOffset, TableState};
use artifacts::summary::Summary;
use artifacts::{Result, SCHEMA};
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::setup::{connector, raw_offset, run, slot, strings};
use super::sim::{NEW, OLD, PREFIX, Sim, start};
use super::{Plan, Record, Sink};

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

/// Everything of a rehearsal but its ledger and its records.
#[derive(Debug, Clone)]
pub struct Told {
    /// `run.json`
    pub run: Run,
    /// `snapshots/*.json`
    pub snapshots: BTreeMap<String, Snapshot>,
    /// `events.jsonl`
    pub events: Vec<Event>,
    /// Rows of the new database at the end: table to key to digest.
    pub rows_after: BTreeMap<String, BTreeMap<i64, Digest>>,
    /// Digests of their columns.
    pub columns_after: BTreeMap<String, BTreeMap<i64, String>>,
    /// The drain before the cut.
    pub first_drain: Drain,
    /// The last drain.
    pub drain_again: Drain,
    /// `collected.json`
    pub collected: Collected,
    /// What the data generator says.
    pub summaries: BTreeMap<Phase, Summary>,
}

/// Simulates a rehearsal of option b; ledger and records go to `sink`.
///
/// # Errors
/// The sink cannot take them.
pub fn tell(plan: &Plan, sink: &mut dyn Sink) -> Result<Told> {
    let mut sim = Sim::new(plan, sink)?;
    let mut story = Story { rebase: plan.rebase, ..Story::default() };
    ["up", "deploy-connector"].iter().for_each(|step| story.step(&mut sim, step));
    sim.work_before_snapshot()?;
    sim.snapshot()?;
    story.step(&mut sim, "start-generator");
    sim.work()?;
    story.snapshot(&sim, "before", Role::Old, sim.lsn - 0x40);
    ["capture-before", "stop-generator", "fence-writers"].iter().for_each(|step| story.step(&mut sim, step));
    let first_drain = story.marker(&mut sim, "f0e1", Phase::Before)?;
    ["drain", "stop-connector"].iter().for_each(|step| story.step(&mut sim, step));
    let cut = first_drain.marker.lsn.0;
    story.snapshot(&sim, "cut", Role::Old, cut);
    ["capture-cut", "backup", "upgrade-database"].iter().for_each(|step| story.step(&mut sim, step));
    sim.upgrade(NEW_START);
    story.restored(&sim);
    let offset = if plan.rebase { NEW_START } else { cut };
    story.snapshot(&sim, "at-resume", Role::New, offset);
    for step in &STEPS[11..18] {
        story.step(&mut sim, step);
    }
    sim.deaf = !plan.rebase;
    sim.work()?;
    let drain_again = story.marker(&mut sim, "a1b2", Phase::After)?;
    for step in &STEPS[18..21] {
        story.step(&mut sim, step);
    }
    let stored = if plan.rebase { drain_again.marker.lsn.0 } else { offset };
    story.snapshot(&sim, "after", Role::New, stored);
    ["capture-after", "collect"].iter().for_each(|step| story.step(&mut sim, step));
    let collected = Collected {
        schema: SCHEMA.into(),
        cut: first_drain.ends.clone(),
        topics: bounds(&sim.ends, |end| ReadTo { start: 0, end, read: end }),
        settled: Some(drain_again.settled),
    };
    let Story { events, snapshots, .. } = story;
    let (rows_after, columns_after) = (sim.digests(), sim.column_digests());
    let (run, summaries) = (run(plan), std::mem::take(&mut sim.summaries));
    Ok(Told {
        run,
        snapshots,
        events,
        rows_after,
        columns_after,
        first_drain,
        drain_again,
        collected,
        summaries,
    })
}

#[derive(Default)]
struct Story {
    rebase: bool,
    events: Vec<Event>,
    snapshots: BTreeMap<String, Snapshot>,
}

impl Story {
    fn event(&mut self, sim: &mut Sim<'_>, step: Option<&str>, kind: EventKind) {
        let no = step.and_then(|s| STEPS.iter().position(|name| *name == s)).map(|i| i as u32 + 1);
        let (seq, at) = (self.events.len() as u64 + 1, sim.tick(3));
        self.events.push(Event { seq, at, step: step.map(str::to_owned), no, attempt: 1, kind });
    }

    fn step(&mut self, sim: &mut Sim<'_>, name: &str) {
        self.event(sim, Some(name), EventKind::StepStarted);
        let no = STEPS.iter().position(|s| *s == name).map_or(0, |i| i + 1);
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

    fn sample(&mut self, sim: &mut Sim<'_>, no: usize) {
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

    /// Emits a marker and a heartbeat; what a drain makes of them.
    fn marker(&mut self, sim: &mut Sim<'_>, nonce: &str, phase: Phase) -> Result<Drain> {
        sim.lsn += 0x58;
        let (at_ms, lsn) = (sim.at_ms(), sim.lsn);
        let content = if phase == Phase::Before { "ZjBlMQ==" } else { "YTFiMg==" };
        let topic = format!("{PREFIX}.message");
        let mut send = |topic: String, key: Value, value: Value| {
            sim.record(Record::beside(topic, phase, at_ms, &key, &value))
        };
        let message = json!({"op": "m", "ts_ms": at_ms, "source": {"lsn": lsn, "db": "testdb"},
            "message": {"prefix": "drain", "content": content}});
        send(topic.clone(), json!({"prefix": "drain"}), message)?;
        let heartbeat = format!("__debezium-heartbeat.{PREFIX}");
        send(heartbeat, json!({"serverName": PREFIX}), json!({"ts_ms": at_ms}))?;
        let offset = sim.ends.get(&topic).and_then(|partitions| partitions.get(&0)).copied();
        let arrived = offset.filter(|_| !sim.deaf).map(|end| (topic, 0, end - 1));
        let system = if phase == Phase::Before { OLD } else { NEW };
        let lsn = Lsn(lsn);
        Ok(Drain {
            nonce: nonce.into(),
            marker: Position { lsn, system_identifier: system.into(), timeline: 1, by: By::Server },
            stored_lsn_commit: arrived.as_ref().map(|_| lsn),
            settled: if arrived.is_some() { Settled::Marker } else { Settled::Idle },
            arrived,
            ends: sim.ends.clone(),
        })
    }

    fn restored(&mut self, sim: &Sim<'_>) {
        self.snapshot(sim, "restored", Role::New, 0);
        if let Some(restored) = self.snapshots.get_mut("restored") {
            (restored.slot, restored.offset, restored.connector) = (None, None, None);
            restored.topics.clear();
        }
    }

    fn snapshot(&mut self, sim: &Sim<'_>, name: &str, role: Role, offset: u64) {
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
        let identity =
            |(table, columns): (String, Vec<Column>)| (table, row::replica_identity(&columns).to_owned());
        let lost = name == "after" && !self.rebase;
        let snapshot = Snapshot {
            schema: SCHEMA.into(),
            name: name.into(),
            taken_at: start() + TimeDelta::milliseconds(sim.ms),
            server,
            slot: slot(sim.lsn - 0x140, if lost { NEW_START } else { sim.lsn - 0x40 }),
            publication: Some(json!({"name": "debezium_publication", "tables": sim.names(),
                "insert": true, "update": true, "delete": true, "truncate": true})),
            replica_identity: row::tables().into_iter().map(identity).collect(),
            tables,
            sequences: sim.sequences.iter().map(|(t, n)| (format!("{t}_id_seq"), *n)).collect(),
            roles: strings(&[("cdc_writer", "login"), ("debezium", "login replication")]),
            settings: strings(&[("wal_level", "logical"), ("max_replication_slots", "10")]),
            offset: Some(StoredOffset {
                position: position(offset, offset_system, By::Attributed),
                raw: raw_offset(offset),
            }),
            connector: Some(connector(role, sim.metadata())),
            topics: bounds(&sim.ends, |end| Bounds { start: 0, end }),
            subjects: None,
            audit: None,
            slot_pending: matches!(name, "cut" | "after").then(|| sim.pending.clone()),
            unobserved: strings(&[("/subjects", "no Schema Registry in this stack")]),
        };
        self.snapshots.insert(name.into(), snapshot);
    }
}

/// The ends of all partitions as something that is said of each.
fn bounds<T>(ends: &Offsets, of: impl Fn(i64) -> T) -> BTreeMap<String, BTreeMap<i32, T>> {
    let partitions = |list: &BTreeMap<i32, i64>| list.iter().map(|(p, end)| (*p, of(*end))).collect();
    ends.iter().map(|(topic, list)| (topic.clone(), partitions(list))).collect()
}

/// A table as a snapshot has it.
pub fn state<'a>(rows: impl Iterator<Item = &'a Digest>) -> TableState {
    let mut sum = Fingerprint::default();
    rows.for_each(|digest| sum.add(*digest));
    TableState { rows: sum.rows, fingerprint: sum.to_string() }
}
