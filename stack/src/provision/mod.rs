//! Gets the programs of the native stack into the cache folder: pinned, checked, once.
//!
//! Everything is downloaded by the machine's own package clients into a temporary folder, checked
//! against sums that are part of this crate, and renamed into place. A folder under its final
//! name is therefore whole; its name holds what it was made from.

mod browser;
mod checked;
pub(crate) mod docker;
mod duckdb;
mod jars;
mod kcat;
mod postgres;
mod system;
mod wheel;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use artifacts::seal;
use sha2::{Digest, Sha256};

use crate::command::Command;
use crate::daemon::Daemons;
use crate::error::{Error, Result};
use crate::lock::FileLock;
use crate::observe::Shared;
use crate::options::Parts;
use crate::paths::{Paths, create_dir, remove_dir, require_open};
use crate::progress;
use crate::state::{PostgresTools, Tools};

pub use browser::{chromium, npm};
pub(crate) use checked::differences;
pub use duckdb::{DuckDb, duckdb};
pub(crate) use jars::Jars;
pub use kcat::{Kcat, kcat};
pub(crate) use postgres::{MAJORS, Source};
pub(crate) use system::{Need, available, free_bytes, has_proc, remedy, require, require_space};

/// Room for one more rehearsal: two clusters and Kafka's logs.
pub(crate) const STATE_BYTES: u64 = 1 << 30;
/// Room for all programs while they are downloaded and unpacked.
const DOWNLOAD_BYTES: u64 = 6 << 30;
/// Somebody else may be downloading everything.
const LOCK: Duration = Duration::from_secs(30 * 60);
/// Begins the name of a folder of class archives.
pub(crate) const CLASSES: &str = "classes-";
/// Begins the name of a folder that is being filled.
const UNFINISHED: &str = ".pg-cdc-unfinished-";

/// Where programs come from and who is told.
pub(crate) struct Provision<'a> {
    pub(crate) paths: &'a Paths,
    /// Missing system packages may be added.
    pub(crate) install: bool,
    pub(crate) observer: &'a Shared,
}

impl Provision<'_> {
    /// Everything that a stack with these major versions needs. With all of it in the cache this
    /// uses no network and takes a fraction of a second.
    ///
    /// # Errors
    /// [`Error::Preflight`] when something is missing that cannot or must not be added; a failed
    /// download; a file that is not what was pinned.
    pub(crate) async fn tools(&self, majors: &[u32], parts: Parts) -> Result<Tools> {
        system::require_proc()?;
        require_space(&self.paths.state, STATE_BYTES, system::ELSEWHERE)?;
        let sources = majors.iter().map(|major| Source::of(*major)).collect::<Result<Vec<_>>>()?;
        let kafka = Jars::kafka();
        let zookeeper = parts.zookeeper.then(Jars::zookeeper);
        let registry = parts.registry.then(Jars::registry);
        let sets: Vec<&Jars> = [&kafka].into_iter().chain(&zookeeper).chain(&registry).collect();
        self.own(&sources).await?;
        create_dir(&self.paths.cache)?;
        self.check_cache(&sources, &sets).await?;
        let missing: Vec<&Source> = sources.iter().filter(|s| !s.is_there(self.paths)).collect();
        let kafka_missing = sets.iter().any(|set| !set.home(self.paths).exists());
        let mut needs = vec![Need::Java];
        needs.extend(missing.iter().filter_map(|source| source.needs()));
        needs.extend(kafka_missing.then_some(Need::Maven));
        let complete = !kafka_missing && missing.is_empty();
        require_space(&self.paths.cache, cache_bytes(complete), system::ELSEWHERE)?;
        let java = system::prepare(&needs, self.install, self.observer).await?;
        let (kafka, zookeeper, registry) = {
            let _lock = if complete { None } else { Some(self.lock().await?) };
            let postgres = async {
                for source in &sources {
                    source.fetch(self).await?;
                }
                Ok::<_, Error>(())
            };
            let jars = async {
                let tools = kafka.fetch_kafka(self).await?;
                let zookeeper = match &zookeeper {
                    Some(set) => Some(set.fetch_zookeeper(self).await?),
                    None => None,
                };
                let registry = match &registry {
                    Some(set) => Some(set.fetch_registry(self).await?),
                    None => None,
                };
                Ok((tools, zookeeper, registry))
            };
            let ((), tools) = tokio::try_join!(postgres, jars)?;
            tools
        };
        let mut postgres: BTreeMap<u32, PostgresTools> = BTreeMap::new();
        for source in &sources {
            postgres.insert(source.major(), source.tools(self).await?);
        }
        Ok(Tools { java, kafka, zookeeper, registry, archives: None, postgres })
    }

    /// The user's own folders, before anything is downloaded for nothing.
    async fn own(&self, sources: &[Source]) -> Result<()> {
        for source in sources.iter().filter(|source| matches!(source, Source::Own { .. })) {
            require_open([source.tools(self).await?.bindir.as_path()])?;
        }
        Ok(())
    }

    /// Compares what is in the cache with the sums taken when it was unpacked, and removes what
    /// differs, to be downloaded again.
    async fn check_cache(&self, sources: &[Source], sets: &[&Jars]) -> Result<()> {
        let folders: Vec<PathBuf> = sources
            .iter()
            .filter_map(|source| source.folder(self.paths))
            .chain(sets.iter().map(|set| set.home(self.paths)))
            .chain(self::folders(self.paths, CLASSES))
            .filter(|folder| folder.exists())
            .collect();
        let checks = folders.into_iter().map(|folder| blocking(move || Ok((differences(&folder), folder))));
        let checks: Vec<_> = checks.map(tokio::spawn).collect();
        let mut differences = Vec::new();
        for check in checks {
            differences.push(joined(check.await)?);
        }
        for (found, folder) in differences.into_iter().filter(|(found, _)| !found.is_empty()) {
            progress::line(&format!("{} is damaged ({}): it is made anew", folder.display(), found[0]));
            let _lock = self.lock().await?;
            remove_dir(&folder)?;
        }
        Ok(())
    }

    /// One process at a time fills the cache. What an earlier one left half done is removed.
    pub(crate) async fn lock(&self) -> Result<FileLock> {
        let cache = self.paths.cache.clone();
        let told = |holder: &str| progress::line(&format!("waiting for the cache, in use by {holder}"));
        let lock = FileLock::acquire_within(&cache.join("lock"), "a free cache", LOCK, told).await?;
        blocking(move || {
            remove_unfinished(&cache);
            Ok(lock)
        })
        .await
    }

    /// A folder to fill; it is gone when this is dropped, unless it was [`Unfinished::keep`]-ed.
    pub(crate) fn unfinished(&self, what: &str) -> Result<Unfinished> {
        let path = self.paths.cache.join(format!("{UNFINISHED}{what}.{}", std::process::id()));
        remove_dir(&path)?;
        create_dir(&path)?;
        Ok(Unfinished(path))
    }
}

/// A folder that is being filled. No process of it outlives it.
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A command that works on the folder, and does not outlive it either.
    pub(crate) fn command(&self, program: &str) -> Command {
        Command::new(program).tags(Daemons::new(&self.0).tags(program))
    }

    /// Seals a part of the folder with sums and moves it to its final name.
    pub(crate) fn keep(self, part: &Path, name: &Path) -> Result<()> {
        let sums = part.join(artifacts::run_dir::SUMS);
        let text = seal::sums(part).map_err(|e| Error::corrupt(part, e))?;
        std::fs::write(&sums, text).map_err(Error::io("write", &sums))?;
        std::fs::rename(part, name).map_err(Error::io("move into place", name))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        Daemons::new(&self.0).kill();
        let _ = remove_dir(&self.0);
    }
}

/// The folders of the cache whose name begins like this.
pub(crate) fn folders(paths: &Paths, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&paths.cache).into_iter().flatten().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix)).map(|e| e.path()).collect()
}

/// Free bytes that the disk of the cache must have; nothing more when it is complete.
pub(crate) fn cache_bytes(complete: bool) -> u64 {
    if complete { 0 } else { DOWNLOAD_BYTES }
}

/// Removes what a crash left half done, with its processes, unless somebody is at work on it.
pub(crate) fn clean(paths: &Paths) {
    let lock = paths.cache.join("lock");
    if lock.exists()
        && let Ok(Ok(_lock)) = FileLock::try_acquire(&lock)
    {
        remove_unfinished(&paths.cache);
    }
}

fn remove_unfinished(cache: &Path) {
    for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            drop(Unfinished(entry.path()));
        }
    }
}

/// Compares a downloaded file with its pinned sum.
pub(crate) fn verify(file: &Path, expected: &str) -> Result<()> {
    let found = seal::sha256_file(file).map_err(|e| Error::corrupt(file, e))?;
    if found == expected {
        return Ok(());
    }
    Err(Error::corrupt(file, format!("its sha256 is {found}, pinned is {expected}; nothing of it was used")))
}

/// The first characters of a SHA-256: enough to name a folder by what it was made from.
pub(crate) fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Runs what blocks away from the threads that wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    joined(tokio::task::spawn_blocking(work).await)
}

/// The result of a task; a panic in it goes on here.
fn joined<T>(result: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    match result {
        Ok(result) => result,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(e) => Err(Error::Refused(format!("interrupted: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths { cache: dir.path().into(), state: dir.path().into() };
        let observer = crate::observe::silent();
        let provision = Provision { paths: &paths, install: false, observer: &observer };
        let unfinished = provision.unfinished("x").unwrap();
        let part = unfinished.path().join("root");
        std::fs::create_dir(&part).unwrap();
        std::fs::write(part.join("postgres"), "1").unwrap();
        let home = dir.path().join("postgresql-1");
        let temporary = unfinished.path().to_owned();
        unfinished.keep(&part, &home).unwrap();
        assert!(!temporary.exists());
        assert!(differences(&home).is_empty());
        std::fs::write(home.join("postgres"), "2").unwrap();
        assert_eq!(differences(&home), ["postgres was changed"]);
    }

    #[test]
    fn only_unfinished_folders_of_ours_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [".git", ".pg-cdc-unfinished-kafka.1", "work"].map(|name| dir.path().join(name));
        folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
        remove_unfinished(dir.path());
        assert_eq!(folders.map(|folder| folder.exists()), [true, false, true]);
    }

    #[tokio::test]
    async fn a_bad_folder_of_the_user_is_seen_first() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths { cache: dir.path().join("cache"), state: dir.path().into() };
        let observer = crate::observe::silent();
        let provision = Provision { paths: &paths, install: false, observer: &observer };
        let own = Source::Own { major: 15, bindir: dir.path().into() };
        let error = provision.own(&[own]).await.unwrap_err();
        assert!(error.is_preflight() && error.to_string().contains("set PG15_BINDIR"), "{error}");
        let program = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        };
        postgres::PROGRAMS.iter().for_each(|name| program(name, ""));
        for text in ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho postgres '(PostgreSQL)' 16.1\n"] {
            program("postgres", text);
            let own = Source::Own { major: 15, bindir: dir.path().into() };
            let error = provision.own(&[own]).await.unwrap_err();
            assert!(error.is_preflight() && error.to_string().contains("set PG15_BINDIR"), "{error}");
        }
    }

    #[test]
    fn both_sums_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.deb");
        std::fs::write(&file, "").unwrap();
        let message = verify(&file, "00").unwrap_err().to_string();
        assert!(
            message.contains("its sha256 is e3b0c44298fc") && message.contains("pinned is 00"),
            "{message}"
        );
    }
}
