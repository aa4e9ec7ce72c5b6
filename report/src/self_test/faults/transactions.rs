//! Faults of BEGIN and END events, and whether END events agree with what is planted.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use artifacts::ledger::Op;
use serde_json::{Value, json};

use super::{Event, Original, PLACES, Planted, Planter, Spoil, streamed};
use crate::self_test::Expected;

const CHECK: &str = "transactions-whole";

/// Table and transaction.
type Part = (String, u64);
/// What tells an event of a table and transaction from others.
type Identity = (Option<i64>, Option<Op>, Option<u32>, Option<u64>);

/// [`CHECK`], where END events do not count what these events are.
pub(super) fn broken(original: &Original, events: &[Rc<Event>]) -> Option<&'static str> {
    let mut counted: BTreeMap<Part, u64> = BTreeMap::new();
    let mut held: BTreeMap<Part, HashSet<Identity>> = BTreeMap::new();
    for event in events {
        if let Some(value) = end(original, event) {
            let xid = value["id"].as_str().and_then(|id| id.split(':').next()?.parse().ok()).unwrap_or(0);
            for part in value["data_collections"].as_array().into_iter().flatten() {
                let table = part["data_collection"].as_str().unwrap_or_default();
                if original.tables.contains_key(table) {
                    *counted.entry((table.to_owned(), xid)).or_default() +=
                        part["event_count"].as_u64().unwrap_or(0);
                }
            }
        }
        if let (Some((table, key)), Some(xid), true) = (&event.at, event.xid, streamed(event)) {
            let identity = (Some(*key), event.op, event.ver, event.lsn);
            held.entry((table.clone(), xid)).or_default().insert(identity);
        }
    }
    let held = held.into_iter().map(|(part, events)| (part, events.len() as u64));
    (!counted.is_empty() && counted != held.collect()).then_some(CHECK)
}

/// The value of an END event that counts events of tables.
fn end(original: &Original, event: &Event) -> Option<Value> {
    let rest = event.topic.strip_prefix(&*original.prefix)?;
    let value: Value =
        (rest == ".transaction").then(|| serde_json::from_str(event.value.as_deref()?).ok())??;
    let captured =
        |part: &Value| original.tables.contains_key(part["data_collection"].as_str().unwrap_or(""));
    let counts = value["data_collections"].as_array().is_some_and(|parts| parts.iter().any(captured));
    (value["status"] == "END" && counts).then_some(value)
}

/// Up to [`PLACES`] END events, chosen by chance.
fn ends(planter: &mut Planter<'_>) -> Vec<usize> {
    let original = planter.original;
    let all = 0..original.events.len();
    let mut ends: Vec<usize> = all.filter(|i| end(original, &original.events[*i]).is_some()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < PLACES && !ends.is_empty() {
        chosen.push(ends.swap_remove(planter.dice.below(ends.len() as u64) as usize));
    }
    chosen
}

pub(super) fn lost(planter: &mut Planter<'_>) -> Option<Planted> {
    let gone = ends(planter).into_iter().collect();
    planted(planter, planter.without(&gone))
}

pub(super) fn one_more(planter: &mut Planter<'_>) -> Option<Planted> {
    let mut events = planter.original.events.clone();
    for i in ends(planter) {
        let mut value = end(planter.original, &events[i])?;
        for part in value["data_collections"].as_array_mut()? {
            part["event_count"] = json!(part["event_count"].as_u64()? + 1);
        }
        events[i] = Rc::new(Event { value: Some(value.to_string()), ..(*events[i]).clone() });
    }
    planted(planter, events)
}

fn planted(planter: &Planter<'_>, events: Vec<Rc<Event>>) -> Option<Planted> {
    let more = vec![broken(planter.original, &events)?];
    let spoil = Spoil { events: Some(events), ..Spoil::default() };
    Some(Planted { spoil, expected: Expected::Broken { named: Default::default(), more }, column: None })
}
