//! Facts in batches of whole keys, which can be looked at apart from each other.

use std::sync::Arc;

use artifacts::Result;

use super::context::Context;
use super::history::KeyHistory;
use super::record::{Fact, Item};
use super::sort::Merged;

/// Items per batch, not counting the rest of the last key.
const ITEMS: usize = 8192;

/// Cuts what comes in order into batches.
pub(super) struct Batches(pub(super) Merged);

impl Batches {
    fn batch(&mut self) -> Result<Vec<Item>> {
        let mut items: Vec<Item> = Vec::with_capacity(ITEMS);
        loop {
            let last = items.last().map(|item| (item.place.table, item.place.key));
            if items.len() >= ITEMS && last != self.0.peek() {
                return Ok(items);
            }
            match self.0.pop()? {
                Some(item) => items.push(item),
                None => return Ok(items),
            }
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Vec<Item>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.peek()?;
        Some(self.batch())
    }
}

/// The histories of the keys in a batch, matched up.
pub(super) fn histories(cx: &Context, items: Vec<Item>) -> Vec<KeyHistory> {
    let Ok(ledger) = &cx.ledger else { return Vec::new() };
    let mut histories: Vec<KeyHistory> = Vec::new();
    let mut last = None;
    for item in items {
        let (table, key) = (item.place.table, item.place.key);
        if last != Some((table, key)) {
            let same = histories.last().filter(|_| last.is_some_and(|(last, _)| last == table));
            let (name, topic) = same.map_or_else(|| names(cx, table), |h| (h.table.clone(), h.topic.clone()));
            histories.push(KeyHistory::new(name, topic, key));
            last = Some((table, key));
        }
        let Some(history) = histories.last_mut() else { continue };
        match item.fact {
            Fact::Expected(fact) => history.expect(fact),
            Fact::Delivered(fact) => history.deliver(fact),
            Fact::Row(row) => history.row_after = Some(row),
            Fact::OfTransaction(_) => {}
        }
    }
    histories.iter_mut().for_each(|history| history.match_up(&ledger.keyless));
    histories
}

/// Name of a table, and of its topic.
fn names(cx: &Context, table: u16) -> (Arc<str>, Arc<str>) {
    let name = cx.topics.tables.get(usize::from(table)).map_or("", String::as_str);
    (name.into(), format!("{}.{name}", cx.run.names.prefix).into())
}
