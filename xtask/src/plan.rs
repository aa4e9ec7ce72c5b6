//! `--dry-run`: the commands that would be run, in a form that can be pasted.

use artifacts::row;
use artifacts::run::Run;
use artifacts::snapshot::Role;
use stack::postgres::ADD_COLUMN_SQL;
use stack::{Kind, Stack};

use crate::console;
use crate::generator;
use crate::steps::{self, Step};

/// What `upgrade-database` runs for option a.
const IN_PLACE: [&str; 7] = [
    "kill -INT {old-pid}  # fast shutdown of PostgreSQL {from}",
    "pg_controldata -D {old-data}  # shut down",
    "initdb -D {new-data}",
    "pg_upgrade --check {pg-upgrade}",
    "pg_upgrade {pg-upgrade}",
    "{start-new}",
    "{psql} -c ANALYZE",
];

/// The same in containers.
const IN_PLACE_BY_COMPOSE: [&str; 5] = [
    "docker kill --signal INT postgres  # fast shutdown of PostgreSQL {from}",
    "docker compose run --rm pg-upgrade --retain --check{link}",
    "docker compose run --rm pg-upgrade --retain{link}",
    "{start-new}",
    "{psql} -c ANALYZE",
];

const ON_OLD_FILES: [&str; 2] = ["stop PostgreSQL {from}", "{start-new} on its files"];
const PAUSE: [&str; 2] = ["curl -X PUT {connector}/pause", "curl {connector}/status"];
const RESET: [&str; 1] = ["curl -X DELETE {connector}/offsets"];

/// Prints the plan of a whole rehearsal.
pub(crate) fn all(info: &Run, stack: &Stack) {
    steps::plan(info).into_iter().for_each(|step| one(step, info, stack));
}

/// Prints the plan of a step.
pub(crate) fn one(step: &Step, info: &Run, stack: &Stack) {
    let skipped = step.skipped(info);
    let why = skipped.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    console::data(&format!("# {:02} {}{why}", step.no(), step.name));
    if skipped.is_none() {
        commands(step, info, stack.kind())
            .iter()
            .for_each(|command| console::data(&fill(command, step.role, info, stack)));
    }
}

/// The commands of a step as this run does it.
fn commands(step: &Step, info: &Run, kind: Kind) -> &'static [&'static str] {
    match step.name {
        "upgrade-database" if !info.keeps("pg-upgrade") => &ON_OLD_FILES,
        "upgrade-database" if info.option == "a" && kind == Kind::Compose => &IN_PLACE_BY_COMPOSE,
        "upgrade-database" if info.option == "a" => &IN_PLACE,
        "stop-connector" if !info.keeps("stop-connector") => &PAUSE,
        "rebase-offsets" if info.offsets == "reset" => &RESET,
        _ => step.commands,
    }
}

fn fill(command: &str, role: Role, info: &Run, stack: &Stack) -> String {
    let endpoints = stack.endpoints();
    // In place, the new server has the port of the old one.
    let server = if info.option == "a" { endpoints.postgres(Role::Old) } else { None };
    let server = server.or(endpoints.postgres(role));
    let data = |role: Role| {
        stack.state_dir().join("postgres").join(role.to_string()).join("data").display().to_string()
    };
    let link = if info.transfer.as_deref() == Some("link") { " --link" } else { "" };
    let bins = format!("--old-bindir POSTGRESQL-{}/bin --new-bindir POSTGRESQL-{}/bin", info.from, info.to);
    let datas = format!("--old-datadir {} --new-datadir {}", data(Role::Old), data(Role::New));
    let (host, port) =
        server.map_or(("127.0.0.1".into(), "PORT".into()), |s| (s.host.clone(), s.port.to_string()));
    let names = &info.names;
    let fingerprint = |(table, columns): (&String, &Vec<row::Column>)| {
        format!("{{psql}} -c \"{}\"", row::fingerprint_sql(table, columns))
    };
    let fingerprints: Vec<String> = row::tables().iter().map(fingerprint).collect();
    [
        ("{fingerprints}", fingerprints.join("\n")),
        ("{psql}", format!("psql -h {host} -p {port} -U postgres -d {}", names.database)),
        ("{connector}", format!("{}/connectors/{}", endpoints.connect, names.connector)),
        (
            "{start-stack}",
            format!(
                "start PostgreSQL {}, {}{}Kafka and Kafka Connect",
                info.from,
                if info.kafka == "zookeeper" { "ZooKeeper, " } else { "" },
                if info.format == "avro" { "Schema Registry, " } else { "" }
            ),
        ),
        ("{start-new}", format!("start PostgreSQL {} on port {port}", info.to)),
        ("{add-column}", if info.add_column { ADD_COLUMN_SQL.replace('\n', " ") } else { String::new() }),
        ("{workload}", generator::options(&info.workload).join(" ")),
        (
            "{generator-pid}",
            format!("\"$(jq .pid {})\"", stack.state_dir().join("run/data-generator.pid").display()),
        ),
        ("{pg-upgrade}", format!("{bins} {datas} --username=postgres --retain{link}")),
        ("{old-pid}", format!("\"$(head -1 {}/postmaster.pid)\"", data(Role::Old))),
        ("{old-data}", data(Role::Old)),
        ("{new-data}", data(Role::New)),
        ("{link}", link.into()),
        ("{from}", info.from.to_string()),
        ("{database}", names.database.clone()),
        ("{slot}", names.slot.clone()),
        ("{publication}", names.publication.clone()),
        ("{prefix}", names.prefix.clone()),
    ]
    .iter()
    .fold(command.to_owned(), |text, (name, value)| text.replace(name, value))
}
