//! `nothing-repeated`: no change is delivered twice.
//!
//! The same position and transaction again is a `re-delivery`: the connector read the change
//! twice. Where it was made at the same nanosecond too it is one event that was written twice, a
//! `producer-retry`: Kafka Connect's producers are not idempotent unless told to be (KAFKA-13759). Another
//! position or transaction is a `double-execution`: the database did the change twice. An `r` for a version
//! that the topics have already is a `re-snapshot`. Either of the first two in a run in which a component
//! died proves nothing about the upgrade.

use std::collections::BTreeMap;

use artifacts::findings::{Evidence, ViolationKind};
use artifacts::ledger::Op;

use super::{Answer, Check, Found, count};
use crate::verify::context::{Context, Doubt};
use crate::verify::history::{Belongs, Event, KeyHistory};
use crate::verify::remedy;
use crate::verify::violations::{Violations, of_event};

const NAME: &str = "nothing-repeated";
const RE_DELIVERY: &str = "re-delivery";
const PRODUCER_RETRY: &str = "producer-retry";
const RE_SNAPSHOT: &str = "re-snapshot";
const DOUBLE_EXECUTION: &str = "double-execution";

/// See the module.
#[derive(Default)]
pub(super) struct NothingRepeated {
    found: Found,
    tolerated: u64,
    kinds: BTreeMap<&'static str, u64>,
}

impl Check for NothingRepeated {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key(&mut self, cx: &Context, history: &KeyHistory, out: &mut Violations) {
        let mut last = RE_DELIVERY;
        for event in &history.delivered {
            self.found.compared += 1;
            let Belongs::Repeat { first, .. } = event.belongs else { continue };
            // A tombstone has no position: it shares the kind of the delete before it.
            if event.fact.op != Some(Op::Tombstone) {
                last = kind(event, &history.delivered[first]);
            }
            let mut violation = of_event(history, event, ViolationKind::Repeated, NAME);
            violation.stage = Some(last.to_owned());
            violation.at.insert(0, history.delivered[first].fact.at(&history.topic));
            violation.at.rotate_left(1);
            *self.kinds.entry(last).or_default() += 1;
            if cx.run.allow_repeats {
                self.tolerated += 1;
                out.tolerate(&violation);
            } else {
                self.found.add_event(out, &violation);
            }
        }
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        let events = count(self.found.compared, "event");
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let held = match self.tolerated {
            0 => format!("none of {events} delivers a change a second time"),
            n => format!(
                "{} among {events} are tolerated by --allow-repeats: {}",
                count(n, "repeat"),
                kinds.join(", ")
            ),
        };
        let broken = format!("{} of {events} repeat a change: {}", self.found.broken(), kinds.join(", "));
        let real = "nothing is lost; consumers must recognise what they have by key and version, and where all of \
                    them do, --allow-repeats says so";
        let remedy = if self.kinds.contains_key(RE_SNAPSHOT) {
            format!("move the stored offset instead of deleting it; {}", remedy::rehearse_or(&cx.run, real))
        } else if self.kinds.contains_key(PRODUCER_RETRY) {
            let set = "set producer.override.enable.idempotence to true in the connector";
            format!("{set}; {}", remedy::rehearse_or(&cx.run, real))
        } else {
            remedy::rehearse_or(&cx.run, real)
        };
        let mut doubts = cx.doubts();
        if let Some(mut evidence) = self.death(cx) {
            evidence.text.push_str(": Kafka Connect delivers again what it had not noted, or what it does not know to be written");
            doubts.insert(0, Doubt { evidence, remedy: remedy::rehearse(&cx.run) });
            return Answer::unknown(self.found.compared, &doubts).with(self.found.named());
        }
        self.found.answer(cx, held, broken, &remedy, &doubts)
    }
}

impl NothingRepeated {
    /// The component whose death explains every repeat that was found; none when nothing was repeated,
    /// or in another way.
    fn death(&self, cx: &Context) -> Option<Evidence> {
        let explained = self.found.broken() > 0
            && self.kinds.keys().all(|kind| [RE_DELIVERY, PRODUCER_RETRY].contains(kind));
        cx.course.as_ref().ok()?.death().filter(|_| explained)
    }
}

fn kind(event: &Event, first: &Event) -> &'static str {
    let (event, first) = (&event.fact, &first.fact);
    let snapshot = first.op == Some(Op::Read);
    if event.op == Some(Op::Read) {
        RE_SNAPSHOT
    } else if snapshot || event.lsn.is_none() || (event.lsn, event.xid) == (first.lsn, first.xid) {
        let same = event.made.is_some() && (event.made, event.lsn) == (first.made, first.lsn);
        if same { PRODUCER_RETRY } else { RE_DELIVERY }
    } else {
        DOUBLE_EXECUTION
    }
}
