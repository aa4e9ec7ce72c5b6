//! `cargo xtask down`: leaves no process; with `--volumes` no folder.

use anyhow::Context;
use stack::StackLock;

use super::open_stack;
use crate::console;
use crate::exit::Outcome;
use crate::flags::Down;

/// May be called twice, and after a crash of anything. `--backups` alone leaves everything running.
pub(crate) async fn run(args: &Down) -> anyhow::Result<Outcome> {
    let _lock = StackLock::acquire(&args.stack.name, false)?;
    let mut stack = open_stack(&args.stack)?;
    let backups = stack.state_dir().join("backups");
    if args.backups && !args.volumes {
        if backups.exists() {
            std::fs::remove_dir_all(&backups)
                .with_context(|| format!("cannot remove {}", backups.display()))?;
        }
        console::say("backups removed");
        return Ok(Outcome::Done);
    }
    let down = stack.down(args.volumes).await?;
    console::say(&format!(
        "{} processes ended{}",
        down.ended,
        if args.volumes { ", data removed" } else { "" }
    ));
    Ok(Outcome::Done)
}
