//! `cargo xtask ps`: the processes of the stack.

use super::open_stack;
use crate::console;
use crate::exit::Outcome;
use crate::flags::StackArgs;

/// One line per process.
pub(crate) fn run(args: &StackArgs) -> anyhow::Result<Outcome> {
    let stack = open_stack(args)?;
    console::data(&format!("{:<16}{:<8}{:>8}{:>8}{:>10}  log", "service", "state", "pid", "port", "memory"));
    for p in stack.processes() {
        let state = if p.alive { "alive" } else { "dead" };
        let number = |n: Option<u32>| n.map_or("-".to_owned(), |n| n.to_string());
        let memory = p.rss_bytes.map_or("-".to_owned(), |b| format!("{} MiB", b >> 20));
        console::data(&format!(
            "{:<16}{state:<8}{:>8}{:>8}{memory:>10}  {}",
            p.service,
            number(p.pid),
            number(p.port.map(u32::from)),
            p.log.display()
        ));
    }
    Ok(Outcome::Done)
}
