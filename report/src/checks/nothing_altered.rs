//! `nothing-altered`: the row in an event is the one that RETURNING gave when it was written, the row
//! before an update is the one that RETURNING gave for the version before, and the event names the
//! transaction that wrote it.
//!
//! An update that leaves the wide column out (replica identity DEFAULT) is compared with the value that the
//! version before it brought. Such a table's events have no row before; its deletes name the key only.
//!
//! A row before of another version is a matter of `order-kept`; another transaction in a second delivery
//! is one of `nothing-repeated`. The event's id has 32 bits, the ledger's low 32 are compared.

use artifacts::findings::{Evidence, ViolationKind};
use artifacts::ledger::Op;
use artifacts::row::{Digest, Wide};
use serde_json::json;

use super::{Answer, Check, Found, count};
use crate::verify::context::{Context, Doubt};
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
    /// Events whose wide column was left out, and compared.
    filled: u64,
    /// Events that leave out a value that nothing before them has brought.
    open: u64,
}

impl Check for NothingAltered {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key(&mut self, _cx: &Context, history: &KeyHistory, out: &mut Violations) {
        for (i, event) in history.delivered.iter().enumerate() {
            if event.fact.op == Some(Op::Tombstone) {
                continue;
            }
            let (Belongs::First(of) | Belongs::Repeat { of, .. }) = event.belongs else { continue };
            let Some(written) = history.expected[of].fact.row else { continue };
            if event.is_open() {
                self.open += u64::from(!history.is_excused(i));
                continue;
            }
            self.found.compared += 1;
            self.filled += u64::from(matches!(event.fact.wide.as_deref(), Some(Wide::LeftOut(..))));
            let before = before(history, event, of);
            self.befores += u64::from(before.is_some());
            let transaction = transaction(history, event, of);
            self.transactions += u64::from(transaction.is_some());
            let (expected, actual) = if event.fact.row != Some(written) && !names_its_key(event) {
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
        if self.filled > 0 {
            let updates = count(self.filled, "update");
            held.push_str(&format!(
                "; {updates} left the wide column out, which was as the version before had it"
            ));
        }
        let broken = format!(
            "{} of {rows} in events, the rows before them or their transactions are not the ones that were written",
            self.found.broken()
        );
        let remedy = "compare the named events with the database; converters, transforms and a replica identity other \
                      than FULL change rows: cargo xtask replication";
        let remedy = format!("{remedy}; {}", remedy::rehearse(&cx.run));
        let mut doubts = cx.doubts();
        if self.open > 0 {
            let text =
                format!("{} left out a value that nothing before had brought", count(self.open, "event"));
            let evidence = Evidence { text, file: Some("consumed.jsonl.zst".to_owned()), at: None };
            doubts.push(Doubt { evidence, remedy: remedy::rehearse(&cx.run) });
        }
        self.found.answer(cx, held, broken, &remedy, &doubts)
    }
}

/// A delete whose event has the key only, and the right one.
fn names_its_key(event: &Event) -> bool {
    event.fact.op == Some(Op::Delete) && event.fact.row.is_none() && event.fact.fault.is_none()
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
    let full = event.fact.wide.is_none();
    let judged =
        full && event.fact.op == Some(Op::Update) && event.fact.before_ver.is_none_or(|ver| ver == follows);
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
