//! The ledger, shared by all clients. After the first failed write nothing is written any more.

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
    writer: Mutex<Option<Writer>>,
    /// Holds the lock until the end.
    _lock: File,
}

impl Ledger {
    /// Locks the ledger and opens it for appending, making it when it does not exist.
    pub(crate) fn open(path: &Path, seed: u64) -> Result<Self, Error> {
        let lock = File::options().create(true).append(true).open(path);
        let lock = lock.map_err(artifacts::Error::io("open", path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(path.to_owned())),
            Err(TryLockError::Error(e)) => return Err(artifacts::Error::io("lock", path)(e).into()),
        }
        let writer = Writer::open(path, seed, tables())?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(Some(writer)), _lock: lock })
    }

    /// Appends an entry.
    pub(crate) fn write(&self, entry: &Entry) -> Result<(), Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = writer.as_mut() else {
            let closed = std::io::Error::other("an earlier write has failed");
            return Err(Error::Unwritten(artifacts::Error::io("write", &self.path)(closed)));
        };
        let written = open.write(entry);
        if written.is_err() {
            *writer = None;
        }
        written.map_err(Error::Unwritten)
    }
}
