//! `cargo xtask synth`: a synthetic run directory, for measuring the verifier and for trying it out.

use anyhow::Context;
use report::synth::{self, Plan};

use crate::console;
use crate::exit::{Outcome, Usage};
use crate::flags::Synth;

/// Writes it and prints its path.
pub(crate) async fn run(args: &Synth) -> anyhow::Result<Outcome> {
    if args.out.exists() {
        return Err(Usage(format!("{} is there already: name another folder", args.out.display())).into());
    }
    let parent = args.out.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let plan = Plan { rebase: args.without.is_none(), ..Plan::of_events(args.events, args.seed) };
    let out = args.out.clone();
    let run = tokio::task::spawn_blocking(move || synth::write(&plan, &out)).await??;
    console::say("synthetic: nothing ran, so there are no logs and no outputs of commands");
    console::data(&run.root().display().to_string());
    Ok(Outcome::Done)
}
