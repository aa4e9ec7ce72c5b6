//! `order-kept`: per key, versions arrive in rising order and each update says that it follows the
//! version before it.
//!
//! An event that comes after a later version of its key is out of order. A jump over versions that
//! are missing is not: `nothing-missing` names those. A jump over a version that no change explains
//! is. Kafka keeps the order within a partition only, so a key must stay in one.

use artifacts::findings::ViolationKind;
use artifacts::ledger::Op;
use serde_json::{Value, json};

use super::{Answer, Check, Found, count};
use crate::verify::context::Context;
use crate::verify::first_of;
use crate::verify::history::{Event, KeyHistory};
use crate::verify::remedy;
use crate::verify::violations::{Violations, of_event};

const NAME: &str = "order-kept";

/// See the module.
#[derive(Default)]
pub(super) struct OrderKept {
    found: Found,
    keys: u64,
}

impl Check for OrderKept {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key(&mut self, _cx: &Context, history: &KeyHistory, out: &mut Violations) {
        self.keys += u64::from(!history.delivered.is_empty());
        let mut highest = (0, 0);
        for event in &history.delivered {
            let Some(of) = first_of(event.belongs) else { continue };
            self.found.compared += 1;
            let rank = rank(event, history.expected[of].fact.ver);
            let wrong = wrong(history, event, highest, rank);
            highest = highest.max(rank);
            if let Some((expected, actual)) = wrong {
                let mut violation = of_event(history, event, ViolationKind::Reordered, NAME);
                violation.ver = Some(rank.0);
                (violation.expected, violation.actual) = (Some(expected), Some(actual));
                self.found.add_event(out, &violation);
            }
        }
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        let (events, keys) = (count(self.found.compared, "event"), count(self.keys, "key"));
        let held = format!("{events} of {keys} came in the order of their versions");
        let broken = format!("{} of {events} of {keys} came out of order", self.found.broken());
        let remedy = "look at the named offsets; a topic whose number of partitions changed, or two connectors \
                      writing to it, breaks the order: cargo xtask topics, cargo xtask status";
        let remedy = format!("{remedy}; {}", remedy::rehearse(&cx.run));
        self.found.answer(cx, held, broken, &remedy, &cx.doubts())
    }
}

/// Version, then delete after its row, then tombstone.
fn rank(event: &Event, ver: u32) -> (u32, u8) {
    let kind = match event.fact.op {
        Some(Op::Delete) => 1,
        Some(Op::Tombstone) => 2,
        _ => 0,
    };
    (ver, kind)
}

/// What was expected and what is, if they differ.
fn wrong(history: &KeyHistory, event: &Event, highest: (u32, u8), rank: (u32, u8)) -> Option<(Value, Value)> {
    let partition = history.delivered[0].fact.partition;
    if event.fact.partition != partition {
        return Some((json!({"partition": partition}), json!({"partition": event.fact.partition})));
    }
    if rank < highest {
        return Some((json!({"ver_above": highest.0}), json!({"ver": rank.0})));
    }
    let follows = match event.fact.op {
        Some(Op::Update) => rank.0.checked_sub(1),
        _ => event.fact.before_ver,
    };
    if event.fact.before_ver.is_some() && follows != event.fact.before_ver {
        return Some((json!({"before_ver": follows}), json!({"before_ver": event.fact.before_ver})));
    }
    let known = |ver: u32| history.expected.iter().any(|wanted| wanted.fact.ver == ver);
    // A row that was changed before anyone looked begins with the version that was found.
    let first = history.expected.first().map_or(1, |wanted| wanted.fact.ver);
    let jumped = (highest.0.saturating_add(1).max(first)..rank.0).find(|ver| !known(*ver));
    jumped.map(|ver| (json!({"ver": ver}), json!({"ver": rank.0, "after": highest.0})))
}
