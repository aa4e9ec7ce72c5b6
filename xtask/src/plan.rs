//! `--dry-run`: the commands that would be run, in a form that can be pasted.

use artifacts::run::Run;
use artifacts::snapshot::Role;
use stack::Stack;

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
        let in_place = step.name == "upgrade-database" && info.option == "a";
        let commands = if in_place { &IN_PLACE } else { step.commands };
        commands.iter().for_each(|command| console::data(&fill(command, step.role, info, stack)));
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
    [
        ("{psql}", format!("psql -h {host} -p {port} -U postgres -d {}", names.database)),
        ("{connector}", format!("{}/connectors/{}", endpoints.connect, names.connector)),
        ("{start-stack}", format!("start PostgreSQL {}, Kafka and Kafka Connect", info.from)),
        ("{start-new}", format!("start PostgreSQL {} on port {port}", info.to)),
        ("{workload}", generator::options(&info.workload).join(" ")),
        ("{generator-pid}", "\"$(pgrep -x data-generator)\"".into()),
        ("{pg-upgrade}", format!("{bins} {datas} --username=postgres --retain{link}")),
        ("{old-pid}", format!("\"$(head -1 {}/postmaster.pid)\"", data(Role::Old))),
        ("{old-data}", data(Role::Old)),
        ("{new-data}", data(Role::New)),
        ("{from}", info.from.to_string()),
        ("{database}", names.database.clone()),
        ("{slot}", names.slot.clone()),
        ("{publication}", names.publication.clone()),
        ("{prefix}", names.prefix.clone()),
    ]
    .iter()
    .fold(command.to_owned(), |text, (name, value)| text.replace(name, value))
}
