//! The options, and what the terminal shows.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use data_generator::{Counts, Job, Mix, Phase, Summary, Tally, Workload, seed_of};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

const EXAMPLES: &str = "\
Examples:
  data-generator --ledger ledger.jsonl --changes 5000
  data-generator --ledger ledger.jsonl --rate 200 --duration 60 --mix 50:40:10 --key-skew 1.1
  data-generator --ledger ledger.jsonl --phase after --port 5433 --changes 5000 --summary after.json

The password is taken from PGPASSWORD. SIGTERM and SIGINT end the workload: open transactions are
finished, the ledger is complete, the exit code is 0. A run on an existing ledger goes on from it.

Exit codes: 0 done or stopped; 1 the work could not be done; 2 usage.";

/// Changes the tables public.customers and public.orders, and keeps a ledger of what it did.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Host name or address of the server.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port of the server.
    #[arg(long, default_value_t = 5432)]
    port: u16,
    /// Role; its password is taken from PGPASSWORD.
    #[arg(long, default_value = "postgres")]
    user: String,
    /// Database.
    #[arg(long, default_value = "testdb")]
    database: String,
    /// The ledger; made when it is not there, continued when it is.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// What the ledger says about when it was.
    #[arg(long, value_enum, default_value_t = PhaseOption::Before)]
    phase: PhaseOption,
    /// End when so many changes are acknowledged [default: until stopped].
    #[arg(long, value_name = "N")]
    changes: Option<u64>,
    /// Changes per second over all clients; 0 is as fast as it goes.
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = not_negative)]
    rate: f64,
    /// End after so many seconds [default: until stopped].
    #[arg(long, value_name = "S", value_parser = not_negative)]
    duration: Option<f64>,
    /// Concurrent clients, one connection each.
    #[arg(long, value_name = "C", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// Changes per transaction: 1 to T at random; a statement that changes several rows counts as one.
    #[arg(long, value_name = "T", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tx_size: u32,
    /// Weights of inserts, updates and deletes.
    #[arg(long, value_name = "I:U:D", default_value = "60:30:10", value_parser = mix)]
    mix: Mix,
    /// Zipf exponent of the choice of rows to change; 0 is uniform.
    #[arg(long, value_name = "Z", default_value_t = 0.0, value_parser = not_negative)]
    key_skew: f64,
    /// Characters in the wide column.
    #[arg(long, value_name = "CHARACTERS", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    row_size: u32,
    /// Some inserts are a COPY of 2 to N orders, whose rows share positions in the WAL; 0: none.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    copy_rows: u32,
    /// Seed of every random decision [default: that of the ledger, or 1].
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Read the ledger and write nothing to it: what is done cannot be verified. Only for measurements of what the
    /// ledger costs.
    #[arg(long, hide = true)]
    unrecorded: bool,
    /// Where the summary goes as JSON [default: stdout].
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PhaseOption {
    Before,
    After,
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() && n >= 0.0 => Ok(n),
        _ => Err("not a number from 0 on".into()),
    }
}

fn mix(text: &str) -> Result<Mix, String> {
    let parts: Vec<u32> = text.split(':').map_while(|part| part.parse().ok()).collect();
    match parts[..] {
        [insert, update, delete] if text.matches(':').count() == 2 && parts.iter().any(|n| *n > 0) => {
            Ok(Mix { insert, update, delete })
        }
        _ => Err("not three weights such as 60:30:10, at least one above 0".into()),
    }
}

impl Options {
    /// What is to be done.
    pub(crate) fn job(&self) -> anyhow::Result<Job> {
        if self.duration.is_some_and(|s| s > 1e9) {
            return Err(crate::usage(
                "--duration is longer than 30 years; leave it out to run until stopped",
            ));
        }
        let mut server = tokio_postgres::Config::new();
        server.host(&self.host).port(self.port).user(&self.user).dbname(&self.database);
        if let Some(password) = std::env::var_os("PGPASSWORD") {
            server.password(password.as_encoded_bytes());
        }
        let seed = match self.seed {
            Some(seed) => seed,
            None => seed_of(&self.ledger)?.unwrap_or(1),
        };
        Ok(Job {
            server,
            ledger: self.ledger.clone(),
            workload: Workload {
                seed,
                changes: self.changes,
                rate: self.rate,
                duration_s: self.duration,
                clients: self.clients,
                tx_size: self.tx_size,
                mix: self.mix,
                key_skew: self.key_skew,
                row_size: self.row_size,
                copy_rows: self.copy_rows,
                seed_rows: 0,
            },
            phase: match self.phase {
                PhaseOption::Before => Phase::Before,
                PhaseOption::After => Phase::After,
            },
            recorded: !self.unrecorded,
        })
    }
}

/// Progress on stderr: a live line on a terminal, else a line now and then.
pub(crate) struct Progress {
    tally: Arc<Tally>,
    ticks: Interval,
    live: bool,
    begun: Instant,
    last: (Instant, u64),
}

impl Progress {
    pub(crate) fn new(tally: Arc<Tally>) -> Self {
        let live = std::io::stderr().is_terminal();
        let period = if live { Duration::from_millis(250) } else { Duration::from_secs(5) };
        let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let begun = Instant::now();
        Self { tally, ticks, live, begun, last: (begun, 0) }
    }

    /// Waits for the next line and writes it.
    pub(crate) async fn tick(&mut self) {
        self.ticks.tick().await;
        let [acknowledged, refused, unknown] = self.tally.changes();
        let now = Instant::now();
        let rate = (acknowledged - self.last.1) as f64 / (now - self.last.0).as_secs_f64();
        self.last = (now, acknowledged);
        let seconds = self.begun.elapsed().as_secs();
        let line = format!(
            "{seconds} s: {acknowledged} changes acknowledged ({rate:.0}/s), {refused} refused, {unknown} unknown"
        );
        let (before, after) = if self.live { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(std::io::stderr(), "{before}{line}{after}");
    }

    /// Takes the live line away.
    pub(crate) fn clear(&self) {
        if self.live {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// The summary for people, on stderr.
pub(crate) fn show(summary: &Summary) {
    let counts = |Counts { insert, update, delete }: &Counts| {
        format!("{} (insert {insert}, update {update}, delete {delete})", insert + update + delete)
    };
    let Summary { acknowledged, refused, unknown, transactions, latency_ms: ms, .. } = summary;
    let text = format!(
        "changes acknowledged  {}\nchanges refused       {}\nchanges unknown       {}\n\
         rows not found        {}\n\
         transactions          {} acknowledged, {} refused ({} rolled back on purpose), {} unknown\n\
         changes per second    {:.0} over {:.1} s\n\
         latency (ms)          p50 {:.2}, p90 {:.2}, p99 {:.2}, max {:.2}\n\
         reconnects            {}\n",
        counts(acknowledged),
        counts(refused),
        counts(unknown),
        summary.untouched,
        transactions.acknowledged,
        transactions.refused,
        transactions.rolled_back,
        transactions.unknown,
        summary.changes_per_second,
        summary.elapsed_s,
        ms.p50,
        ms.p90,
        ms.p99,
        ms.max,
        summary.reconnects,
    );
    let _ = std::io::stderr().write_all(text.as_bytes());
}
