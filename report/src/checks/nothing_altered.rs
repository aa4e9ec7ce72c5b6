//! `nothing-altered`: the row in an event is the one that RETURNING gave when it was written, the row
//! before an update is the one that RETURNING gave for the version before, and the event names the
//! transaction that wrote it.
//!
//! A row before of another version is a matter of `order-kept`; another transaction in a second delivery
//! is one of `nothing-repeated`. The event's id has 32 bits, the ledger's low 32 are compared.

use artifacts::findings::ViolationKind;
use artifacts::ledger::Op;
use artifacts::row::Digest;
use serde_json::json;

use super::{Answer, Check, Found, count};
use crate::verify::context::Context;
use crate::verify::history::{Belongs, Event, KeyHistory};
use crate::verify::remedy;
use crate::verify::violations::{Violations, of_event};

const NAME: &str = "nothing-altered";

/// See the module.
#[derive(Default)]
pub(super) struct NothingAltered {
    found: Found,
    /// Updates whose row before was compared.
    befores: u64,
    /// Events whose transaction was compared.
    transactions: u64,
}

impl Check for NothingAltered {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key(&mut self, _cx: &Context, history: &KeyHistory, out: &mut Violations) {
        for event in history.delivered.iter().filter(|event| event.fact.op != Some(Op::Tombstone)) {
            let (Belongs::First(of) | Belongs::Repeat { of, .. }) = event.belongs else { continue };
            let Some(written) = history.expected[of].fact.row else { continue };
            self.found.compared += 1;
            let before = before(history, event, of);
            self.befores += u64::from(before.is_some());
            let transaction = transaction(history, event, of);
            self.transactions += u64::from(transaction.is_some());
            let (expected, actual) = if event.fact.row != Some(written) {
                let actual = match &event.fact.fault {
                    Some(fault) => json!({"fault": fault}),
                    None => json!({"row": event.fact.row}),
                };
                (json!({"row": written}), actual)
            } else if let Some(Err(previous)) = before {
                (json!({"before": previous}), json!({"before": event.fact.before_row}))
            } else if let Some(Err(xid)) = transaction {
                (json!({"transaction": xid}), json!({"transaction": event.fact.xid}))
            } else {
                continue;
            };
            let mut violation = of_event(history, event, ViolationKind::Altered, NAME);
            (violation.expected, violation.actual) = (Some(expected), Some(actual));
            self.found.add_event(out, &violation);
        }
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        let rows = count(self.found.compared, "row");
        let mut held = match self.befores {
            0 => format!("{rows} in events have the digests that RETURNING gave"),
            n => format!(
                "{rows} in events, and the rows before {} of them, have the digests that RETURNING gave",
                count(n, "update")
            ),
        };
        if self.transactions > 0 {
            held.push_str(&format!(
                "; {} name the transaction that wrote them",
                count(self.transactions, "event")
            ));
        }
        let broken = format!(
            "{} of {rows} in events, the rows before them or their transactions are not the ones that were written",
            self.found.broken
        );
        let remedy = "compare the named events with the database; converters, transforms and a replica identity other \
                      than FULL change rows: cargo xtask replication";
        let remedy = format!("{remedy}; {}", remedy::rehearse(&cx.run));
        self.found.answer(cx, held, broken, &remedy, &cx.doubts())
    }
}

/// Whether an event names the transaction of its change, or the id it should have named; none where
/// one of them is not known, for what a snapshot read, and for a second delivery.
fn transaction(history: &KeyHistory, event: &Event, of: usize) -> Option<Result<(), u64>> {
    let first = matches!(event.belongs, Belongs::First(_)) && event.fact.op != Some(Op::Read);
    let (named, written) = (event.fact.xid.filter(|_| first)?, history.expected[of].fact.xid?);
    let low = |xid: u64| xid & u64::from(u32::MAX);
    Some(if low(named) == low(written) { Ok(()) } else { Err(written) })
}

/// Whether the row before an update is the one that the version before left, or which it should have
/// been; none where nobody knows.
fn before(history: &KeyHistory, event: &Event, of: usize) -> Option<Result<(), Digest>> {
    let follows = history.expected[of].fact.ver.checked_sub(1)?;
    let judged = event.fact.op == Some(Op::Update) && event.fact.before_ver.is_none_or(|ver| ver == follows);
    if !judged {
        return None;
    }
    let left = history.expected.iter().filter(|w| w.fact.ver == follows && w.fact.op != Op::Delete);
    let rows: Option<Vec<Digest>> = left.map(|wanted| wanted.fact.row).collect();
    let rows = rows?;
    let previous = *rows.first()?;
    let right = event.fact.before_row.is_some_and(|row| rows.contains(&row));
    Some(if right { Ok(()) } else { Err(previous) })
}
