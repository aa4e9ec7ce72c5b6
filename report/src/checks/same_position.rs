//! Missing rows that look as a known fault of the connector loses them, and not the upgrade.
//!
//! debezium/dbz#1554: rows of one statement may share a position. A connector up to Debezium 3.6 that comes back with that
//! position as `lsn_proc` takes all of them for done. What can be seen of it: another row of the same transaction and
//! table arrived, at exactly the position that the connector's log says it came back with, and no slot holds the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use artifacts::Lsn;
use artifacts::findings::Evidence;
use artifacts::ledger::Op;

use super::count;
use super::stage::Stage;
use crate::verify::context::Context;
use crate::verify::history::KeyHistory;
use crate::verify::record::Expected;

/// Transactions and tables that are held in memory.
const MOST: usize = 10_000;
/// The first version that counts the rows of a position.
const MENDED: (u32, u32) = (3, 7);

/// Lower half of a transaction id, and a table.
type Part = (u32, Arc<str>);

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct SamePosition {
    /// Arrived at a position that the connector came back with.
    arrived: BTreeMap<Part, Lsn>,
    missing: BTreeMap<Part, u64>,
}

impl SamePosition {
    /// Looks at what arrived of a key.
    pub(super) fn key(&mut self, cx: &Context, history: &KeyHistory) {
        if cx.logs.resumed.is_empty() {
            return;
        }
        for event in history.delivered.iter().filter(|event| event.fact.op != Some(Op::Read)) {
            let at = event.fact.lsn.filter(|lsn| cx.logs.resumed.contains_key(lsn));
            if let (Some(lsn), Some(xid)) = (at, event.fact.xid)
                && self.arrived.len() < MOST
            {
                self.arrived.insert((xid as u32, history.table.clone()), lsn);
            }
        }
    }

    /// Takes a change that is missing.
    pub(super) fn missing(&mut self, cx: &Context, table: &Arc<str>, fact: &Expected, stage: Stage) {
        let part = fact.xid.filter(|_| stage == Stage::Gone && fact.op != Op::Read);
        if let Some(xid) = part.filter(|_| !cx.logs.resumed.is_empty() && self.missing.len() < MOST) {
            *self.missing.entry((xid as u32, table.clone())).or_default() += 1;
        }
    }

    /// What it looks like, where a version ran that does it.
    pub(super) fn evidence(&self, cx: &Context) -> Option<Evidence> {
        let version = cx.run.versions.get("debezium").filter(|version| loses(version))?;
        let alike = self.missing.iter().filter_map(|(part, n)| Some((self.arrived.get(part)?, n)));
        let (lsn, n) = alike.fold((None, 0), |(first, sum), (lsn, n)| (first.or(Some(*lsn)), sum + n));
        let (lsn, (file, line)) = (lsn?, cx.logs.resumed.get(&lsn?)?);
        let text = format!(
            "{} lost as debezium/dbz#1554 loses rows, not by the upgrade: another row of the same transaction and table arrived \
             at {lsn}, with which the connector came back; up to Debezium 3.6 it takes all rows of a position for done \
             (here {version})",
            count(n, "change")
        );
        Some(Evidence { text, file: Some(file.clone()), at: Some(format!("line {line}")) })
    }
}

/// Whether a version, `3.6.3.Final`, has the fault.
fn loses(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse);
    matches!((parts.next(), parts.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < MENDED)
}
