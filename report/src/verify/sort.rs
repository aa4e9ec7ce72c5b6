//! External merge sort: items are sorted in chunks of bounded memory, spilled to nameless files,
//! and merged. Nothing is left behind, whatever happens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use artifacts::{Error, Result};

use super::record::{Item, Place};

const BUFFER: usize = 1 << 16;

/// Takes items in any order.
pub struct Sorter {
    dir: PathBuf,
    limit_bytes: usize,
    held_bytes: usize,
    held: Vec<Item>,
    spilled: Vec<File>,
}

impl Sorter {
    /// Keeps at most `limit_bytes` in memory and spills into files of `dir`.
    pub fn new(dir: &Path, limit_bytes: usize) -> Self {
        let held = Vec::with_capacity(limit_bytes / size_of::<Item>() + 1);
        Self { dir: dir.to_owned(), limit_bytes, held_bytes: 0, held, spilled: Vec::new() }
    }

    /// Where it spills.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes an item.
    ///
    /// # Errors
    /// The chunk cannot be spilled (a full disk).
    pub fn push(&mut self, item: Item) -> Result<()> {
        if self.held_bytes + item.size() > self.limit_bytes {
            self.spill().map_err(Error::io("sort in", &self.dir))?;
        }
        self.held_bytes += item.size();
        self.held.push(item);
        Ok(())
    }

    fn sort(&mut self) {
        self.held.sort_unstable_by_key(|item| item.place);
    }

    fn spill(&mut self) -> std::io::Result<()> {
        self.sort();
        let mut out = BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(&self.dir)?);
        let mut bytes = Vec::new();
        for item in self.held.drain(..) {
            bytes.clear();
            item.encode(&mut bytes);
            out.write_all(&(bytes.len() as u32).to_le_bytes())?;
            out.write_all(&bytes)?;
        }
        let mut file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.spilled.push(file);
        self.held_bytes = 0;
        Ok(())
    }
}

/// All items of several sorters in order.
pub struct Merged {
    dir: PathBuf,
    sources: Vec<Source>,
    heap: BinaryHeap<Reverse<(Place, usize)>>,
}

struct Source {
    next: Option<Item>,
    rest: Rest,
}

enum Rest {
    Held(std::vec::IntoIter<Item>),
    Spilled(BufReader<File>, Vec<u8>),
}

impl Merged {
    /// Merges what the sorters took.
    ///
    /// # Errors
    /// A spilled chunk cannot be read.
    pub fn new(dir: &Path, sorters: Vec<Sorter>) -> Result<Self> {
        let mut merged = Self { dir: dir.to_owned(), sources: Vec::new(), heap: BinaryHeap::new() };
        for mut sorter in sorters {
            sorter.sort();
            merged.add(Rest::Held(sorter.held.into_iter()))?;
            for file in sorter.spilled {
                merged.add(Rest::Spilled(BufReader::with_capacity(BUFFER, file), Vec::new()))?;
            }
        }
        Ok(merged)
    }

    fn add(&mut self, rest: Rest) -> Result<()> {
        self.sources.push(Source { next: None, rest });
        self.refill(self.sources.len() - 1)
    }

    fn refill(&mut self, n: usize) -> Result<()> {
        let source = &mut self.sources[n];
        source.next = match &mut source.rest {
            Rest::Held(items) => items.next(),
            Rest::Spilled(file, bytes) => read(file, bytes).map_err(Error::io("sort in", &self.dir))?,
        };
        if let Some(item) = &source.next {
            self.heap.push(Reverse((item.place, n)));
        }
        Ok(())
    }

    /// Table and key of the next item.
    pub fn peek(&self) -> Option<(u16, Option<i64>)> {
        self.heap.peek().map(|Reverse((place, _))| (place.table, place.key))
    }

    /// The next item.
    ///
    /// # Errors
    /// A spilled chunk cannot be read.
    pub fn pop(&mut self) -> Result<Option<Item>> {
        let Some(Reverse((_, n))) = self.heap.pop() else { return Ok(None) };
        let item = self.sources[n].next.take();
        self.refill(n)?;
        Ok(item)
    }
}

fn read(file: &mut BufReader<File>, bytes: &mut Vec<u8>) -> std::io::Result<Option<Item>> {
    let mut len = [0; 4];
    match file.read_exact(&mut len) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    bytes.resize(u32::from_le_bytes(len) as usize, 0);
    file.read_exact(bytes)?;
    match Item::decode(&mut bytes.as_slice()) {
        Some(item) => Ok(Some(item)),
        None => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "a spilled item is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::items;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn merging_chunks_is_sorting(list in proptest::collection::vec(items(), 0..200), chunk in 1..40usize) {
            let dir = tempfile::tempdir().unwrap();
            let limit = chunk * size_of::<Item>();
            let mut sorters = vec![Sorter::new(dir.path(), limit), Sorter::new(dir.path(), limit)];
            for (i, item) in list.iter().enumerate() {
                sorters[i % 2].push(item.clone()).unwrap();
            }
            let mut merged = Merged::new(dir.path(), sorters).unwrap();
            let mut places = Vec::new();
            while let Some(item) = merged.pop().unwrap() {
                places.push(item.place);
            }
            let mut expected: Vec<Place> = list.iter().map(|item| item.place).collect();
            expected.sort_unstable();
            prop_assert_eq!(places, expected);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
