//! A browser to look at reports with: Chromium of the system, and what npm adds for the tests.

use std::path::{Path, PathBuf};

use super::{Need, Provision, short_hash, system};
use crate::command::{DOWNLOAD, find_program};
use crate::error::{Error, Result};
use crate::observe::silent;
use crate::paths::{Paths, create_dir};
use crate::progress::Task;

/// Chromium, added as a package of the system where that is allowed (`install`).
///
/// # Errors
/// [`Error::Preflight`] with the one command to run.
pub async fn chromium(install: bool) -> Result<PathBuf> {
    system::require(&[Need::Chromium], install, &silent()).await?;
    find_program("chromium")
        .ok_or_else(|| Error::preflight("Chromium not found", system::remedy(&[Need::Chromium])))
}

/// The folder of the cache in which npm has installed what `package.json` and `package-lock.json` of
/// `folder` name; downloaded once.
///
/// # Errors
/// [`Error::Preflight`] with the one command to run; a failed download.
pub async fn npm(folder: &Path, install: bool) -> Result<PathBuf> {
    let paths = Paths::from_env()?;
    let observer = silent();
    let provision = Provision { paths: &paths, install, observer: &observer };
    system::require(&[Need::Node, Need::Npm], install, &observer).await?;
    let read = |name| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(Error::io("read", &path)).map(|text| (name, text))
    };
    let files = [read("package.json")?, read("package-lock.json")?];
    let home = paths.cache.join(format!("npm-{}", short_hash(&format!("{}{}", files[0].1, files[1].1))));
    create_dir(&paths.cache)?;
    let _lock = provision.lock().await?;
    if home.exists() {
        return Ok(home);
    }
    let task = Task::start("downloading what tests the report in a browser");
    let unfinished = provision.unfinished("npm")?;
    let root = unfinished.path().join("home");
    create_dir(&root)?;
    for (name, text) in files {
        let path = root.join(name);
        std::fs::write(&path, text).map_err(Error::io("write", &path))?;
    }
    let words =
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
    let command = unfinished.command("npm").args(words).cwd(&root);
    command.run("downloading by npm", DOWNLOAD, &*observer).await?;
    unfinished.keep(&root, &home)?;
    task.done();
    Ok(home)
}
