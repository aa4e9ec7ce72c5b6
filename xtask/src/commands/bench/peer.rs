//! What verifying is compared with: DuckDB, which reads the same files and answers what it can say in SQL. It
//! neither checks the seal nor names what it finds, and compares no row.

use std::path::Path;
use std::process::Command;

use artifacts::findings::Counts;
use stack::DuckDb;

/// From the log and the ledger to tables.
const FACTS: &str = include_str!("facts.sql");
/// From the tables to files.
const PARQUET: &str = include_str!("parquet.sql");
/// Those files in place of the tables.
const VIEWS: &str = include_str!("views.sql");
/// From either to four numbers.
const QUESTIONS: &str = include_str!("questions.sql");

const PROGRAM: &str = "import sys, duckdb; print(*duckdb.execute(sys.argv[1]).fetchone())";

/// DuckDB at work on a run directory, its files in another folder.
pub(super) struct Peer<'a> {
    pub(super) duckdb: &'a DuckDb,
    pub(super) run: &'a Path,
    pub(super) files: &'a Path,
}

impl Peer<'_> {
    /// Answers from the files of the run.
    pub(super) fn answer(&self) -> Command {
        self.sql(&[FACTS, QUESTIONS])
    }

    /// Writes Parquet files.
    pub(super) fn index(&self) -> Command {
        self.sql(&[FACTS, PARQUET])
    }

    /// Answers from its Parquet files.
    pub(super) fn answer_indexed(&self) -> Command {
        self.sql(&[VIEWS, QUESTIONS])
    }

    fn sql(&self, parts: &[&str]) -> Command {
        let text = |path: &Path| path.display().to_string().replace('\'', "''");
        let sql = format!("SET enable_progress_bar = false; {}", parts.concat())
            .replace("$consumed", &text(&self.run.join("consumed.jsonl.zst")))
            .replace("$ledger", &text(&self.run.join("ledger.jsonl.zst")))
            .replace("$dir", &text(self.files));
        let mut command = Command::new(&self.duckdb.python);
        command.env_remove("PYTHONHOME").env("PYTHONPATH", &self.duckdb.modules);
        command.args(["-c", PROGRAM]).arg(sql).current_dir(self.files);
        command
    }
}

/// What it has to answer where a verdict counted this.
pub(super) fn answer(counts: &Counts) -> String {
    let total = &counts.total;
    format!("{} {} {} {}", total.acknowledged, total.missing, total.repeated, total.reordered)
}
