//! `cargo xtask ps`: the processes of the stack.

use stack::ServiceStatus;

use super::target::{existing, option};
use crate::console;
use crate::exit::Outcome;
use crate::flags::Look;

/// One line per process that was started and not stopped.
pub(crate) fn run(args: &Look) -> anyhow::Result<Outcome> {
    let processes = existing(&args.stack.name)?.processes();
    if args.json {
        return console::json(&processes);
    }
    if processes.is_empty() {
        console::say(&format!("nothing runs: start it with: cargo xtask up{}", option(&args.stack.name)));
        return Ok(Outcome::Done);
    }
    let number = |n: Option<u32>| n.map_or("-".to_owned(), |n| n.to_string());
    let row = |p: &ServiceStatus| {
        vec![
            p.service.clone(),
            if p.alive { "alive" } else { "ended" }.to_owned(),
            number(p.pid),
            number(p.port.map(u32::from)),
            p.rss_bytes.map_or("-".to_owned(), |b| format!("{} MiB", b >> 20)),
            p.log.display().to_string(),
        ]
    };
    let rows: Vec<_> = processes.iter().map(row).collect();
    console::table(&["service", "state", ">pid", ">port", ">memory", "log"], &rows);
    Ok(Outcome::Done)
}
