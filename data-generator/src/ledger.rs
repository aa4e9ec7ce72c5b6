//! The ledger, shared by all clients. After the first failed write nothing is written any more, and no transaction
//! goes on; one that is only measured against writes nothing from the start, and that is no error.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use artifacts::ledger::{Entry, Writer};
use artifacts::row::tables;

use crate::Error;

/// An open ledger that no other data generator writes.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    writer: Mutex<State>,
    /// Holds the lock until the end.
    _lock: File,
}

#[derive(Debug)]
enum State {
    Open(Writer),
    /// An earlier write has failed.
    Failed,
    /// Nothing is to be written.
    Off,
}

impl Ledger {
    /// Locks the ledger and opens it for appending, making it when it does not exist.
    pub(crate) fn open(path: &Path, seed: u64) -> Result<Self, Error> {
        let lock = lock(path)?;
        let writer = Writer::open(path, seed, tables())?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(State::Open(writer)), _lock: lock })
    }

    /// Locks the ledger, and leaves it as it is whatever is written.
    pub(crate) fn off(path: &Path) -> Result<Self, Error> {
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(State::Off), _lock: lock })
    }

    /// Appends an entry.
    pub(crate) fn write(&self, entry: &Entry) -> Result<(), Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *writer {
            State::Open(open) => open.write(entry),
            State::Failed => {
                let closed = std::io::Error::other("an earlier write has failed");
                Err(artifacts::Error::io("write", &self.path)(closed))
            }
            State::Off => Ok(()),
        };
        if written.is_err() {
            *writer = State::Failed;
        }
        written.map_err(Error::Unwritten)
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let lock = File::options().create(true).append(true).open(path);
    let lock = lock.map_err(artifacts::Error::io("open", path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Busy(path.to_owned())),
        Err(TryLockError::Error(e)) => Err(artifacts::Error::io("lock", path)(e).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::Ok { tx: "c1-1".into(), t: artifacts::time::now() }
    }

    #[test]
    fn off_leaves_the_ledger_as_it_is_and_locks_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        Ledger::open(&path, 7).unwrap().write(&entry()).unwrap();
        let before = std::fs::read(&path).unwrap();
        let off = Ledger::off(&path).unwrap();
        off.write(&entry()).unwrap();
        assert!(matches!(Ledger::open(&path, 7), Err(Error::Busy(_))));
        drop(off);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(String::from_utf8(before).unwrap().lines().count(), 2);
    }

    #[test]
    fn one_that_has_failed_is_not_off() {
        let path = Path::new("/dev/full");
        let ledger =
            Ledger { path: path.into(), writer: Mutex::new(State::Failed), _lock: lock(path).unwrap() };
        for _ in 0..2 {
            let error = ledger.write(&entry()).unwrap_err();
            assert!(matches!(error, Error::Unwritten(_)), "{error}");
        }
    }
}
