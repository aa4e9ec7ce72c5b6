//! The table of steps: one row per step of the corrected procedure, in order.
//!
//! The row's name is the command, the folder in the run directory (with its ordinal), the step of
//! the events and the anchor in README and report. Several rows may share a function.

mod as_written;
mod backup;
mod capture;
mod collect;
mod deploy_connector;
mod drain;
mod fence_writers;
mod open_writers;
mod rebase_offsets;
mod recreate_slot;
mod repoint_connector;
mod report;
mod resume_connector;
mod start_generator;
mod stop_connector;
mod stop_generator;
mod up;
mod upgrade_database;
mod verify;

use std::future::Future;
use std::pin::Pin;

use artifacts::ledger::Phase;
use artifacts::run::Run;
use artifacts::snapshot::Role;
use clap::{Args, FromArgMatches};

use crate::cx::Cx;
use crate::flags::StepArgs;
pub(crate) use collect::consume;

type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// A row of the table.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// The section of the original README that it replaces; empty: it is not in there.
    pub(crate) readme: &'static str,
    /// The safeguard that it is, or that decides how it is done.
    pub(crate) safeguard: Option<&'static str>,
    /// What it does and what it waits for.
    pub(crate) about: &'static str,
    /// The file in `steps/`.
    pub(crate) file: &'static str,
    /// What it would run, in a form that can be pasted; see [`crate::plan`] for the placeholders.
    pub(crate) commands: &'static [&'static str],
    /// Which of the two databases it works on.
    pub(crate) role: Role,
    pub(crate) kind: Kind,
    pub(crate) run: for<'a> fn(&'a mut Cx) -> Running<'a>,
}

/// What a step needs, and when it runs after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Works on the stack.
    Procedure,
    /// Works on the stack; also after a step has failed with a safeguard left out.
    Closing,
    /// Reads the run directory alone; also after a failure.
    Derived,
}

impl Step {
    /// 1-based place in the table.
    pub(crate) fn no(&self) -> u32 {
        STEPS.iter().position(|s| s.name == self.name).map_or(0, |i| i as u32 + 1)
    }

    /// Why a run does without this step; none when it has to be done.
    pub(crate) fn skipped(&self, info: &Run) -> Option<String> {
        if self.name == "repoint-connector" && info.option == "a" {
            return Some("not needed: in place, the new server has the port of the old one".into());
        }
        // Looking at the old database at the cut is evidence, and changes nothing.
        if info.as_written
            && self.readme.is_empty()
            && self.kind == Kind::Procedure
            && self.name != "capture-cut"
        {
            return Some("not in the original README".into());
        }
        let safeguard = self.safeguard.filter(|name| SKIPPED.contains(name) && !info.keeps(name))?;
        Some(format!("left out: --without {safeguard}"))
    }

    /// Whether a flag does anything for the step: what is rehearsed is settled by `up`; other steps
    /// only refuse to contradict it.
    fn takes(&self, flag: &str) -> bool {
        if self.name == "up" { flag != "run" } else { matches!(flag, "name" | "run" | "dry_run" | "help") }
    }

    /// The phase of the rehearsal.
    pub(crate) fn phase(&self) -> Phase {
        match self.role {
            Role::Old => Phase::Before,
            Role::New => Phase::After,
        }
    }

    /// `steps/07-stop-connector`
    pub(crate) fn folder(&self) -> String {
        artifacts::RunDir::step(self.no(), self.name)
    }
}

/// Without these a step does not happen; without the others it happens otherwise.
const SKIPPED: [&str; 4] = ["fence", "drain", "repoint-connector", "rebase-offsets"];

/// Safeguards of the procedure, in the order of the table, each once.
pub(crate) fn safeguards() -> Vec<&'static str> {
    let mut list: Vec<&str> = Vec::new();
    for name in STEPS.iter().filter_map(|s| s.safeguard) {
        if !list.contains(&name) {
            list.push(name);
        }
    }
    list
}

/// The steps of a run in their order. Without `writers-first` the connector is stopped before the
/// workload, as the original README does.
pub(crate) fn plan(info: &Run) -> Vec<&'static Step> {
    let mut plan: Vec<&Step> = STEPS.iter().collect();
    if !info.keeps("writers-first") {
        let late = |step: &&Step| matches!(step.name, "stop-generator" | "fence-writers");
        let (writers, mut rest): (Vec<_>, Vec<_>) = plan.into_iter().partition(late);
        let behind = rest.iter().position(|step| step.name == "stop-connector").map_or(0, |at| at + 1);
        rest.splice(behind..behind, writers);
        plan = rest;
    }
    plan
}

/// The step of that name.
pub(crate) fn find(name: &str) -> Option<&'static Step> {
    STEPS.iter().find(|s| s.name == name)
}

macro_rules! step {
    ($name:literal, $readme:literal, $safeguard:expr, $role:ident, $kind:ident, $file:ident, $about:literal, $commands:expr) => {
        Step {
            name: $name,
            readme: $readme,
            safeguard: $safeguard,
            about: $about,
            file: stringify!($file),
            commands: &$commands,
            role: Role::$role,
            kind: Kind::$kind,
            run: |cx| Box::pin($file::run(cx)),
        }
    };
}

/// The corrected procedure.
#[rustfmt::skip]
pub(crate) static STEPS: [Step; 25] = [
    step!("up", "Quick Start 1-2", None, Old, Procedure, up,
        "Starts the stack with a fresh source database and opens a run. Every component answers a real request; the source's WAL stands where --lsn-case wants it.",
        ["{start-stack}", "{psql} -f schema.sql -f publication.sql"]),
    step!("deploy-connector", "Quick Start 3-4", None, Old, Procedure, deploy_connector,
        "Creates the connector. Waits until its task runs, the snapshot has ended and the slot is active.",
        ["curl -X PUT {connector}/config -H 'Content-Type: application/json' -d @connector.json", "curl {connector}/status"]),
    step!("start-generator", "Components: Data Generator", None, Old, Procedure, start_generator,
        "Starts the workload. Waits until the first change is acknowledged.",
        ["data-generator --phase before {workload}"]),
    step!("capture-before", "Step 1", None, Old, Procedure, capture,
        "Writes snapshots/before.json: slot row, offset, connector, publication, replica identity, topics, settings, versions, positions.",
        ["{psql} -c \"SELECT * FROM pg_replication_slots WHERE slot_name = '{slot}'\"", "curl {connector}/offsets"]),
    step!("stop-generator", "Step 3", Some("writers-first"), Old, Procedure, stop_generator,
        "Stops the workload before the connector. Waits until it has made its changes and ended with a complete ledger.",
        ["kill -TERM {generator-pid}"]),
    step!("fence-writers", "", Some("fence"), Old, Procedure, fence_writers,
        "Makes sure that nobody can commit any more: the writer role cannot log in, its backends are ended, no transaction id is open, no transaction is prepared. Then settles every unknown fate.",
        ["{psql} -c 'ALTER ROLE app_writer NOLOGIN'", "{psql} -c \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_writer'\"", "{psql} -c 'SELECT pid, usename, backend_xid FROM pg_stat_activity WHERE backend_xid IS NOT NULL'", "{psql} -c 'SELECT gid FROM pg_prepared_xacts'"]),
    step!("drain", "", Some("drain"), Old, Procedure, drain,
        "Proves that everything written was delivered: a marker in the WAL arrives in Kafka, and the stored offset passes it. The end offsets of all topics are the cut.",
        ["NONCE=$(openssl rand -hex 16)", "{psql} -c \"SELECT pg_logical_emit_message(true, 'wake', '$NONCE')\"", "{psql} -c \"SELECT pg_logical_emit_message(false, 'drain', '$NONCE')\"", "curl {connector}/offsets"]),
    step!("stop-connector", "Step 2", Some("stop-connector"), Old, Procedure, stop_connector,
        "Stops the connector and gives its slot free. Waits for STOPPED, no tasks and an inactive slot, then reads the offset again.",
        ["curl -X PUT {connector}/stop", "curl {connector}/offsets"]),
    step!("capture-cut", "", None, Old, Procedure, capture,
        "Writes snapshots/cut.json: fingerprints of the tables, sequences, roles, slot and offset. After a drain the slot peeks empty.",
        ["{fingerprints}", "{psql} -c \"SELECT count(*) FROM pg_logical_slot_peek_binary_changes('{slot}', NULL, NULL, 'proto_version', '1', 'publication_names', '{publication}')\""]),
    step!("backup", "Step 4", None, Old, Procedure, backup,
        "Dumps the database in custom format, with roles (without passwords) beside it; lists and checksums the dump.",
        ["pg_dumpall --globals-only --no-role-passwords -f globals.sql", "pg_dump -F c -f {database}.dump {database}", "pg_restore --list {database}.dump"]),
    step!("upgrade-database", "Step 5", Some("pg-upgrade"), New, Procedure, upgrade_database,
        "Option b: starts a new instance of the target version, creates the roles, restores the dump and runs ANALYZE. Option a: shuts the old server down and makes the new cluster out of its files by pg_upgrade, on the same port.",
        ["{start-new}", "{psql} -f globals.sql", "pg_restore --exit-on-error -d {database} {database}.dump", "{psql} -c ANALYZE"]),
    step!("capture-restored", "", None, New, Procedure, capture,
        "Writes snapshots/restored.json: the new database before anything writes to it.",
        ["{fingerprints}"]),
    step!("recreate-slot", "Step 6", Some("keep-publication"), New, Procedure, recreate_slot,
        "Makes the publication (kept when the restore brought it), the replica identities, then the slot: after the restore, before any writer.",
        ["{psql} -c \"SELECT * FROM pg_create_logical_replication_slot('{slot}', 'pgoutput')\""]),
    step!("repoint-connector", "", Some("repoint-connector"), New, Procedure, repoint_connector,
        "Points the connector's configuration at the new instance. The connector stays stopped.",
        ["curl -X PUT {connector}/config -H 'Content-Type: application/json' -d @connector.json"]),
    step!("rebase-offsets", "", Some("rebase-offsets"), New, Procedure, rebase_offsets,
        "Replaces the whole stored offset by a position of the new server: the confirmed_flush_lsn of the inactive slot. Refuses when an incremental snapshot was in flight.",
        ["N=$({psql} -Atc \"SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{slot}' AND NOT active\")", "curl -X PATCH {connector}/offsets -H 'Content-Type: application/json' -d '{\"offsets\":[{\"partition\":{\"server\":\"{prefix}\"},\"offset\":{\"lsn\":'$N',\"lsn_proc\":'$N'}}]}'", "curl {connector}/offsets"]),
    step!("resume-connector", "Step 7", None, New, Procedure, resume_connector,
        "Writes snapshots/at-resume.json, then resumes the connector. Waits until its task runs and the slot is active on the new server.",
        ["curl -X PUT {connector}/resume", "curl {connector}/status"]),
    step!("open-writers", "", None, New, Procedure, open_writers,
        "Lifts the fence, on the new server only. With --add-column, public.orders gets a column before that.",
        ["{psql} -c \"{add-column}ALTER ROLE app_writer LOGIN\""]),
    step!("restart-generator", "Step 8", None, New, Procedure, start_generator,
        "Starts the workload again, on the new server, with the same ledger. Waits until its first change is acknowledged.",
        ["data-generator --phase after {workload}"]),
    step!("stop-generator-again", "", None, New, Closing, stop_generator,
        "Ends the workload of the after-phase.",
        ["kill -TERM {generator-pid}"]),
    step!("fence-again", "", None, New, Closing, fence_writers,
        "Makes sure that nobody can commit any more and settles every unknown fate.",
        ["{psql} -c 'ALTER ROLE app_writer NOLOGIN'", "{psql} -c \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_writer'\""]),
    step!("drain-again", "", None, New, Closing, drain,
        "Waits for a last marker. When it does not arrive, waits until nothing moves any more and says so.",
        ["NONCE=$(openssl rand -hex 16)", "{psql} -c \"SELECT pg_logical_emit_message(true, 'wake', '$NONCE')\"", "{psql} -c \"SELECT pg_logical_emit_message(false, 'drain', '$NONCE')\"", "curl {connector}/offsets"]),
    step!("capture-after", "Step 9", None, New, Closing, capture,
        "Writes snapshots/after.json, the rows of the new database as digests, and which transactions the slot still holds.",
        ["{psql} -c \"SELECT * FROM pg_replication_slots WHERE slot_name = '{slot}'\"", "curl {connector}/offsets"]),
    step!("collect", "Step 9", None, New, Closing, collect,
        "Reads all events of all topics, copies the logs of the components and seals the evidence.",
        ["kafka-console-consumer --from-beginning --topic {prefix}.public.orders"]),
    step!("verify", "Step 9", None, New, Derived, verify,
        "Decides from the run directory alone: findings.json and violations.jsonl.",
        ["cargo xtask verify"]),
    step!("report", "", None, New, Derived, report,
        "Renders report.html, report.md and junit.xml from the run directory alone.",
        ["cargo xtask report"]),
];

/// A step named on the command line. The subcommands come from the table.
#[derive(Debug)]
pub(crate) struct StepCommand {
    pub(crate) name: String,
    pub(crate) args: StepArgs,
}

impl clap::Subcommand for StepCommand {
    fn augment_subcommands(cmd: clap::Command) -> clap::Command {
        STEPS.iter().fold(cmd, |cmd, step| {
            let mut long = step.about.to_owned();
            if let Some(safeguard) = step.safeguard {
                long.push_str(&format!(" Left out by --without {safeguard}."));
            }
            let short = step.about.split(". ").next().unwrap_or_default().trim_end_matches('.');
            // The flags bring a description of their own, so ours comes after them.
            let sub = StepArgs::augment_args(clap::Command::new(step.name))
                .about(format!("{:02} {short}", step.no()))
                .long_about(long)
                .after_help(format!("Example: cargo xtask {}", step.name))
                .mut_args(|arg| {
                    let hidden = !step.takes(arg.get_id().as_str());
                    arg.hide(hidden)
                });
            cmd.subcommand(sub)
        })
    }

    fn augment_subcommands_for_update(cmd: clap::Command) -> clap::Command {
        Self::augment_subcommands(cmd)
    }

    fn has_subcommand(name: &str) -> bool {
        find(name).is_some()
    }
}

impl FromArgMatches for StepCommand {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let (name, sub) = matches
            .subcommand()
            .ok_or_else(|| clap::Error::new(clap::error::ErrorKind::MissingSubcommand))?;
        Ok(Self { name: name.into(), args: StepArgs::from_arg_matches(sub)? })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_safeguards_known() {
        for (i, step) in STEPS.iter().enumerate() {
            assert_eq!(step.no() as usize, i + 1, "{}", step.name);
        }
        for name in SKIPPED {
            assert!(safeguards().contains(&name), "{name}");
        }
    }
}
