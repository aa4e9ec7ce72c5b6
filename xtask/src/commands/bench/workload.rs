//! The data generator beside pgbench, and without its ledger: what that costs. On a server with fsync, in a copy of the
//! same database each time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use artifacts::snapshot::Role;
use data_generator::Summary;
use stack::Stack;
use stack::observe::{Silent, silent};
use stack::postgres::{Client, Login, Roles};
use stack::wait::{self, Probe};

use super::measure::{Series, Took, measured};
use super::pgbench;
use super::table::Row;
use crate::console;
use crate::cx::{Who, login};
use crate::generator;

const CLIENTS: u32 = 8;
const SEED: u64 = 1;
/// In each table.
const SEED_ROWS: u64 = 20_000;
/// Everything is in it that a turn begins with.
const SEEDED: &str = "testdb";
const TURN: &str = "turn";
/// Durable, as in production. Each client of pgbench prepares a statement anew for each place in its script, and
/// would plan the first five uses of each.
const SETTINGS: [(&str, &str); 2] = [("fsync", "on"), ("plan_cache_mode", "force_generic_plan")];
const SETTLED: Duration = Duration::from_secs(10);
/// So much may the changes of both sides differ, in hundredths: they are decided at random.
const APART: i64 = 10;

/// A server, and the ledger of what it was filled with.
struct Ground<'a> {
    stack: &'a Stack,
    admin: Client,
    dir: PathBuf,
}

/// With the ledger and without, both beside pgbench.
pub(super) async fn rows(stack: &Stack, changes: u64, times: usize) -> anyhow::Result<Vec<Row>> {
    tokio::task::spawn_blocking(|| generator::build(&Silent)).await??;
    let ground = Ground::fill(stack).await?;
    let script = ground.dir.join("transaction.pgbench");
    std::fs::write(&script, pgbench::script())
        .with_context(|| format!("cannot write {}", script.display()))?;
    let pgbench = Path::new(stack.tool("pgbench", Role::Old)?.get_program()).is_file();
    if !pgbench {
        console::say("skipped: pgbench (this build of PostgreSQL has none)");
    }
    let mut sides = [Side::default(), Side::default(), Side::default()];
    for _ in 0..times {
        let (with, transactions) = ground.generator(changes, true).await?;
        if pgbench {
            let peer = ground.pgbench(&script, transactions).await?;
            peer.alike(&with)?;
            sides[1].add(&peer);
        }
        sides[0].add(&with);
        sides[2].add(&ground.generator(changes, false).await?.0);
    }
    let [with, peer, without] = sides;
    let transactions = with.transactions;
    let note = format!("{}; {changes} changes", speed(&with, pgbench.then_some(&peer)));
    let share = with.rate() / without.rate();
    let cost = format!("{}; with the ledger {share:.2} of it", speed(&without, pgbench.then_some(&peer)));
    let peer = pgbench.then_some(("pgbench", peer.series));
    let row = |what, side: Side, note| Row {
        what,
        amount: transactions,
        ours: side.series,
        peer: peer.clone(),
        note,
    };
    Ok(vec![row("workload, transactions", with, note), row("workload, its ledger off", without, cost)])
}

/// `8000 transactions/s, 0.95 of pgbench's 8421`
fn speed(side: &Side, peer: Option<&Side>) -> String {
    let rate = side.rate();
    let beside = peer.map(|peer| format!(", {:.2} of the {:.0} of pgbench", rate / peer.rate(), peer.rate()));
    format!("{rate:.0} transactions/s{}", beside.unwrap_or_default())
}

/// What one program did in all turns.
#[derive(Default)]
struct Side {
    series: Series,
    /// Transactions per second as it says itself, without the time before it began.
    rates: Vec<f64>,
    /// Of the last turn.
    transactions: u64,
}

impl Side {
    fn add(&mut self, turn: &Turn) {
        self.series.add(turn.took);
        self.rates.push(turn.rate);
        self.rates.sort_by(f64::total_cmp);
        self.transactions = turn.transactions;
    }

    /// The median.
    fn rate(&self) -> f64 {
        self.rates.get(self.rates.len() / 2).copied().unwrap_or_default()
    }
}

/// One run of one program.
#[derive(Debug)]
struct Turn {
    took: Took,
    rate: f64,
    transactions: u64,
    /// Rows inserted, updated and deleted, as the server counted.
    rows: [i64; 3],
}

impl Turn {
    /// # Errors
    /// The other side has had more to do, or less.
    fn alike(&self, other: &Self) -> anyhow::Result<()> {
        let near = |(a, b): (&i64, &i64)| (a - b).abs() * 100 <= a.max(b) * APART;
        ensure!(
            self.rows.iter().zip(&other.rows).all(near),
            "rows inserted, updated and deleted: {:?} by pgbench, {:?} by the data generator",
            self.rows,
            other.rows
        );
        Ok(())
    }
}

impl<'a> Ground<'a> {
    /// Fills the server of a stack that was just made.
    async fn fill(stack: &'a Stack) -> anyhow::Result<Self> {
        let dir = stack.state_dir().join("workload");
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let connect = |database: &str| login(stack, database, Role::Old, Who::Superuser);
        let admin = Client::connect(&connect("postgres")?, Role::Old, silent()).await?;
        for (name, value) in SETTINGS {
            admin.execute(&format!("ALTER SYSTEM SET {name} = {value}")).await?;
        }
        admin.execute("SELECT pg_reload_conf()").await?;
        settled(&admin).await?;
        let secrets = stack.secrets();
        let roles = Roles {
            debezium_password: secrets.debezium.clone(),
            writer_password: secrets.app_writer.clone(),
            writer_login: true,
        };
        let source = Client::connect(&connect(SEEDED)?, Role::Old, silent()).await?;
        source.prepare_source(&roles, "debezium_publication", false).await?;
        data_generator::seed(&connect(SEEDED)?.config(), &dir.join("seeded.jsonl"), SEED, SEED_ROWS).await?;
        // No order belongs to a customer that pgbench deletes: it cannot know which have none.
        let half = SEED_ROWS / 2;
        let free =
            format!("UPDATE public.orders SET customer_id = customer_id - {half} WHERE customer_id > {half}");
        source.execute(&free).await?;
        source.execute("VACUUM ANALYZE").await?;
        Ok(Self { stack, admin, dir })
    }

    /// The database and the ledger as they were before the first turn.
    async fn fresh(&self) -> anyhow::Result<PathBuf> {
        for statement in [
            format!("DROP DATABASE IF EXISTS {TURN} WITH (FORCE)"),
            format!("CREATE DATABASE {TURN} TEMPLATE {SEEDED}"),
            "CHECKPOINT".to_owned(),
        ] {
            self.admin.execute(&statement).await?;
        }
        let ledger = self.dir.join("turn.jsonl");
        std::fs::copy(self.dir.join("seeded.jsonl"), &ledger)
            .with_context(|| format!("cannot write {}", ledger.display()))?;
        Ok(ledger)
    }

    /// The data generator; how many transactions it made.
    async fn generator(&self, changes: u64, recorded: bool) -> anyhow::Result<(Turn, u64)> {
        let ledger = self.fresh().await?;
        let Login { host, port, user, password, .. } = login(self.stack, TURN, Role::Old, Who::Superuser)?;
        let mut command = Command::new(generator::program()?);
        command.arg(format!("--host={host}")).arg(format!("--port={port}")).arg(format!("--user={user}"));
        command.arg(format!("--database={TURN}")).arg(format!("--seed={SEED}"));
        command.arg(format!("--clients={CLIENTS}")).arg(format!("--changes={}", changes));
        command.arg("--ledger").arg(&ledger).env("PGPASSWORD", password);
        command.args((!recorded).then_some("--unrecorded"));
        self.stack.adopt(&mut command, generator::SERVICE);
        let before = super::size(&ledger)?;
        let (took, said) = measured(command).await?;
        ensure!(
            (super::size(&ledger)? > before) == recorded,
            "the ledger of the data generator is not as asked for"
        );
        let summary: Summary = serde_json::from_str(&said).context("the summary of the data generator")?;
        ensure!(
            summary.transactions.unknown == 0 && summary.untouched == 0,
            "the workload was disturbed: {said}"
        );
        let transactions = summary.transactions.acknowledged + summary.transactions.refused;
        let rate = transactions as f64 / summary.elapsed_s;
        Ok((Turn { took, rate, transactions, rows: self.touched().await? }, transactions))
    }

    async fn pgbench(&self, script: &Path, transactions: u64) -> anyhow::Result<Turn> {
        self.fresh().await?;
        let mut command = self.stack.tool("pgbench", Role::Old)?;
        pgbench::options(&mut command, CLIENTS, transactions.div_ceil(CLIENTS.into()));
        command.arg("--file").arg(script).arg(TURN);
        let (took, said) = measured(command).await?;
        Ok(Turn { took, rate: pgbench::rate(&said)?, transactions, rows: self.touched().await? })
    }

    /// Rows inserted, updated and deleted in this turn, those that were rolled back included.
    async fn touched(&self) -> anyhow::Result<[i64; 3]> {
        let turn = login(self.stack, TURN, Role::Old, Who::Superuser)?;
        let client = Client::connect(&turn, Role::Old, silent()).await?;
        let counts = client
            .json(
                "SELECT sum(n_tup_ins)::bigint AS i, sum(n_tup_upd)::bigint AS u, sum(n_tup_del)::bigint AS d \
                 FROM pg_stat_user_tables",
            )
            .await?;
        let count = |name| counts.first().and_then(|row| row.get(name)?.as_i64());
        match [count("i"), count("u"), count("d")] {
            [Some(inserted), Some(updated), Some(deleted)] => Ok([inserted, updated, deleted]),
            _ => anyhow::bail!("the server does not say what it has done: {counts:?}"),
        }
    }
}

/// Waits until the server works with [`SETTINGS`], as it says itself.
async fn settled(admin: &Client) -> anyhow::Result<()> {
    let names = SETTINGS.map(|(name, _)| format!("'{name}'")).join(", ");
    let query = format!("SELECT name, setting FROM pg_settings WHERE name IN ({names})");
    let probe = || async {
        match admin.json(&query).await {
            Ok(rows)
                if SETTINGS.iter().all(|(name, value)| {
                    rows.iter().any(|r| r["name"] == *name && r["setting"] == *value)
                }) =>
            {
                Probe::Ready(())
            }
            Ok(rows) => Probe::NotYet(format!("{rows:?}")),
            Err(e) => Probe::Never(e.to_string()),
        }
    };
    Ok(wait::until(&Silent, "a server with fsync", SETTLED, probe).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(rows: [i64; 3]) -> Turn {
        let took = Took { wall: Duration::ZERO, cpu: Duration::ZERO, peak_bytes: 0 };
        Turn { took, rate: 0.0, transactions: 1, rows }
    }

    #[test]
    fn other_work_is_no_measure() {
        let ours = turn([6_000, 3_000, 1_000]);
        assert!(turn([6_100, 2_900, 1_050]).alike(&ours).is_ok());
        let error = turn([6_000, 3_000, 800]).alike(&ours).unwrap_err().to_string();
        assert!(error.contains("[6000, 3000, 800] by pgbench"), "{error}");
        assert!(turn([0, 0, 0]).alike(&ours).is_err());
    }

    #[test]
    fn the_rate_is_a_median_beside_the_other() {
        let side = |rates: &[f64]| Side { rates: rates.to_vec(), ..Side::default() };
        let (ours, peer) = (side(&[8_000.0, 9_000.0, 20_000.0]), side(&[10_000.0]));
        assert_eq!(speed(&ours, Some(&peer)), "9000 transactions/s, 0.90 of the 10000 of pgbench");
        assert_eq!(speed(&ours, None), "9000 transactions/s");
    }
}
