//! `nothing-altered`: the row in an event is the one that RETURNING gave when it was written.

use artifacts::findings::ViolationKind;
use artifacts::ledger::Op;
use serde_json::json;

use super::{Answer, Check, Found, count};
use crate::verify::context::Context;
use crate::verify::history::{Belongs, KeyHistory};
use crate::verify::violations::{Violations, of_event};

const NAME: &str = "nothing-altered";

/// See the module.
#[derive(Default)]
pub(super) struct NothingAltered {
    found: Found,
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
            if event.fact.row != Some(written) {
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
        let held = format!("{rows} in events have the digests that RETURNING gave");
        let broken =
            format!("{} of {rows} in events have other digests than RETURNING gave", self.found.broken);
        let remedy = "compare the named events with the database; converters, transforms and a replica identity other \
                      than FULL change rows: cargo xtask replication";
        self.found.answer(cx, held, broken, remedy, &cx.doubts())
    }
}
