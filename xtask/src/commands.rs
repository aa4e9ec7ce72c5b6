//! One module per command; this one chooses.

mod ci;
mod decommission;
mod doctor;
mod down;
mod ps;
mod runs;
mod status;
mod step;
mod upgrade;

use clap::{CommandFactory, Parser};
use stack::Stack;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Outcome;
use crate::flags::{Cli, Command, Ports, StackArgs};
use crate::{console, tidy};

/// Reads the command line and runs the command; clap itself ends usage errors with 2.
pub(crate) fn dispatch() -> anyhow::Result<Outcome> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Upgrade(args) => upgrade::run(args, Signals::listen()?).await,
            Command::Step(command) => step::run(command, Signals::listen()?).await,
            Command::Doctor(args) => doctor::run(&args),
            Command::Ps(args) => ps::run(&args),
            Command::Down(args) => down::run(&args).await,
            Command::Decommission(args) => decommission::run(&args),
            Command::Status(args) => status::show(&args).await,
            Command::PauseConnector(args) => status::pause(&args).await,
            Command::Runs => runs::list(),
            Command::Tidy(args) => tidy::run(&args),
            Command::Ci(args) => ci::run(&args, Signals::listen()?).await,
            Command::Completions { shell } => {
                let mut out = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "cargo-xtask", &mut out);
                console::data(String::from_utf8_lossy(&out).trim_end());
                Ok(Outcome::Done)
            }
        }
    });
    // Blocking reads of Kafka may still be under way after a signal.
    runtime.shutdown_background();
    outcome
}

/// Opens the named stack; starts nothing.
fn open_stack(args: &StackArgs) -> anyhow::Result<Stack> {
    Ok(Stack::open(stack::Options {
        name: args.name.clone(),
        install: !args.no_install,
        standard_ports: args.ports == Ports::Standard,
    })?)
}

/// SIGINT and SIGTERM, listened to from the start of the program.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The number of the next signal: 2 or 15.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}
