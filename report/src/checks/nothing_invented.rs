//! `nothing-invented`: every event belongs to a change of the ledger or to a seed row.
//!
//! Changes of unknown fate are changes. Where the fence has said of a transaction that its COMMIT was
//! never sent, and it was delivered, the ledger is wrong and not the event: that is unknown.

use artifacts::findings::{Evidence, ViolationKind};
use serde_json::json;

use super::{Answer, Check, Found, count};
use crate::verify::context::{Context, Doubt};
use crate::verify::history::{Belongs, Event, KeyHistory};
use crate::verify::remedy;
use crate::verify::violations::{Violations, of_event};

const NAME: &str = "nothing-invented";

/// See the module.
#[derive(Default)]
pub(super) struct NothingInvented {
    found: Found,
    beyond_the_ledger: u64,
    /// Whether the ledger has lost lines; none as long as nobody has asked.
    lossy: Option<bool>,
    /// Events of transactions of which the ledger says that COMMIT was never sent.
    unsent: u64,
}

impl Check for NothingInvented {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key(&mut self, cx: &Context, history: &KeyHistory, out: &mut Violations) {
        for event in &history.delivered {
            self.found.compared += 1;
            self.unsent += u64::from(is_unsent(cx, history, event));
            if event.belongs != Belongs::Nothing {
                continue;
            }
            // A ledger that has lost lines may have lost the change as well.
            let torn = || cx.ledger.as_ref().is_ok_and(|ledger| ledger.torn) || cx.ledger_lacks();
            if *self.lossy.get_or_insert_with(torn) {
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
        let broken = format!("{} of {events} belong to no change and no seed row", self.found.broken());
        let remedy = format!(
            "someone beside the data generator wrote to the tables, or the topics are older than the run; with a fresh \
             stack (cargo xtask down --volumes), {}",
            remedy::rehearse(&cx.run)
        );
        let mut doubts = cx.doubts();
        let mut doubt = |text: String, at: Option<String>| {
            let evidence = Evidence { text, file: Some(cx.ledger_file.clone()), at };
            doubts.insert(0, Doubt { evidence, remedy: remedy::rehearse(&cx.run) });
        };
        if self.unsent > 0 {
            let n = count(self.unsent, "event");
            doubt(
                format!("{n} are of transactions of which the ledger says that COMMIT was never sent"),
                None,
            );
        }
        if self.beyond_the_ledger > 0 {
            let lines = cx.ledger.as_ref().map_or(0, |ledger| ledger.lines);
            let n = count(self.beyond_the_ledger, "event");
            let torn = cx.ledger.as_ref().is_ok_and(|ledger| ledger.torn);
            let why = if torn { "ends in the middle of a line" } else { "has lost lines" };
            let text = format!("the ledger {why} and {n} belong to no change in it");
            doubt(text, Some(format!("after line {lines}")));
        }
        self.found.answer(cx, held, broken, &remedy, &doubts)
    }
}

/// Whether an event belongs to a transaction of which the ledger says that COMMIT was never sent.
fn is_unsent(cx: &Context, history: &KeyHistory, event: &Event) -> bool {
    let Ok(ledger) = &cx.ledger else { return false };
    let id = match event.belongs {
        Belongs::First(of) | Belongs::Repeat { of, .. } => Some(history.expected[of].fact.change_id),
        Belongs::Unsettled => event.fact.change_id,
        Belongs::Nothing => None,
    };
    id.is_some_and(|id| ledger.unsent.contains(&id))
}
