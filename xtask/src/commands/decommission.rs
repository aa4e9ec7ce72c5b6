//! `cargo xtask decommission`: the files of the old server, kept after an upgrade in place, are deleted.

use stack::StackLock;

use super::open_stack;
use crate::console;
use crate::exit::{Outcome, Usage};
use crate::flags::Decommission;

/// Only with `--yes`: until then the old cluster is the way back (after `--transfer copy`).
pub(crate) fn run(args: &Decommission) -> anyhow::Result<Outcome> {
    if !args.yes {
        let text = "this deletes the data folder of the old server for good: repeat with --yes";
        return Err(Usage(text.into()).into());
    }
    let _lock = StackLock::acquire(&args.stack.name)?;
    let freed = open_stack(&args.stack)?.decommission()?;
    console::say(&format!("the old server's files are deleted, {} MiB freed", freed >> 20));
    Ok(Outcome::Done)
}
