//! `cargo xtask down`: leaves no process; with `--volumes` no folder.
//!
//! Original README: `docker-compose down`, `down -v`, and `rm` of the backup.

use anyhow::Context;
use artifacts::events::EventKind;
use stack::StackLock;
use stack::observe::Observer;

use super::confirm::confirm;
use super::open_named;
use super::target::recorder;
use crate::console;
use crate::exit::Outcome;
use crate::flags::Down;

/// May be called twice, and after a crash of anything. `--backups` alone leaves everything running.
pub(crate) async fn run(args: &Down) -> anyhow::Result<Outcome> {
    let name = &args.with.stack.name;
    let folder = open_named(name)?.state_dir().to_owned();
    let (removed, what) = match (args.volumes, args.backups) {
        (true, _) => (Some(folder), "all data of the stack, topics, passwords and backups"),
        (false, true) => (Some(folder.join("backups")), "all backups of the stack"),
        (false, false) => (None, ""),
    };
    if let Some(folder) = removed.as_ref().filter(|folder| folder.exists())
        && let Some(ended) =
            confirm(args.with.yes, &format!("{what} ({}) will be removed", folder.display()))?
    {
        return Ok(ended);
    }
    let _lock = StackLock::acquire(name)?;
    let mut stack = open_named(name)?;
    if let Some(backups) = removed.filter(|_| !args.volumes) {
        if backups.exists() {
            std::fs::remove_dir_all(&backups)
                .with_context(|| format!("cannot remove {}", backups.display()))?;
        }
        console::say("backups removed");
        return Ok(Outcome::Done);
    }
    // A run that cannot be written is no reason to let processes run.
    let recorder = recorder(&stack).unwrap_or_default();
    let running: Vec<String> = stack.processes().into_iter().filter(|p| p.alive).map(|p| p.service).collect();
    if !running.is_empty() {
        console::say(&format!("stopping {} ...", running.join(", ")));
    }
    let down = stack.down(args.volumes).await?;
    let ended = match down.ended {
        0 => "nothing was running".to_owned(),
        1 => "1 process ended".to_owned(),
        n => format!("{n} processes ended"),
    };
    if let Some(recorder) = recorder.filter(|_| down.ended > 0) {
        recorder.event(EventKind::Note { text: format!("by hand: cargo xtask down: {ended}") }, None);
    }
    console::say(&format!("{ended}{}", if args.volumes { ", data removed" } else { "" }));
    Ok(Outcome::Done)
}
