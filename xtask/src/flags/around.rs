//! Flags of the commands around a rehearsal: monitoring, troubleshooting, clean-up.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::values::{stack_name, whole};

/// The components that have a log.
const SERVICES: [&str; 7] =
    ["kafka", "zookeeper", "schema-registry", "connect", "postgres-old", "postgres-new", "data-generator"];

/// Which stack, for commands that install and start nothing.
#[derive(Debug, Clone, Args)]
pub(crate) struct Name {
    /// Name of the stack
    #[arg(long, default_value = "lab", value_parser = stack_name)]
    pub(crate) name: String,
}

/// Flags of commands that only look.
#[derive(Debug, Clone, Args)]
pub(crate) struct Look {
    #[command(flatten)]
    pub(crate) stack: Name,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of commands that destroy something.
#[derive(Debug, Clone, Args)]
pub(crate) struct Destructive {
    #[command(flatten)]
    pub(crate) stack: Name,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Flags of `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The component
    #[arg(value_name = "SERVICE", value_parser = SERVICES)]
    pub(crate) service: String,
    /// Go on with what is logged from now on, until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last lines [default: all]
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) tail: Option<u64>,
    #[command(flatten)]
    pub(crate) stack: Name,
}

/// Flags of `events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// The topic, see `cargo xtask topics`
    pub(crate) topic: String,
    /// Go on with what arrives from now on, until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// From the first event that is still there; this is the default
    #[arg(long, conflicts_with = "tail")]
    pub(crate) from_beginning: bool,
    /// Only the last events of each partition
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    pub(crate) tail: Option<u32>,
    /// End after this many events
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) max: Option<u64>,
    #[command(flatten)]
    pub(crate) stack: Name,
}

/// What to do with replication slots.
#[derive(Debug, Subcommand)]
pub(crate) enum Slots {
    /// List the slots of each running server
    #[command(after_help = "Example: cargo xtask slots list")]
    List(Look),
    /// Drop a slot; what it has not delivered yet is gone
    #[command(after_help = "Example: cargo xtask slots drop debezium_slot --server old --yes")]
    Drop(DropSlot),
}

/// Flags of `slots drop`.
#[derive(Debug, Args)]
pub(crate) struct DropSlot {
    /// The slot
    #[arg(value_name = "SLOT")]
    pub(crate) slot: String,
    /// The server that has it
    #[arg(long, value_enum)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) with: Destructive,
}

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    /// The one that is upgraded
    Old,
    /// The one of the later version
    New,
}

/// Flags of `down`.
#[derive(Debug, Args)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) with: Destructive,
    /// Remove the data of the stack, its ports, passwords and backups
    #[arg(long)]
    pub(crate) volumes: bool,
    /// Remove the backups only and leave everything running
    #[arg(long)]
    pub(crate) backups: bool,
}

/// Flags of `images`.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// From a Debian base and the programs of the native stack; as root on Debian, with a Docker engine
    #[arg(long, required = true)]
    pub(crate) offline: bool,
    /// Major version before [default: 15]
    #[arg(long)]
    pub(crate) from: Option<u32>,
    /// Major version after [default: 16]
    #[arg(long)]
    pub(crate) to: Option<u32>,
    /// Install nothing: end with the command to run when something is missing
    #[arg(long)]
    pub(crate) no_install: bool,
}

/// Flags of `runs`.
#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Only those of this stack
    #[arg(long, value_parser = stack_name)]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `self-test`.
#[derive(Debug, Args)]
pub(crate) struct SelfTest {
    /// A run that held, by name or path; it is only read [default: a synthetic one]
    #[arg(long, value_name = "DIR", conflicts_with = "events")]
    pub(crate) run: Option<PathBuf>,
    /// Events of the synthetic run, at least
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) events: u64,
    /// Seed of every random decision
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) seed: u64,
}

/// Flags of `synth`.
#[derive(Debug, Args)]
pub(crate) struct Synth {
    /// Events of rows, at least; half of them before the cut
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) events: u64,
    /// The run directory to make
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// A safeguard to leave out: every change behind the cut is then missing
    #[arg(long, value_name = "SAFEGUARD", value_parser = ["rebase-offsets"])]
    pub(crate) without: Option<String>,
    /// Seed of every random decision
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) seed: u64,
}

/// Flags of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Little of everything, three times each, instead of up to 10,000,000 events and five times
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure only this
    #[arg(long, value_enum)]
    pub(crate) only: Option<BenchPart>,
    /// Install nothing: leave out what is compared with when it is missing
    #[arg(long)]
    pub(crate) no_install: bool,
}

/// What `bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    /// Verdicts, beside DuckDB
    Verify,
    /// Reports
    Report,
    /// Collecting topics, beside kcat and zstd
    Collect,
    /// The data generator, beside pgbench
    Workload,
}

impl BenchPart {
    /// Whether it is measured when `only` is asked for.
    pub(crate) fn is_wanted(self, only: Option<Self>) -> bool {
        only.is_none_or(|only| only == self)
    }
}

/// Flags of `bench-collect`.
#[derive(Debug, Args)]
pub(crate) struct BenchCollect {
    /// Host and port of Kafka
    #[arg(long)]
    pub(crate) brokers: String,
    /// What the names of the topics begin with
    #[arg(long)]
    pub(crate) prefix: String,
    /// The file
    #[arg(long)]
    pub(crate) out: PathBuf,
}

/// Flags of `bench-load`.
#[derive(Debug, Args)]
pub(crate) struct BenchLoad {
    /// Host and port of Kafka
    #[arg(long)]
    pub(crate) brokers: String,
    /// The run directory
    #[arg(long)]
    pub(crate) run: PathBuf,
}

/// Flags of `compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The run on the left: a run directory, or its name among the runs
    #[arg(value_name = "RUN")]
    pub(crate) left: PathBuf,
    /// The run on the right
    #[arg(value_name = "OTHER")]
    pub(crate) right: PathBuf,
    /// The page to write [default: in the folder of the runs, named by both]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Flags of `screenshots`.
#[derive(Debug, Args)]
pub(crate) struct Screenshots {
    /// The run: a run directory, or its name among the runs
    #[arg(long, value_name = "DIR", default_value = "latest")]
    pub(crate) run: PathBuf,
    /// The picture to write [default: docs/report.png]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Install nothing: end with the command to run when Chromium is missing
    #[arg(long)]
    pub(crate) no_install: bool,
}

/// A shell that completions can be printed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}
