//! Everything about one key: what the ledger expects, what the topics hold, how the database ends;
//! and which event belongs to which change.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use artifacts::ledger::Op;
use artifacts::row::{Digest, Wide};

use super::record::{Delivered, Expected};

/// All facts about a key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyHistory {
    /// Table, `public.orders`.
    pub table: Arc<str>,
    /// Its topic.
    pub topic: Arc<str>,
    /// Primary key; none for events whose key cannot be read.
    pub key: Option<i64>,
    /// By version. A seed row is the first, as [`Op::Read`].
    pub expected: Vec<Wanted>,
    /// In the order of partition and offset.
    pub delivered: Vec<Event>,
    /// The row in the new database at the end, where the rows are known.
    pub row_after: Option<Digest>,
}

/// An expectation and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What the ledger says.
    pub fact: Expected,
    /// Must be in the topics: committed, or proven so by a later version of the row.
    pub required: bool,
    /// The event that delivered it; for a version before the snapshot, the `r` that covers it.
    pub delivered: Option<usize>,
    /// The tombstone of a delete.
    pub tombstone: Option<usize>,
}

/// An event and what it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What the topic holds.
    pub fact: Delivered,
    /// What it belongs to.
    pub belongs: Belongs,
}

/// What an event belongs to. The numbers are indices into [`KeyHistory::expected`] and
/// [`KeyHistory::delivered`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belongs {
    /// The first delivery of a change.
    First(usize),
    /// A later delivery of a change.
    Repeat {
        /// The change.
        of: usize,
        /// The first delivery.
        first: usize,
    },
    /// A change whose transaction broke off before its key was known.
    Unsettled,
    /// Nothing.
    Nothing,
}

impl Event {
    /// It leaves out a value that nobody knows.
    pub fn is_open(&self) -> bool {
        self.fact.row.is_none() && matches!(self.fact.wide.as_deref(), Some(Wide::LeftOut(..)))
    }
}

impl KeyHistory {
    /// A history without facts.
    pub fn new(table: Arc<str>, topic: Arc<str>, key: Option<i64>) -> Self {
        Self { table, topic, key, expected: Vec::new(), delivered: Vec::new(), row_after: None }
    }

    /// Adds an expectation; they must come in order.
    pub fn expect(&mut self, fact: Expected) {
        let required = fact.committed;
        self.expected.push(Wanted { fact, required, delivered: None, tombstone: None });
    }

    /// Adds an event; they must come in order.
    pub fn deliver(&mut self, fact: Delivered) {
        self.delivered.push(Event { fact, belongs: Belongs::Nothing });
    }

    /// Finds out which event belongs to which change. `keyless`: see [`super::expect::Ledger`].
    pub fn match_up(&mut self, keyless: &HashSet<u64>) {
        self.prove();
        let mut opened = false;
        for i in 0..self.delivered.len() {
            let belongs = self.owner(i, opened);
            let unsettled = self.delivered[i].fact.change_id.is_some_and(|id| keyless.contains(&id));
            self.delivered[i].belongs = match belongs {
                Belongs::Nothing if unsettled => Belongs::Unsettled,
                other => other,
            };
            opened |= belongs != Belongs::Nothing;
        }
        if self.delivered.iter().any(|event| event.is_open()) {
            self.complete();
        }
    }

    /// An update that left the wide column out has the value of the version before it, where that one
    /// has arrived.
    fn complete(&mut self) {
        let of = |(i, event): (usize, &Event)| match event.belongs {
            Belongs::First(of) | Belongs::Repeat { of, .. } => Some((self.expected[of].fact.ver, i)),
            _ => None,
        };
        let mut order: Vec<(u32, usize)> = self.delivered.iter().enumerate().filter_map(of).collect();
        order.sort_unstable();
        let mut held: BTreeMap<u32, Box<str>> = BTreeMap::new();
        for (ver, i) in order {
            let event = &mut self.delivered[i];
            let before = ver.checked_sub(1).and_then(|before| held.get(&before)).cloned();
            let holds = match (event.fact.wide.as_deref(), before) {
                (Some(Wide::Given(text)), _) => Some(text.clone()),
                (Some(wide), Some(before)) => {
                    event.fact.event.row = wide.filled(&before);
                    Some(before)
                }
                _ => None,
            };
            // The first delivery counts.
            if let Some(text) = holds {
                held.entry(ver).or_insert(text);
            }
        }
    }

    /// Whether what an event leaves out was last in a change that is missing, which has its own name.
    pub fn is_excused(&self, event: usize) -> bool {
        let (Belongs::First(of) | Belongs::Repeat { of, .. }) = self.delivered[event].belongs else {
            return false;
        };
        let before = self.expected[..of].iter().rev().filter(|wanted| wanted.fact.op != Op::Delete);
        let mut versions = before
            .zip(1..)
            .take_while(|(wanted, n)| wanted.fact.ver.checked_add(*n) == Some(self.expected[of].fact.ver));
        let known = |wanted: &Wanted| wanted.delivered.is_some_and(|i| !self.delivered[i].is_open());
        versions.find_map(|(wanted, _)| match wanted.delivered {
            None => Some(wanted.required),
            Some(_) => known(wanted).then_some(false),
        }) == Some(true)
    }

    /// The row that the last event leaves with whoever applies one after the other; none when it removes
    /// the row, and when a value that it leaves out has never been delivered.
    pub fn left_by(&self, last: usize) -> Option<Digest> {
        let event = &self.delivered[last].fact;
        match (event.op, event.wide.as_deref()) {
            (Some(Op::Delete | Op::Tombstone), _) => None,
            (_, Some(wide @ Wide::LeftOut(..))) => {
                let earlier = self.delivered[..last].iter().rev();
                let there = |event: &&Event| !matches!(event.fact.op, Some(Op::Delete | Op::Tombstone));
                let held = earlier.take_while(there);
                let mut given = held.filter_map(|event| match event.fact.wide.as_deref() {
                    Some(Wide::Given(text)) => Some(text),
                    _ => None,
                });
                wide.filled(given.next()?)
            }
            _ => event.row,
        }
    }

    /// A change of unknown fate was committed if a later version of the row is acknowledged, or the
    /// deletion of its own, and no other change can have made its version.
    fn prove(&mut self) {
        let known = self.expected.iter().filter(|w| w.fact.committed);
        let newest = known.map(|w| (w.fact.ver, w.fact.op == Op::Delete)).max();
        for i in 0..self.expected.len() {
            let fact = &self.expected[i].fact;
            let made_it = |w: &&Wanted| w.fact.op != Op::Delete && w.fact.ver == fact.ver;
            let alone = self.expected.iter().filter(made_it).count() == 1;
            let proven = fact.op != Op::Delete && alone && newest > Some((fact.ver, false));
            self.expected[i].required |= proven;
        }
    }

    fn owner(&mut self, i: usize, opened: bool) -> Belongs {
        let event = &self.delivered[i].fact;
        let Some(op) = event.op else { return Belongs::Nothing };
        // The change id decides, or the transaction of a delete, which has none of its own; then the
        // version; a committed change before an unknown one.
        let score = |w: &Wanted| (event.change_id == Some(w.fact.change_id), event.ver == Some(w.fact.ver));
        let candidates = self.expected.iter().enumerate().filter(|(_, w)| match op {
            Op::Read => w.fact.op != Op::Delete && score(w) != (false, false),
            Op::Create | Op::Update => w.fact.op == op && score(w) != (false, false),
            Op::Delete | Op::Tombstone => w.fact.op == Op::Delete,
        });
        let best = candidates.max_by_key(|(n, w)| {
            let low = |xid: u64| xid & u64::from(u32::MAX);
            let by_xid = event.xid.is_some() && event.xid.map(low) == w.fact.xid.map(low);
            let by_id = if op == Op::Delete { by_xid } else { op != Op::Tombstone && score(w).0 };
            (by_id, score(w).1, w.delivered.is_some() && op == Op::Tombstone, w.required, usize::MAX - n)
        });
        let Some((of, _)) = best else { return Belongs::Nothing };
        let wanted = &mut self.expected[of];
        let place = if op == Op::Tombstone { &mut wanted.tombstone } else { &mut wanted.delivered };
        if let Some(first) = *place {
            return Belongs::Repeat { of, first };
        }
        *place = Some(i);
        if op == Op::Read && !opened {
            self.cover(of, i);
        }
        Belongs::First(of)
    }

    /// A snapshot that opens the history of a key stands for every version up to the one it saw.
    fn cover(&mut self, of: usize, event: usize) {
        let ver = self.expected[of].fact.ver;
        for wanted in &mut self.expected {
            if wanted.required && wanted.fact.op != Op::Delete && wanted.fact.ver < ver {
                wanted.delivered = Some(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::RowEvent;
    use super::*;
    use artifacts::ledger::Phase;

    fn wanted(op: Op, ver: u32, change_id: u64, committed: bool) -> Expected {
        let (phase, row, xid, lsn_floor) = (Phase::Before, None, None, None);
        Expected { change_id, op, ver, phase, committed, row, xid, lsn_floor, line: 1 }
    }

    fn event(offset: i64, op: Op, ver: u32, change_id: u64) -> Delivered {
        let event = RowEvent {
            op: Some(op),
            ver: (op != Op::Tombstone).then_some(ver),
            change_id: matches!(op, Op::Read | Op::Create | Op::Update).then_some(change_id),
            ..RowEvent::default()
        };
        Delivered { partition: 0, offset, phase: Phase::Before, event }
    }

    fn belongs(expected: &[Expected], delivered: &[Delivered]) -> (Vec<Belongs>, KeyHistory) {
        let mut history = KeyHistory::new("public.t".into(), "cdc.public.t".into(), Some(1));
        expected.iter().for_each(|fact| history.expect(fact.clone()));
        delivered.iter().for_each(|fact| history.deliver(fact.clone()));
        history.match_up(&HashSet::from([77]));
        (history.delivered.iter().map(|e| e.belongs).collect(), history)
    }

    #[test]
    fn a_snapshot_covers_the_versions_before_it_and_only_when_it_opens_the_key() {
        let expected =
            [1, 2, 3].map(|v| wanted(if v == 1 { Op::Create } else { Op::Update }, v, v.into(), true));
        let (found, history) = belongs(&expected, &[event(0, Op::Read, 2, 2), event(1, Op::Update, 3, 3)]);
        assert_eq!(found, [Belongs::First(1), Belongs::First(2)]);
        assert_eq!(history.expected[0].delivered, Some(0));
        let (found, history) = belongs(&expected, &[event(0, Op::Create, 1, 1), event(1, Op::Read, 3, 3)]);
        assert_eq!(found, [Belongs::First(0), Belongs::First(2)]);
        assert_eq!(history.expected[1].delivered, None, "a later snapshot stands for its own version only");
    }

    #[test]
    fn what_an_update_leaves_out_is_what_the_version_before_had() {
        let expected =
            [1, 2, 3].map(|v| wanted(if v == 1 { Op::Create } else { Op::Update }, v, v.into(), true));
        let given = |text: &str| Some(Box::new(Wide::Given(text.into())));
        let open = || Some(Box::new(Wide::LeftOut("head ".into(), " tail".into())));
        let with = |offset, ver: u32, wide| {
            let op = if ver == 1 { Op::Create } else { Op::Update };
            let mut event = event(offset, op, ver, ver.into());
            event.event.wide = wide;
            event
        };
        let filled = |text: &str| Some(Digest::of(&format!("head {text} tail")));
        let of = |events: &[Delivered]| belongs(&expected, events).1;
        let rows = |history: &KeyHistory| history.delivered.iter().map(|e| e.fact.row).collect::<Vec<_>>();

        let history = of(&[with(0, 1, given("a")), with(1, 2, open()), with(2, 3, open())]);
        assert_eq!(rows(&history), [None, filled("a"), filled("a")]);
        assert_eq!(history.left_by(2), filled("a"));
        // In another order, a version has what the version before it has, and a consumer what came last.
        let history = of(&[with(0, 1, given("a")), with(1, 3, open()), with(2, 2, given("b"))]);
        assert_eq!(rows(&history), [None, filled("b"), None]);
        assert_eq!(history.left_by(1), filled("a"));
        // Without the version before it, nobody knows.
        let history = of(&[with(0, 1, given("a")), with(1, 3, open())]);
        assert_eq!((rows(&history), history.left_by(1)), (vec![None, None], filled("a")));
        assert!(history.delivered[1].is_open() && history.is_excused(1));
        let history = of(&[with(1, 3, open())]);
        assert_eq!((history.left_by(0), history.is_excused(0)), (None, true));
        // It is there, and does not say.
        let history = of(&[with(0, 1, None), with(1, 2, open()), with(2, 3, open())]);
        assert!([1, 2].iter().all(|i| history.delivered[*i].is_open() && !history.is_excused(*i)));
        // Behind a deletion there is no row.
        let history = of(&[with(0, 1, given("a")), event(1, Op::Tombstone, 0, 0), with(2, 3, open())]);
        assert_eq!(history.left_by(2), None);
    }

    #[test]
    fn an_event_is_found_by_change_id_or_by_version() {
        let expected = [wanted(Op::Create, 1, 5, true)];
        assert_eq!(belongs(&expected, &[event(0, Op::Create, 9, 5)]).0, [Belongs::First(0)]);
        assert_eq!(belongs(&expected, &[event(0, Op::Create, 1, 9)]).0, [Belongs::First(0)]);
        assert_eq!(belongs(&expected, &[event(0, Op::Create, 9, 9)]).0, [Belongs::Nothing]);
        assert_eq!(belongs(&expected, &[event(0, Op::Update, 1, 5)]).0, [Belongs::Nothing]);
        assert_eq!(belongs(&expected, &[event(0, Op::Create, 9, 77)]).0, [Belongs::Unsettled]);
    }

    #[test]
    fn an_unknown_change_is_proven_by_a_later_version() {
        let unknown = [wanted(Op::Create, 1, 1, true), wanted(Op::Update, 2, 2, false)];
        assert!(!belongs(&unknown, &[]).1.expected[1].required);
        let later = [unknown.to_vec(), vec![wanted(Op::Update, 3, 3, true)]].concat();
        assert!(belongs(&later, &[]).1.expected[1].required);
        let deleted = |ver| [unknown.to_vec(), vec![wanted(Op::Delete, ver, 3, true)]].concat();
        assert!(belongs(&deleted(2), &[]).1.expected[1].required, "it was there to be deleted");
        assert!(!belongs(&deleted(1), &[]).1.expected[1].required);
        let other = [later, vec![wanted(Op::Update, 2, 4, false)]].concat();
        assert!(!belongs(&other, &[]).1.expected[1].required);
    }

    #[test]
    fn a_delete_and_its_tombstone_are_one_change() {
        let expected = [wanted(Op::Create, 1, 1, true), wanted(Op::Delete, 1, 2, true)];
        let events = [event(0, Op::Create, 1, 1), event(1, Op::Delete, 1, 0), event(2, Op::Tombstone, 0, 0)];
        let repeat = event(3, Op::Tombstone, 0, 0);
        let (found, _) = belongs(&expected, &[&events[..], &[repeat]].concat());
        assert_eq!(found[1..3], [Belongs::First(1), Belongs::First(1)]);
        assert_eq!(found[3], Belongs::Repeat { of: 1, first: 2 });
    }
}
