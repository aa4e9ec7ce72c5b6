//! The violations of one kind: all of them counted, of the smallest witnesses something kept.

use std::collections::BTreeMap;

use artifacts::Lsn;
use artifacts::findings::Violation;

/// What makes a witness small: few records to look at, a row with a short history, an early
/// position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(usize, u32, u64);

impl Size {
    pub(crate) fn of(records: usize, ver: Option<u32>, lsn: Option<Lsn>) -> Self {
        Self(records, ver.unwrap_or(u32::MAX), lsn.map_or(u64::MAX, |lsn| lsn.0))
    }
}

impl From<&Violation> for Size {
    fn from(violation: &Violation) -> Self {
        Self::of(violation.at.len(), violation.ver, violation.lsn)
    }
}

/// Violations of one kind; `T` is kept of the smallest.
#[derive(Debug)]
pub(crate) struct Witnesses<T> {
    pub(crate) total: u64,
    /// By size, and at last by their place among all.
    smallest: BTreeMap<(Size, u64), T>,
}

impl<T> Default for Witnesses<T> {
    fn default() -> Self {
        Self { total: 0, smallest: BTreeMap::new() }
    }
}

impl<T> Witnesses<T> {
    /// Counts a violation, and keeps what `kept` makes of it if it is among the `max` smallest.
    pub(crate) fn add(&mut self, size: Size, max: usize, kept: impl FnOnce() -> T) {
        self.total += 1;
        let size = (size, self.total);
        if self.smallest.len() >= max {
            match self.smallest.last_key_value() {
                Some((largest, _)) if *largest > size => self.smallest.pop_last(),
                _ => return,
            };
        }
        self.smallest.insert(size, kept());
    }

    /// Those that come after these.
    pub(crate) fn append(&mut self, others: Self, max: usize) {
        let before = self.total;
        self.smallest
            .extend(others.smallest.into_iter().map(|((size, no), kept)| ((size, before + no), kept)));
        self.total += others.total;
        while self.smallest.len() > max {
            self.smallest.pop_last();
        }
    }

    /// With something else kept of them.
    pub(crate) fn filter_map<U>(self, mut kept: impl FnMut(T) -> Option<U>) -> Witnesses<U> {
        let smallest = self.smallest.into_iter().filter_map(|(size, one)| Some((size, kept(one)?)));
        Witnesses { total: self.total, smallest: smallest.collect() }
    }

    /// The smallest first, to be completed.
    pub(crate) fn smallest_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.smallest.values_mut()
    }

    /// The smallest first.
    pub(crate) fn smallest(&self) -> impl Iterator<Item = &T> {
        self.smallest.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_are_kept_in_order_and_all_are_counted() {
        let mut witnesses = Witnesses::default();
        for (ver, lsn) in [(3, 1), (1, 90), (2, 5), (1, 20), (7, 0), (1, 20)] {
            witnesses.add(Size::of(0, Some(ver), Some(Lsn(lsn))), 4, || (ver, lsn));
        }
        assert!(witnesses.smallest().eq(&[(1, 20), (1, 20), (1, 90), (2, 5)]));
        assert_eq!(witnesses.total, 6);
    }
}
