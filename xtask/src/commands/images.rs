//! `cargo xtask images`: images of the compose stack where none can be pulled.

use stack::observe::Silent;

use crate::exit::Outcome;
use crate::flags::Images;
use crate::{console, generator, request};

/// Builds those whose inputs have changed. `--offline` is the only way so far, and has to be said.
pub(crate) async fn run(args: &Images) -> anyhow::Result<Outcome> {
    debug_assert!(args.offline, "clap requires it");
    let majors = request::majors(args.from, args.to)?;
    tokio::task::spawn_blocking(|| generator::build(&Silent)).await??;
    let built = stack::images::build_offline(majors, &generator::program()?, !args.no_install).await?;
    let all = stack::images::names(majors);
    console::say(&format!("{} of {} images built, the others are up to date", built.len(), all.len()));
    all.iter().for_each(|name| console::data(name));
    Ok(Outcome::Done)
}
