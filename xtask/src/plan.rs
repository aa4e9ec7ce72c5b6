//! `--dry-run`: the commands that would be run, in a form that can be pasted.

use artifacts::run::Run;
use artifacts::snapshot::Role;
use stack::Stack;

use crate::console;
use crate::generator;
use crate::steps::{self, Step};

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
        step.commands.iter().for_each(|command| console::data(&fill(command, step.role, info, stack)));
    }
}

fn fill(command: &str, role: Role, info: &Run, stack: &Stack) -> String {
    let endpoints = stack.endpoints();
    let server = endpoints.postgres(role);
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
        ("{database}", names.database.clone()),
        ("{slot}", names.slot.clone()),
        ("{publication}", names.publication.clone()),
        ("{prefix}", names.prefix.clone()),
    ]
    .iter()
    .fold(command.to_owned(), |text, (name, value)| text.replace(name, value))
}
