//! The violations of one kind: all of them counted, of the smallest witnesses something kept.

use std::collections::BTreeMap;

use artifacts::findings::Violation;

/// What makes a witness small: few records to look at, a row with a short history, an early
/// position; at last the place in the file.
type Size = (usize, u32, u64, u64);

/// Violations of one kind; `T` is kept of the smallest.
#[derive(Debug)]
pub(crate) struct Witnesses<T> {
    pub(crate) total: u64,
    smallest: BTreeMap<Size, T>,
}

impl<T> Default for Witnesses<T> {
    fn default() -> Self {
        Self { total: 0, smallest: BTreeMap::new() }
    }
}

impl<T> Witnesses<T> {
    /// Counts a violation, and keeps what `kept` makes of it if it is among the `max` smallest.
    pub(crate) fn add(&mut self, violation: &Violation, max: usize, kept: impl FnOnce() -> T) {
        self.total += 1;
        let size = self.size(violation);
        if self.smallest.len() >= max {
            match self.smallest.last_key_value() {
                Some((largest, _)) if *largest > size => self.smallest.pop_last(),
                _ => return,
            };
        }
        self.smallest.insert(size, kept());
    }

    /// The smallest first.
    pub(crate) fn smallest(&self) -> impl Iterator<Item = &T> {
        self.smallest.values()
    }

    fn size(&self, v: &Violation) -> Size {
        let lsn = v.lsn.map_or(u64::MAX, |lsn| lsn.0);
        (v.at.len(), v.ver.unwrap_or(u32::MAX), lsn, self.total)
    }
}

#[cfg(test)]
mod tests {
    use artifacts::Lsn;
    use serde_json::json;

    use super::*;

    fn violation(ver: u32, lsn: u64) -> Violation {
        let value = json!({
            "kind": "missing", "check": "nothing-missing", "table": "public.orders", "key": 1, "ver": ver,
            "lsn": Lsn(lsn), "at": []
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_smallest_are_kept_in_order_and_all_are_counted() {
        let mut witnesses = Witnesses::default();
        for (ver, lsn) in [(3, 1), (1, 90), (2, 5), (1, 20), (7, 0), (1, 20)] {
            witnesses.add(&violation(ver, lsn), 4, || (ver, lsn));
        }
        assert!(witnesses.smallest().eq(&[(1, 20), (1, 20), (1, 90), (2, 5)]));
        assert_eq!(witnesses.total, 6);
    }
}
