//! `nothing-altered`: the row in an event is the one that RETURNING gave when it was written, and the
//! row before an update is the one that RETURNING gave for the version before.
//!
//! A row before of another version is a matter of `order-kept`.

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
            if event.fact.row == Some(written) {
                let Some(Err(previous)) = before else { continue };
                let mut violation = of_event(history, event, ViolationKind::Altered, NAME);
                violation.expected = Some(json!({"before": previous}));
                violation.actual = Some(json!({"before": event.fact.before_row}));
                self.found.add_event(out, &violation);
            } else {
                let mut violation = of_event(history, event, ViolationKind::Altered, NAME);
                violation.expected = Some(json!({"row": written}));
                violation.actual = Some(match &event.fact.fault {
                    Some(fault) => json!({"fault": fault}),
                    None => json!({"row": event.fact.row}),
                });
                self.found.add_event(out, &violation);
            }
        }
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        let rows = count(self.found.compared, "row");
        let held = match self.befores {
            0 => format!("{rows} in events have the digests that RETURNING gave"),
            n => format!(
                "{rows} in events, and the rows before {} of them, have the digests that RETURNING gave",
                count(n, "update")
            ),
        };
        let broken = format!(
            "{} of {rows} in events, or the rows before them, have other digests than RETURNING gave",
            self.found.broken
        );
        let remedy = "compare the named events with the database; converters, transforms and a replica identity other \
                      than FULL change rows: cargo xtask replication";
        let remedy = format!("{remedy}; {}", remedy::rehearse(&cx.run));
        self.found.answer(cx, held, broken, &remedy, &cx.doubts())
    }
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
