//! One module per command; this one chooses.

mod bench;
mod ci;
mod compare;
mod completions;
mod confirm;
mod connector;
mod decommission;
mod doctor;
mod down;
mod images;
mod logs;
mod ping;
mod ps;
mod replication;
mod runs;
mod screenshots;
mod self_test;
mod status;
mod step;
mod synth;
mod target;
mod topics;
mod upgrade;

use std::time::Duration;

use clap::Parser;
use stack::{Kind, Stack};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console;
use crate::exit::{Outcome, Usage};
use crate::flags::{Cli, Command, Format, Kafka, Ports, RehearsalArgs, StackArgs, StackKind};
use crate::{request, tidy};

/// Time to say in the evidence that a signal came.
const GRACE: Duration = Duration::from_millis(1500);

/// Reads the command line and runs the command; clap itself ends usage errors with 2.
pub(crate) fn dispatch() -> anyhow::Result<Outcome> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Upgrade(args) => upgrade::run(args, Signals::limited()?).await,
            Command::Step(command) => step::run(runs::found(command)?, Signals::limited()?).await,
            Command::Doctor(args) => doctor::run(&args).await,
            Command::Ps(args) => ps::run(&args),
            Command::Down(args) => down::run(&args).await,
            Command::Decommission(args) => decommission::run(&args).await,
            Command::Status(args) => status::show(&args).await,
            Command::Ping(args) => ping::run(&args).await,
            Command::Logs(args) => logs::run(&args).await,
            Command::Topics(args) => topics::list(&args).await,
            Command::Events(args) => topics::events(&args).await,
            Command::Replication(args) => replication::show(&args).await,
            Command::Slots { what } => replication::slots(&what).await,
            Command::PauseConnector(args) => connector::pause(&args).await,
            Command::RestartConnector(args) => connector::restart(&args).await,
            Command::ResetOffsets(args) => connector::reset_offsets(&args).await,
            Command::DeleteConnector(args) => connector::delete(&args).await,
            Command::Runs(args) => runs::list(&args),
            Command::SelfTest(args) => self_test::run(&args).await,
            Command::Synth(args) => synth::run(&args).await,
            Command::Bench(args) => bench::run(&args, Signals::listen()?).await,
            Command::BenchCollect(args) => bench::collect(&args).await,
            Command::BenchLoad(args) => bench::load(&args).await,
            Command::Images(args) => images::run(&args).await,
            Command::Compare(args) => compare::run(&args),
            Command::Screenshots(args) => screenshots::run(&args).await,
            Command::Tidy(args) => tidy::run(&args),
            Command::Ci(args) => ci::run(&args, Signals::listen()?).await,
            Command::Completions { shell } => Ok(completions::print(shell)),
        }
    });
    // Blocking reads of Kafka may still be under way after a signal.
    runtime.shutdown_background();
    outcome
}

/// Opens the named stack; starts nothing. One that is there stays where it is.
fn open_stack(args: &StackArgs) -> anyhow::Result<Stack> {
    let asked = match args.stack {
        StackKind::Auto => None,
        StackKind::Native => Some(Kind::Native),
        StackKind::Compose => Some(Kind::Compose),
    };
    if let (Some(asked), Some(kept)) = (asked, Stack::kept(&args.name)?)
        && asked != kept
    {
        let name = &args.name;
        let text = format!(
            "--stack {asked}: the stack '{name}' is {kept}; take another --name, or remove it with: \
             cargo xtask down --volumes --name {name}"
        );
        return Err(Usage(text).into());
    }
    open_as(args, asked.unwrap_or(Kind::Native))
}

/// The same for commands that begin a rehearsal: says where a stack goes that may be anywhere, and why.
async fn choose_stack(args: &StackArgs, rehearsal: &RehearsalArgs) -> anyhow::Result<Stack> {
    if args.stack != StackKind::Auto || Stack::kept(&args.name)?.is_some() {
        return open_stack(args);
    }
    let majors = request::majors(rehearsal.from, rehearsal.to)?;
    let parts = stack::Parts {
        zookeeper: rehearsal.kafka == Some(Kafka::ZooKeeper),
        registry: rehearsal.format == Some(Format::Avro),
    };
    let (kind, why) = stack::choose(majors, parts).await;
    console::say(&format!("the stack '{}' is {kind}: {why}", args.name));
    open_as(args, kind)
}

fn open_as(args: &StackArgs, kind: Kind) -> anyhow::Result<Stack> {
    Ok(Stack::open(stack::Options {
        name: args.name.clone(),
        kind,
        install: !args.no_install,
        standard_ports: args.ports == Ports::Standard,
    })?)
}

/// Opens a stack by its name, for commands that install and start nothing.
fn open_named(name: &str) -> anyhow::Result<Stack> {
    let options =
        stack::Options { name: name.into(), kind: Kind::Native, install: false, standard_ports: false };
    Ok(Stack::open(options)?)
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

    /// For what can be gone on with: the program ends [`GRACE`] after the first signal, and at the second one at
    /// once, whatever it is doing.
    fn limited() -> std::io::Result<Self> {
        let mut guard = Self::listen()?;
        tokio::spawn(async move {
            let number = guard.next().await;
            // Whichever of the two it is.
            let _ = tokio::time::timeout(GRACE, guard.next()).await;
            std::process::exit(128 + i32::from(number))
        });
        Self::listen()
    }

    /// The number of the next signal: 2 or 15.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}
