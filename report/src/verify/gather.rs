//! Reads the large evidence: ledger, topics and rows, sorted by table and key.

use artifacts::row::Tables;
use artifacts::{Error, RunDir};
use serde::{Deserialize, Serialize};

use super::context::Around;
use super::deliver::{self, Topics};
use super::expect::{self, Ledger};
use super::rows::{self, Rows};
use super::sort::{Merged, Sorter};
use crate::Result;
use crate::avro::{Decoder, Schemas};

/// Bytes to sort in.
pub(super) const MEMORY_BYTES: usize = 96 << 20;

/// What the large evidence says beside the histories of the keys.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Gathered {
    /// Captured tables, from the ledger's header.
    pub(super) tables: Tables,
    pub(crate) ledger: Ledger,
    /// Why the ledger cannot be read; the others have their own.
    #[serde(skip)]
    pub(crate) ledger_damage: Option<Error>,
    pub(crate) topics: Topics,
    pub(super) rows: Vec<Rows>,
}

impl Gathered {
    /// Whether everything was read to its end.
    pub(super) fn is_whole(&self) -> bool {
        let rows = self.rows.iter().all(|rows| rows.damage.is_none());
        self.ledger_damage.is_none() && self.topics.damage.is_none() && rows
    }
}

/// Reads everything for what it says beside the histories.
///
/// # Errors
/// As [`gather`].
pub(crate) fn alone(run: &RunDir) -> Result<Gathered> {
    Ok(gather(run, &Around::read(run)?, MEMORY_BYTES)?.0)
}

/// Reads everything once. Without a ledger, no key is looked at.
///
/// # Errors
/// The run directory cannot be written to; damage is no error.
pub(super) fn gather(run: &RunDir, around: &Around, memory_bytes: usize) -> Result<(Gathered, Merged)> {
    let (prefix, collected, drain) = (&around.run.names.prefix, around.collected(), around.drain());
    let path = run.ledger();
    let header = expect::header(&path);
    let tables = header.as_ref().map_or_else(|_| Tables::new(), Clone::clone);
    let schemas = Schemas::read(run);
    let decoder = Decoder::new(&schemas);
    let half = memory_bytes / 2;
    let (mut expected, mut delivered) = (Sorter::new(run.root(), half), Sorter::new(run.root(), half));
    let (ledger, rows, topics) = std::thread::scope(|scope| {
        let ledger = scope.spawn(|| {
            let ledger = header.and_then(|_| expect::read(&path, &tables, &mut expected));
            let rows = rows::read(run, &tables, &mut expected);
            (ledger, rows)
        });
        let consumed = run.path("consumed.jsonl.zst");
        let topics = deliver::read(&consumed, &decoder, prefix, &tables, collected, drain, &mut delivered);
        let (ledger, rows) = ledger.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (ledger, rows, topics)
    });
    let (ledger, ledger_damage) = match ledger {
        Ok(ledger) => (ledger, None),
        Err(e) => (Ledger::default(), Some(e)),
    };
    let sorters = if ledger_damage.is_none() { vec![expected, delivered] } else { Vec::new() };
    let gathered = Gathered { tables, ledger, ledger_damage, topics: topics?, rows: rows? };
    Ok((gathered, Merged::new(run.root(), sorters)?))
}
