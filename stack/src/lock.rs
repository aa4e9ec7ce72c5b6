//! Locks between processes: released by the kernel when their holder ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::observe::Silent;
use crate::paths::{Paths, create_dir};
use crate::procfs::Process;
use crate::wait::{self, Probe};

/// An exclusive `flock` on a file. The file stays; what it says is only for people.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

/// The lock is held by this process: id and command line.
#[derive(Debug)]
pub(crate) struct Held(pub(crate) String);

impl FileLock {
    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub(crate) fn try_acquire(path: &Path) -> Result<std::result::Result<Self, Held>> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Self::held(file, path).map(Ok),
            Err(Errno::WOULDBLOCK) => Ok(Err(Held(read_holder(file)))),
            Err(e) => Err(Error::io("lock", path)(e.into())),
        }
    }

    /// Takes the lock as soon as it is free; `told` hears once who holds it.
    ///
    /// # Errors
    /// As [`FileLock::try_acquire`]; at the deadline the error names the holder.
    pub(crate) async fn acquire_within(
        path: &Path,
        what: &str,
        deadline: Duration,
        told: impl FnOnce(&str),
    ) -> Result<Self> {
        let mut told = Some(told);
        wait::until(&Silent, what, deadline, || {
            let probe = match Self::try_acquire(path) {
                Ok(Err(Held(holder))) => {
                    if let Some(told) = told.take() {
                        told(&holder);
                    }
                    Probe::NotYet(format!("in use by {holder}"))
                }
                Ok(Ok(lock)) => Probe::Ready(Ok(lock)),
                Err(e) => Probe::Ready(Err(e)),
            };
            std::future::ready(probe)
        })
        .await?
    }

    fn held(mut file: File, path: &Path) -> Result<Self> {
        let me = std::process::id();
        let command = Process::of(me).map(Process::command).unwrap_or_default();
        let holder = format!("process {me} ({command})\n");
        // Written before it is cut, so that it is never seen empty.
        file.write_all(holder.as_bytes())
            .and_then(|()| file.set_len(holder.len() as u64))
            .map_err(Error::io("write", path))?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        create_dir(parent)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(Error::io("open", path))
}

fn read_holder(mut file: File) -> String {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
    match (read, text.trim()) {
        (Ok(_), text) if !text.is_empty() => text.to_owned(),
        _ => "another process".into(),
    }
}

/// The right to work on a stack; given back when dropped or when the process ends.
#[derive(Debug)]
pub struct StackLock {
    _lock: FileLock,
}

impl StackLock {
    /// Takes the lock of the named stack; nobody waits for it.
    ///
    /// # Errors
    /// [`Error::Busy`] with the holder's process id and command line.
    pub fn acquire(name: &str) -> Result<Self> {
        let path = Paths::from_env()?.stack_lock(name);
        match FileLock::try_acquire(&path)? {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(Held(holder)) => Err(Error::Busy { name: name.into(), holder }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/lab");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let Held(holder) = FileLock::try_acquire(&path).unwrap().unwrap_err();
        assert!(holder.contains(&format!("process {}", std::process::id())), "{holder}");
        drop(lock);
        assert!(FileLock::try_acquire(&path).unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_deadline_and_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let (mut told, soon) = (Vec::new(), Duration::from_millis(100));
        let late = FileLock::acquire_within(&path, "the cache", soon, |holder| told.push(holder.to_owned()));
        let message = late.await.unwrap_err().to_string();
        assert!(message.contains(&format!("in use by process {}", std::process::id())), "{message}");
        assert_eq!(told.len(), 1);
        drop(lock);
        assert!(FileLock::acquire_within(&path, "the cache", soon, |_| ()).await.is_ok());
    }
}
