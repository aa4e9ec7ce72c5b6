//! `cargo xtask decommission`: the files of the old server, kept after an upgrade in place, are deleted.

use stack::StackLock;

use super::confirm::confirm;
use super::open_named;
use crate::console;
use crate::exit::Outcome;
use crate::flags::Destructive;

/// Until then the old cluster is the way back (after `--transfer copy`).
pub(crate) async fn run(args: &Destructive) -> anyhow::Result<Outcome> {
    if let Some(ended) = confirm(args.yes, "the data folder of the old server will be deleted for good")? {
        return Ok(ended);
    }
    let name = &args.stack.name;
    let _lock = StackLock::acquire(name)?;
    let freed = open_named(name)?.decommission().await?;
    console::say(&format!("the old server's files are deleted, {} MiB freed", freed >> 20));
    Ok(Outcome::Done)
}
