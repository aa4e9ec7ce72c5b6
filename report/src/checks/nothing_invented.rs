//! `nothing-invented`: every event belongs to a change of the ledger or to a seed row.

use artifacts::findings::{Evidence, ViolationKind};
use serde_json::json;

use super::{Answer, Check, Found, count};
use crate::verify::context::{Context, Doubt};
use crate::verify::history::{Belongs, KeyHistory};
use crate::verify::violations::{Violations, of_event};

const NAME: &str = "nothing-invented";

/// See the module.
#[derive(Default)]
pub(super) struct NothingInvented {
    found: Found,
    beyond_the_ledger: u64,
}

impl Check for NothingInvented {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key(&mut self, cx: &Context, history: &KeyHistory, out: &mut Violations) {
        for event in &history.delivered {
            self.found.compared += 1;
            if event.belongs != Belongs::Nothing {
                continue;
            }
            // A ledger that ends in the middle of a line may have lost the change as well.
            if cx.ledger.as_ref().is_ok_and(|ledger| ledger.torn) {
                self.beyond_the_ledger += 1;
                continue;
            }
            let mut violation = of_event(history, event, ViolationKind::Unexpected, NAME);
            violation.actual = event.fact.fault.as_ref().map(|fault| json!({"fault": fault}));
            self.found.add_event(out, &violation);
        }
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        let events = count(self.found.compared, "event");
        let held = format!("{events} belong to changes of the ledger or to seed rows");
        let broken = format!("{} of {events} belong to no change and no seed row", self.found.broken);
        let remedy = "someone beside the data generator wrote to the tables, or the topics are older than the run: \
                      rehearse with a fresh stack (cargo xtask down --volumes)";
        let mut doubts = cx.doubts();
        if self.beyond_the_ledger > 0 {
            let lines = cx.ledger.as_ref().map_or(0, |ledger| ledger.lines);
            let text = format!(
                "the ledger ends in the middle of a line and {} belong to no change in it",
                count(self.beyond_the_ledger, "event")
            );
            let (file, at) = (Some(cx.ledger_file.clone()), Some(format!("after line {lines}")));
            let remedy = "rehearse again: the ledger is not whole".to_owned();
            doubts.insert(0, Doubt { evidence: Evidence { text, file, at }, remedy });
        }
        self.found.answer(cx, held, broken, remedy, &doubts)
    }
}
