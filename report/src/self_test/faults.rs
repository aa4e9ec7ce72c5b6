//! Faults of delivery: what is planted among the events of a run, and what must be named then.

mod alter;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use artifacts::findings::ViolationKind;
use artifacts::ledger::{Entry, Op};
use artifacts::row::{Digest, Wide};
use serde_json::{Value, json};

use super::copy::Spoil;
use super::original::{Event, Key, Original};
use super::{Expected, Named, Planted};
use crate::synth::sim::Dice;

/// Places that a fault is planted at.
const PLACES: usize = 5;
/// Records that a topic loses at its end.
const TAIL: usize = 50;

/// Plants; none when the run has no place for it.
pub(super) type Fault = fn(&mut Planter<'_>) -> Option<Planted>;

/// By name, in the order of the table.
pub(super) const FAULTS: [(&str, Fault); 18] = [
    ("events dropped", drop_events),
    ("tombstones dropped", drop_tombstones),
    ("snapshot reads dropped", drop_reads),
    ("a topic's tail lost", lose_tail),
    ("a table lost", lose_table),
    ("half of a transaction of unknown fate", half_of_unknown),
    ("events repeated, same LSN", repeat),
    ("changes executed again, other LSN", execute_again),
    ("rows read again by a snapshot", read_again),
    ("rows read again at an old version", read_old_version),
    ("two events of a key swapped", swap),
    ("a column altered", alter::column),
    ("the row before an update altered", alter::before),
    ("a wide value left out that had changed", alter::leave_out),
    ("a row inserted that nobody made", invent_insert),
    ("an update that nobody made", invent_update),
    ("END events lost", transactions::lost),
    ("an END event that counts one more", transactions::one_more),
];

/// Chooses places and spoils.
pub(super) struct Planter<'a> {
    pub(super) original: &'a Original,
    pub(super) dice: Dice,
}

impl Planter<'_> {
    /// Up to [`PLACES`] events of different keys, chosen by chance.
    fn places(&mut self, fits: impl Fn(&Event, &[usize], usize) -> bool) -> Vec<usize> {
        let original = self.original;
        let clean = original.of_key.iter().filter(|(at, _)| !original.odd.contains(*at));
        let mut keys: Vec<Vec<usize>> = clean
            .map(|(_, list)| {
                let fits = |n: &usize| fits(&original.events[list[*n]], list, *n);
                (0..list.len()).filter(fits).map(|n| list[n]).collect::<Vec<usize>>()
            })
            .filter(|places| !places.is_empty())
            .collect();
        let mut chosen = Vec::new();
        while chosen.len() < PLACES && !keys.is_empty() {
            let places = keys.swap_remove(self.dice.below(keys.len() as u64) as usize);
            chosen.push(places[self.dice.below(places.len() as u64) as usize]);
        }
        chosen.sort_unstable();
        chosen
    }

    fn event(&self, i: usize) -> &Rc<Event> {
        &self.original.events[i]
    }

    /// The next event of the key, in the same partition.
    fn next(&self, i: usize) -> Option<usize> {
        let list = self.original.of_key.get(self.event(i).at.as_ref()?)?;
        let next = *list.get(list.binary_search(&i).ok()? + 1)?;
        (self.event(next).partition == self.event(i).partition).then_some(next)
    }

    /// Events without some of them.
    fn without(&self, gone: &BTreeSet<usize>) -> Vec<Rc<Event>> {
        let kept = self.original.events.iter().enumerate().filter(|(i, _)| !gone.contains(i));
        kept.map(|(_, event)| event.clone()).collect()
    }

    /// Events, and more at the end.
    fn with(&self, more: Vec<Event>) -> Vec<Rc<Event>> {
        let more = more.into_iter().map(|event| Rc::new(Event { before_cut: false, ..event }));
        self.original.events.iter().cloned().chain(more).collect()
    }

    /// What is planted, and the keys that end differently because of it.
    fn planted(&self, events: Vec<Rc<Event>>, mut named: BTreeSet<Named>) -> Option<Planted> {
        if named.is_empty() {
            return None;
        }
        let touched: BTreeSet<Key> = named.iter().map(|named| named.at.clone()).collect();
        named.extend(self.diverged(&events, touched));
        let more = transactions::broken(self.original, &events).into_iter().collect();
        let spoil = Spoil { events: Some(events), ..Spoil::default() };
        Some(Planted { spoil, expected: Expected::Broken { named, more }, column: None })
    }

    /// Of these keys, those whose last event leaves another row than the database has.
    fn diverged(&self, events: &[Rc<Event>], keys: BTreeSet<Key>) -> BTreeSet<Named> {
        let mut order: Vec<&Rc<Event>> = events.iter().filter(|event| event.op.is_some()).collect();
        order.sort_by_key(|event| event.partition);
        // Rows, none of which may be known, and what is in their wide columns.
        let mut ends: BTreeMap<&Key, (Option<Digest>, Option<&str>)> = BTreeMap::new();
        for event in order {
            let Some(at) = event.at.as_ref().filter(|at| keys.contains(*at)) else { continue };
            if matches!(event.op, Some(Op::Delete | Op::Tombstone)) {
                ends.remove(at);
                continue;
            }
            let held = ends.get(at).and_then(|(_, held)| *held);
            let end = match &event.wide {
                Some(Wide::Given(text)) => (event.row, Some(&**text)),
                Some(open) => (held.and_then(|held| open.filled(held)), held),
                None => (event.row, held),
            };
            ends.insert(at, end);
        }
        let row = |at: &Key| self.original.rows.get(at).copied();
        let differs = |at: &&Key| ends.get(at).map(|(end, _)| *end) != row(at).map(Some);
        keys.iter().filter(differs).map(|at| named(ViolationKind::Diverged, at, None, None)).collect()
    }
}

fn named(kind: ViolationKind, at: &Key, ver: Option<u32>, op: Option<Op>) -> Named {
    Named { kind, at: at.clone(), ver, op }
}

/// A violation of this event.
fn of(event: &Event, kind: ViolationKind) -> Option<Named> {
    Some(named(kind, event.at.as_ref()?, event.ver, event.op))
}

fn streamed(event: &Event) -> bool {
    matches!(event.op, Some(Op::Create | Op::Update | Op::Delete))
}

fn written(event: &Event) -> bool {
    matches!(event.op, Some(Op::Create | Op::Update))
}

/// A deletion goes with its tombstone.
fn drop_events(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, _, _| streamed(event));
    let mut gone: BTreeSet<usize> = places.iter().copied().collect();
    for place in &places {
        if planter.event(*place).op == Some(Op::Delete) {
            gone.extend(planter.next(*place));
        }
    }
    let named = places.iter().filter_map(|i| of(planter.event(*i), ViolationKind::Missing)).collect();
    planter.planted(planter.without(&gone), named)
}

fn drop_tombstones(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, _, _| event.op == Some(Op::Tombstone));
    let named = places.iter().filter_map(|i| of(planter.event(*i), ViolationKind::Missing)).collect();
    planter.planted(planter.without(&places.into_iter().collect()), named)
}

/// With a snapshot's row everything is missing that it stands for.
fn drop_reads(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, _, n| n == 0 && event.op == Some(Op::Read));
    let read: BTreeMap<&Key, Option<u32>> =
        places.iter().filter_map(|i| Some((planter.event(*i).at.as_ref()?, planter.event(*i).ver))).collect();
    let covered = |change: &&super::original::Change| {
        let ver = read.get(&change.at).copied().flatten();
        change.op != Op::Delete && ver.is_some_and(|ver| change.ver <= ver)
    };
    let changes = planter.original.changes.iter().filter(covered);
    let missing = changes.map(|c| named(ViolationKind::Missing, &c.at, Some(c.ver), Some(c.op))).collect();
    planter.planted(planter.without(&places.iter().copied().collect()), missing)
}

/// The last records of a topic never arrive.
fn lose_tail(planter: &mut Planter<'_>) -> Option<Planted> {
    let original = planter.original;
    let clean = |event: &Event| event.at.as_ref().is_some_and(|at| !original.odd.contains(at));
    let topic = original.events.iter().rfind(|event| clean(event))?.topic.clone();
    let of_topic = (0..original.events.len()).rev().filter(|i| planter.event(*i).topic == topic);
    let lost = of_topic
        .take(TAIL)
        .take_while(|i| clean(planter.event(*i)) && planter.event(*i).op != Some(Op::Read));
    let gone: BTreeSet<usize> = lost.collect();
    let deleted: BTreeSet<&Key> = gone
        .iter()
        .filter(|i| planter.event(**i).op == Some(Op::Delete))
        .filter_map(|i| planter.event(*i).at.as_ref())
        .collect();
    // A tombstone is named only where its deletion has arrived.
    let alone = |event: &Event| {
        event.op != Some(Op::Tombstone) || event.at.as_ref().is_some_and(|at| !deleted.contains(at))
    };
    let lost = gone.iter().map(|i| planter.event(*i)).filter(|event| alone(event));
    let named = lost.filter_map(|event| of(event, ViolationKind::Missing)).collect();
    planter.planted(planter.without(&gone), named)
}

/// Nothing of a table arrives.
fn lose_table(planter: &mut Planter<'_>) -> Option<Planted> {
    let original = planter.original;
    let odd: BTreeSet<&String> = original.odd.iter().map(|(table, _)| table).collect();
    let table = original.tables.keys().find(|table| !odd.contains(table))?;
    let of_table = |event: &Event| event.at.as_ref().is_some_and(|(name, _)| name == table);
    let gone = (0..original.events.len()).filter(|i| of_table(planter.event(*i))).collect();
    let changes = original.changes.iter().filter(|change| change.at.0 == *table);
    let missing = changes.map(|c| named(ViolationKind::Missing, &c.at, Some(c.ver), Some(c.op))).collect();
    planter.planted(planter.without(&gone), missing)
}

/// The client never learned the fate of a transaction of which one change arrived and another did not.
fn half_of_unknown(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, list, n| written(event) && n + 1 == list.len());
    let mut ledger = planter.original.ledger.clone();
    let (place, tx) = places.into_iter().find_map(|i| Some((i, larger(planter, &ledger, i)?)))?;
    let fate = ledger.iter_mut().find(|entry| matches!(entry, Entry::Ok { tx: of, .. } if *of == tx))?;
    let Entry::Ok { t, .. } = fate else { return None };
    *fate = Entry::Info { tx: tx.clone(), t: *t, error: "connection reset".into() };
    let mut planted = planter.planted(
        planter.without(&[place].into()),
        of(planter.event(place), ViolationKind::Missing).into_iter().collect(),
    )?;
    planted.spoil.edits = super::damage::one_more_unknown(planter.original, &ledger, &tx)?;
    planted.spoil.ledger = Some(ledger);
    Some(planted)
}

/// The acknowledged transaction of an event, if it has touched other rows too.
fn larger(planter: &Planter<'_>, ledger: &[Entry], place: usize) -> Option<String> {
    let event = planter.event(place);
    let (table, key) = event.at.as_ref()?;
    let mut wanted: Option<(&str, &Vec<artifacts::ledger::Change>)> = None;
    for entry in ledger {
        match entry {
            Entry::Invoke { tx, changes, .. } if changes.len() > 1 => {
                let made = |c: &artifacts::ledger::Change| c.table == *table && Some(c.ver) == event.ver;
                if changes.iter().any(made) {
                    wanted = Some((tx, changes));
                }
            }
            Entry::Returned { tx, keys, counts, .. } if wanted.is_some_and(|(of, _)| of == tx) => {
                let (_, changes) = wanted?;
                let this = |i: usize| changes[i].table == *table && keys[i] == Some(*key) && counts[i] > 0;
                let others = (0..keys.len()).filter(|i| counts[*i] > 0 && keys[*i] != Some(*key)).count();
                let alone = (0..keys.len()).filter(|i| this(*i)).count() == 1;
                if alone
                    && others > 0
                    && (0..keys.len()).any(|i| this(i) && Some(changes[i].ver) == event.ver)
                {
                    let tx = tx.clone();
                    let ok = |entry: &Entry| matches!(entry, Entry::Ok { tx: of, .. } if *of == tx);
                    return ledger.iter().any(ok).then_some(tx);
                }
            }
            _ => {}
        }
    }
    None
}

fn repeat(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, _, _| streamed(event));
    again(planter, &places, |event| event.clone())
}

fn execute_again(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, _, _| written(event));
    let columns =
        |event: &Event| event.at.as_ref().map(|at| planter.original.columns(&at.0)).unwrap_or_default();
    let moved =
        |event: &Event| event.edited(columns(event), |value| value["source"]["lsn"] = json!(i64::MAX));
    again(planter, &places, moved)
}

fn read_again(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, list, n| written(event) && n + 1 == list.len());
    again(planter, &places, |event| as_read(planter, event))
}

/// A consumer that applies it ends with an older row.
fn read_old_version(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, list, n| written(event) && n + 1 < list.len());
    again(planter, &places, |event| as_read(planter, event))
}

/// The event as a snapshot would have read it.
fn as_read(planter: &Planter<'_>, event: &Event) -> Event {
    let columns = event.at.as_ref().map(|at| planter.original.columns(&at.0)).unwrap_or_default();
    event.edited(columns, |value| {
        (value["op"], value["before"]) = (json!("r"), Value::Null);
        value["source"]["snapshot"] = json!("true");
    })
}

fn again(planter: &Planter<'_>, places: &[usize], other: impl Fn(&Event) -> Event) -> Option<Planted> {
    let more: Vec<Event> = places.iter().map(|i| other(planter.event(*i))).collect();
    let named = more.iter().filter_map(|event| of(event, ViolationKind::Repeated)).collect();
    planter.planted(planter.with(more), named)
}

fn swap(planter: &mut Planter<'_>) -> Option<Planted> {
    let original = planter.original;
    let places = planter.places(|event, list, n| {
        let next = list.get(n + 1).map(|i| &original.events[*i]);
        let follows = |next: &&Rc<Event>| next.op == Some(Op::Update) && next.partition == event.partition;
        written(event) && next.filter(follows).is_some()
    });
    let mut events = planter.original.events.clone();
    let mut named = BTreeSet::new();
    for place in places {
        let next = planter.next(place)?;
        events.swap(place, next);
        for (i, other) in [(place, next), (next, place)] {
            let before_cut = planter.event(i).before_cut;
            events[i] = Rc::new(Event { before_cut, ..(**planter.event(other)).clone() });
        }
        named.extend(of(planter.event(place), ViolationKind::Reordered));
    }
    planter.planted(events, named)
}

fn invent_insert(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, _, _| event.op == Some(Op::Create));
    invent(planter, &places, |event, value| {
        let key = event.at.as_ref().map_or(0, |at| at.1) + 1_000_000_000;
        value["after"]["id"] = json!(key);
        event.record_key = Some(json!({ "id": key }).to_string());
        event.at = event.at.take().map(|(table, _)| (table, key));
    })
}

fn invent_update(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, list, n| written(event) && n + 1 == list.len());
    invent(planter, &places, |_, value| {
        value["op"] = json!("u");
        (value["after"]["ver"], value["after"]["change_id"]) = (json!(900_000), json!(i64::MAX));
    })
}

fn invent(planter: &Planter<'_>, places: &[usize], make: impl Fn(&mut Event, &mut Value)) -> Option<Planted> {
    let mut more = Vec::new();
    for place in places {
        let mut event = (**planter.event(*place)).clone();
        let columns = planter.original.columns(&event.at.as_ref()?.0);
        let mut value: Value = serde_json::from_str(event.value.as_deref()?).ok()?;
        make(&mut event, &mut value);
        more.push(event.edited(columns, |old| *old = value));
    }
    let named = more.iter().filter_map(|event| of(event, ViolationKind::Unexpected)).collect();
    planter.planted(planter.with(more), named)
}
