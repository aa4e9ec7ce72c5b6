//! `cargo xtask replication` and `cargo xtask slots`: what PostgreSQL knows of its consumers.
//!
//! Original README: `SELECT ... FROM pg_replication_slots` and `pg_drop_replication_slot`.

use artifacts::snapshot::Role;
use serde_json::{Map, Value, json};

use super::confirm::confirm;
use super::target::Target;
use crate::console;
use crate::exit::{Outcome, Usage};
use crate::flags::{DropSlot, Look, Server, Slots};

const SLOTS: &str = "SELECT s.*, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS retained_bytes \
                     FROM pg_replication_slots s ORDER BY slot_name";
const SLOT_COLUMNS: [&str; 9] = [
    "server",
    "slot_name",
    "plugin",
    "slot_type",
    "active",
    "confirmed_flush_lsn",
    "restart_lsn",
    ">retained_bytes",
    "wal_status",
];
const SENDER_COLUMNS: [&str; 9] = [
    "server",
    ">pid",
    "usename",
    "application_name",
    "state",
    "sent_lsn",
    "write_lsn",
    "flush_lsn",
    "replay_lsn",
];

type Rows = Vec<Map<String, Value>>;

/// A server that runs.
struct Seen {
    role: Role,
    version: String,
    wal_lsn: String,
    slots: Rows,
    senders: Rows,
}

/// Slots and WAL senders of each running server.
pub(crate) async fn show(args: &Look) -> anyhow::Result<Outcome> {
    let servers = look(&args.stack).await?;
    if args.json {
        return console::json(&servers.iter().map(Seen::json).collect::<Vec<_>>());
    }
    for Seen { role, version, wal_lsn, .. } in &servers {
        console::say(&format!("the {role} server: PostgreSQL {version}, WAL at {wal_lsn}"));
    }
    print("replication slots", &SLOT_COLUMNS, &named(&servers, |seen| &seen.slots));
    print("WAL senders", &SENDER_COLUMNS, &named(&servers, |seen| &seen.senders));
    Ok(Outcome::Done)
}

/// `slots list` and `slots drop`.
pub(crate) async fn slots(what: &Slots) -> anyhow::Result<Outcome> {
    match what {
        Slots::List(args) => list(args).await,
        Slots::Drop(args) => drop_slot(args).await,
    }
}

async fn list(args: &Look) -> anyhow::Result<Outcome> {
    let slots = named(&look(&args.stack).await?, |seen| &seen.slots);
    if args.json {
        return console::json(&slots);
    }
    print("replication slots", &SLOT_COLUMNS, &slots);
    Ok(Outcome::Done)
}

/// Rows of all servers, each with the name of its server.
fn named(servers: &[Seen], rows: impl Fn(&Seen) -> &Rows) -> Rows {
    let of_server = |seen: &Seen| {
        let server = Value::from(seen.role.to_string());
        let name = |row: &Map<String, Value>| {
            let mut row = row.clone();
            row.insert("server".into(), server.clone());
            row
        };
        rows(seen).iter().map(name).collect::<Rows>()
    };
    servers.iter().flat_map(of_server).collect()
}

/// Refused while something streams from it.
async fn drop_slot(args: &DropSlot) -> anyhow::Result<Outcome> {
    let role = match args.server {
        Server::Old => Role::Old,
        Server::New => Role::New,
    };
    let slot = &args.slot;
    let server = Target::look(&args.with.stack)?.postgres(role).await?;
    let known = server.slots().await?;
    let known: Vec<&str> = known.iter().filter_map(|row| row.get("slot_name")?.as_str()).collect();
    if !known.contains(&slot.as_str()) {
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        return Err(Usage(format!("there is no slot {slot} on the {role} server; it has {known}")).into());
    }
    let consequence = format!("what the slot {slot} of the {role} server has not delivered yet will be gone");
    if let Some(ended) = confirm(args.with.yes, &consequence)? {
        return Ok(ended);
    }
    let target = Target::change(&args.with.stack, &format!("slots drop {slot} --server {role}"))?;
    let dropped = target.postgres(role).await?.drop_slot(slot).await?;
    target.done()?;
    console::say(&format!("slot {slot} {}", if dropped { "dropped" } else { "is gone already" }));
    Ok(Outcome::Done)
}

/// Asks each running server.
async fn look(name: &crate::flags::Name) -> anyhow::Result<Vec<Seen>> {
    let target = Target::look(name)?;
    let mut seen = Vec::new();
    for role in target.servers() {
        let client = target.postgres(role).await?;
        let server = client.server().await?;
        seen.push(Seen {
            role,
            version: server.version,
            wal_lsn: server.position.lsn.to_string(),
            slots: client.json(SLOTS).await?,
            senders: client.json("SELECT * FROM pg_stat_replication ORDER BY pid").await?,
        });
    }
    if seen.is_empty() {
        target.require("postgres-old")?;
    }
    Ok(seen)
}

impl Seen {
    fn json(&self) -> Value {
        let Self { role, version, wal_lsn, slots, senders } = self;
        json!({"server": role, "version": version, "wal_lsn": wal_lsn, "slots": slots, "senders": senders})
    }
}

fn print(what: &str, columns: &[&str], rows: &Rows) {
    if rows.is_empty() {
        console::say(&format!("no {what}"));
        return;
    }
    let cell = |row: &Map<String, Value>, column: &str| match row.get(column.trim_start_matches('>')) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(value)) => if *value { "yes" } else { "no" }.to_owned(),
        Some(other) => other.to_string(),
    };
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    console::table(columns, &rows);
}
