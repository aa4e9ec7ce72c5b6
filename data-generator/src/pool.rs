//! The live rows of one table: lookup by key, and by rank for random choices.

use std::collections::HashMap;

/// Rows by key; the rank of a row changes only when another one is removed.
#[derive(Debug, Clone)]
pub(crate) struct Pool<T> {
    rows: Vec<(i64, T)>,
    rank: HashMap<i64, usize>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), rank: HashMap::new() }
    }
}

impl<T> Pool<T> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row at a rank below [`Pool::len`].
    pub(crate) fn at(&self, rank: usize) -> (i64, &T) {
        let (key, row) = &self.rows[rank];
        (*key, row)
    }

    pub(crate) fn get_mut(&mut self, key: i64) -> Option<&mut T> {
        let rank = *self.rank.get(&key)?;
        Some(&mut self.rows[rank].1)
    }

    /// Adds a row, or replaces the one with this key.
    pub(crate) fn put(&mut self, key: i64, row: T) {
        match self.rank.get(&key) {
            Some(rank) => self.rows[*rank].1 = row,
            None => {
                self.rank.insert(key, self.rows.len());
                self.rows.push((key, row));
            }
        }
    }

    pub(crate) fn remove(&mut self, key: i64) -> Option<T> {
        let rank = self.rank.remove(&key)?;
        let (_, row) = self.rows.swap_remove(rank);
        if let Some((moved, _)) = self.rows.get(rank) {
            self.rank.insert(*moved, rank);
        }
        Some(row)
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> impl Iterator<Item = i64> {
        self.rows.iter().map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_pool_is_a_map(steps in prop::collection::vec((0i64..20, prop::option::of(0u32..9)), 0..100)) {
            let (mut pool, mut map) = (Pool::default(), BTreeMap::new());
            for (key, value) in steps {
                match value {
                    Some(value) => { pool.put(key, value); map.insert(key, value); }
                    None => prop_assert_eq!(pool.remove(key), map.remove(&key)),
                }
            }
            let ranked: BTreeMap<_, _> = (0..pool.len()).map(|i| (pool.at(i).0, *pool.at(i).1)).collect();
            prop_assert_eq!(&ranked, &map);
            for key in 0..20 {
                prop_assert_eq!(pool.get_mut(key).copied(), map.get(&key).copied());
            }
        }
    }
}
