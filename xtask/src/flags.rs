//! The command line: every flag of a rehearsal here, those of the commands around it in `around`.

mod around;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use around::{
    Bench, BenchCollect, BenchLoad, BenchPart, Compare, Destructive, Down, DropSlot, Events, Images, Logs,
    Look, Name, Runs, Screenshots, SelfTest, Server, Shell, Slots, Synth,
};

use crate::steps::StepCommand;
use values::{stack_name, trimmed, whole};

/// Rehearses a PostgreSQL major upgrade under Debezium on real components and tells whether events
/// were lost, repeated or reordered.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
#[command(after_help = "Start with:  cargo xtask upgrade --option b\n\
    Exit codes: 0 held, 1 broken, 2 usage, 3 something is missing on this machine\n    or the stack is busy, 4 unknown, 5 a step failed, 130 and 143 on signals")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands that are not steps, then the steps.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Rehearse the whole upgrade: all steps below, in order, with verdict and report
    #[command(after_help = "Example: cargo xtask upgrade --option b --from 15 --to 16")]
    Upgrade(Upgrade),
    /// Tell what this machine has and what is missing; changes nothing
    #[command(after_help = "Example: cargo xtask doctor")]
    Doctor(Doctor),
    /// List the processes of the stack
    #[command(after_help = "Example: cargo xtask ps")]
    Ps(Look),
    /// Ask every component a real question, and Kafka Connect whether it reaches its database
    #[command(after_help = "Example: cargo xtask ping\nExit code 1 when something does not answer.")]
    Ping(Look),
    /// Print the log of a component
    #[command(after_help = "Example: cargo xtask logs connect -f --tail 20")]
    Logs(Logs),
    /// List the topics of Kafka with their records and end offsets
    #[command(after_help = "Example: cargo xtask topics")]
    Topics(Look),
    /// Print the events of a topic, a line of JSON each, as in consumed.jsonl
    #[command(after_help = "Example: cargo xtask events cdc.public.orders --max 5")]
    Events(Events),
    /// Show replication slots and WAL senders of each running server
    #[command(after_help = "Example: cargo xtask replication")]
    Replication(Look),
    /// List replication slots, or drop one
    #[command(arg_required_else_help = true, subcommand_required = true)]
    #[command(after_help = "Example: cargo xtask slots drop debezium_slot --server old")]
    Slots {
        #[command(subcommand)]
        what: Slots,
    },
    /// Ask Kafka Connect for connector, tasks and stored offset
    #[command(after_help = "Example: cargo xtask status")]
    Status(Look),
    /// Pause the connector as the original README does (PUT /pause); it keeps its slot busy
    #[command(after_help = "Example: cargo xtask pause-connector")]
    PauseConnector(Name),
    /// Restart connector and tasks; the way to revive a task that has failed
    #[command(after_help = "Example: cargo xtask restart-connector")]
    RestartConnector(Name),
    /// Stop the connector and delete its stored offset: it then starts with a snapshot
    #[command(after_help = "Example: cargo xtask reset-offsets --yes")]
    ResetOffsets(Destructive),
    /// Delete the connector; Kafka Connect keeps its stored offset under its name
    #[command(after_help = "Example: cargo xtask delete-connector --yes")]
    DeleteConnector(Destructive),
    /// Stop every process of the stack; with --volumes remove its data as well
    #[command(after_help = "Example: cargo xtask down --volumes --yes")]
    Down(Down),
    /// List the run directories with their verdicts, newest first
    #[command(after_help = "Example: cargo xtask runs --name lab")]
    Runs(Runs),
    /// Write two runs side by side as one page: verdicts, checks, counts, downtimes, durations, set-up
    #[command(after_help = "Example: cargo xtask compare latest 20261122T231125Z-b-15-16-no-rebase-offsets")]
    Compare(Compare),
    /// Take the picture of a report that the README shows, by headless Chromium
    #[command(after_help = "Example: cargo xtask screenshots --run latest")]
    Screenshots(Screenshots),
    /// Delete the files of the old server after an upgrade in place; there is no way back then
    #[command(after_help = "Example: cargo xtask decommission --yes")]
    Decommission(Destructive),
    /// Plant known faults into copies of a run and tell which of them the verifier misses
    #[command(
        after_help = "Example: cargo xtask self-test --events 100000\nExit code 1 when a fault is missed, or more is named than was planted."
    )]
    SelfTest(SelfTest),
    /// Write a synthetic run directory of any size: events in Debezium's format, a matching ledger
    #[command(after_help = "Example: cargo xtask synth --events 1000000 --out /tmp/synthetic")]
    Synth(Synth),
    /// Measure this program and what it is compared with on the same data; prints a Markdown table
    #[command(after_help = "Example: cargo xtask bench --quick")]
    Bench(Bench),
    /// Write the records of all topics with a prefix, as `collect` does: what `bench` measures
    #[command(hide = true)]
    BenchCollect(BenchCollect),
    /// Put the events of a run into Kafka
    #[command(hide = true)]
    BenchLoad(BenchLoad),
    /// Build the images of the compose stack where none can be pulled
    #[command(after_help = "Example: cargo xtask images --offline")]
    Images(Images),
    /// Check the rules of this code base; with --fix write the generated documents
    #[command(after_help = "Example: cargo xtask tidy --fix")]
    Tidy(Tidy),
    /// Run every check and test of the project, on real components
    #[command(after_help = "Example: cargo xtask ci")]
    Ci(Ci),
    /// Print completions of `cargo xtask` for a shell
    #[command(after_help = "Example: source <(cargo xtask completions bash)")]
    Completions { shell: Shell },
    #[command(flatten)]
    Step(StepCommand),
}

/// Which stack.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Stack")]
pub(crate) struct StackArgs {
    /// Where the components run
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) stack: StackKind,
    /// Name of the stack; stacks of different names run side by side
    #[arg(long, default_value = "lab", value_parser = stack_name)]
    pub(crate) name: String,
    /// Install nothing: end with the command to run when something is missing
    #[arg(long)]
    pub(crate) no_install: bool,
    /// `auto` picks free ports and keeps them; `standard` is 5432, 5433, 9092, 8081 and 8083
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) ports: Ports,
}

/// Where the components run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StackKind {
    /// Where the stack is already; else compose when a Docker engine answers and has the images, else native
    Auto,
    /// Processes on 127.0.0.1
    Native,
    /// Containers of Docker Compose, published on 127.0.0.1
    Compose,
}

/// How ports are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ports {
    Auto,
    Standard,
}

/// Who controls Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kafka {
    /// Kafka itself
    Kraft,
    /// ZooKeeper, with the last line of Kafka that can do without KRaft
    #[value(name = "zookeeper")]
    ZooKeeper,
}

/// How events are written to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON without schemas
    Json,
    /// Avro, its schemas in a Schema Registry
    Avro,
}

/// How the upgrade is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UpgradeOption {
    /// In place, by pg_upgrade
    A,
    /// A new instance, filled by pg_dump and pg_restore
    B,
}

/// How pg_upgrade brings the files of the old cluster into the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transfer {
    /// The old cluster stays as it was
    Copy,
    /// Both have the same files: no time, no room, no way back
    Link,
}

/// Where the WAL of the old server stands, compared with that of the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LsnCase {
    /// The old server is far ahead, as in production
    Ahead,
    /// The new server is past the stored offset
    Behind,
    /// The old server is ahead, until the new one passes the stored offset while it is written to
    Overtaken,
}

/// What becomes of the connector's stored offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Offsets {
    /// Replaced by the position of the new slot
    Rebase,
    /// Deleted; the connector starts at the new slot, without a snapshot (snapshot.mode=no_data)
    Reset,
    /// Left as it is
    Keep,
}

/// Debezium's `offset.mismatch.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum MismatchStrategy {
    /// The stored offset is taken as it is
    NoValidation,
    /// The slot is advanced to the stored offset
    TrustOffset,
    /// The connector starts at the slot
    TrustSlot,
    /// Whichever is further
    TrustGreaterLsn,
}

/// What is rehearsed. Named once, these are kept in run.json; a step refuses to contradict it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Rehearsal (kept in run.json; refused if contradicted)")]
pub(crate) struct RehearsalArgs {
    /// How the upgrade is done [default: b]
    #[arg(long, value_enum)]
    pub(crate) option: Option<UpgradeOption>,
    /// Major version before [default: 15]
    #[arg(long)]
    pub(crate) from: Option<u32>,
    /// Major version after [default: 16]
    #[arg(long)]
    pub(crate) to: Option<u32>,
    /// How pg_upgrade brings the files into the new cluster; option a only [default: copy]
    #[arg(long, value_enum)]
    pub(crate) transfer: Option<Transfer>,
    /// Where the WAL of the old server stands, compared with that of the new one; with option a always
    /// behind [default: ahead]
    #[arg(long, value_enum)]
    pub(crate) lsn_case: Option<LsnCase>,
    /// Who controls Kafka; a stack that ran it otherwise begins without its topics [default: kraft]
    #[arg(long, value_enum)]
    pub(crate) kafka: Option<Kafka>,
    /// How events are written to Kafka; avro starts a Schema Registry [default: json]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Safeguards to leave out, separated by commas: writers-first, fence, drain, stop-connector,
    /// keep-publication, repoint-connector, rebase-offsets
    #[arg(long, value_delimiter = ',', value_name = "SAFEGUARD", value_parser = trimmed)]
    pub(crate) without: Vec<String>,
    /// Run the snippets of the original README literally, until one fails
    #[arg(long)]
    pub(crate) as_written: bool,
    /// What becomes of the stored offset; `keep` is --without rebase-offsets [default: rebase]
    #[arg(long, value_enum)]
    pub(crate) offsets: Option<Offsets>,
    /// What Debezium does when stored offset and slot disagree [default: that of Debezium, no_validation]
    #[arg(long, value_enum)]
    pub(crate) mismatch_strategy: Option<MismatchStrategy>,
    /// Run the connector without heartbeat
    #[arg(long)]
    pub(crate) no_heartbeat: bool,
    /// Count the changes a second time, by triggers on the captured tables
    #[arg(long)]
    pub(crate) audit: bool,
    /// Add a column to public.orders on the new server, after the connector has resumed and before anything
    /// writes: events of the after-phase have another schema
    #[arg(long)]
    pub(crate) add_column: bool,
    /// Repeated deliveries do not break the verdict
    #[arg(long)]
    pub(crate) allow_repeats: bool,
    #[command(flatten)]
    pub(crate) workload: WorkloadArgs,
}

/// What the data generator does, per phase.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Workload, per phase (kept in run.json)")]
pub(crate) struct WorkloadArgs {
    /// Changes to make, 0 for none [default: 5000, none when --duration is given]
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) changes: Option<u64>,
    /// Changes per second over all clients, 0 for as fast as it goes [default: 1000]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) rate: Option<f64>,
    /// Seconds
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) duration: Option<f64>,
    /// Concurrent clients [default: 4]
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    pub(crate) clients: Option<u32>,
    /// Changes per transaction at most; a statement that changes several rows counts as one [default: 4]
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    pub(crate) tx_size: Option<u32>,
    /// Weights of insert, update and delete [default: 60:30:10]
    #[arg(long, value_name = "I:U:D")]
    pub(crate) mix: Option<String>,
    /// 0 is uniform; higher prefers few keys (Zipf exponent) [default: 0]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) key_skew: Option<f64>,
    /// Characters in the wide column [default: 200]
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    pub(crate) row_size: Option<u32>,
    /// Some inserts are a COPY of 2 to N orders, whose rows share positions in the WAL; 0: none [default: 0]
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    pub(crate) copy_rows: Option<u32>,
    /// Seed of every random decision [default: 1]
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Rows in each table before the connector starts [default: 200]
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(crate) seed_rows: Option<u64>,
}

/// Flags of `upgrade`.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    #[command(flatten)]
    pub(crate) rehearsal: RehearsalArgs,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    /// Go on with the newest run of the stack, from the first step that it has not done
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) resume: bool,
    /// Leave the stack running after a held verdict as well
    #[arg(long)]
    pub(crate) keep_up: bool,
    /// Print the commands that would be run; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Flags of a step that is run alone.
#[derive(Debug, Clone, Args)]
pub(crate) struct StepArgs {
    #[command(flatten)]
    pub(crate) rehearsal: RehearsalArgs,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    /// The run directory to work on [default: the newest unsealed run of the stack]
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
    /// Print the commands that would be run; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `tidy`.
#[derive(Debug, Args)]
pub(crate) struct Tidy {
    /// Write the generated documents
    #[arg(long)]
    pub(crate) fix: bool,
}

/// Flags of `ci`.
#[derive(Debug, Args)]
pub(crate) struct Ci {
    /// The slow scenarios as well
    #[arg(long)]
    pub(crate) full: bool,
    /// Only the end-to-end scenarios whose name contains this
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
}
