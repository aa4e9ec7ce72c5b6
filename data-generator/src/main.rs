//! `data-generator`: the workload from the command line.

mod cli;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use clap::error::ErrorKind;
use data_generator::{Error, Level, Stop, Summary, Tally};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Options, Progress};

/// Could not do the work.
const FAILED: u8 = 1;
/// Contradictory options.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt().without_time().with_target(false).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done =
        runtime.context("cannot start the runtime").and_then(|runtime| runtime.block_on(run(&options)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let usage = error.downcast_ref::<clap::Error>().is_some()
                || matches!(error.downcast_ref(), Some(Error::OtherSeed { .. }));
            // Nothing is left to be done when stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(if usage { USAGE } else { FAILED })
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let job = options.job()?;
    let (stop, tally) = (Stop::default(), Arc::new(Tally::default()));
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut progress = Progress::new(tally.clone());
    let mut running = std::pin::pin!(job.run(&stop, &tally));
    let summary = loop {
        let again = stop.is(Level::Finish);
        tokio::select! {
            done = &mut running => break done,
            _ = terminate.recv() => stop.raise(Level::Finish),
            _ = interrupt.recv() => stop.raise(if again { Level::GiveUp } else { Level::Finish }),
            () = progress.tick() => {}
        }
    };
    progress.clear();
    let summary = summary?;
    cli::show(&summary);
    write(options, &summary)
}

fn write(options: &Options, summary: &Summary) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(summary)?;
    text.push('\n');
    match &options.summary {
        Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display())),
        None => std::io::stdout().write_all(text.as_bytes()).context("cannot write the summary to stdout"),
    }
}

/// A usage error in clap's words.
fn usage(message: impl std::fmt::Display) -> anyhow::Error {
    clap::Error::raw(ErrorKind::ValueValidation, message).into()
}
