//! Class archives: the JVMs write down, at their end, which classes they had loaded, and later
//! ones start in a third of the time. Made once for each Java and each set of jars.

use std::path::{Path, PathBuf};
use std::time::Duration;

use artifacts::run_dir::SUMS;

use super::{CONNECT, KAFKA, Native, first_signal, jvm};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::observe::silent;
use crate::options::{Kind, Options};
use crate::paths::{Paths, create_dir, remove_dir};
use crate::progress::{self, Task};
use crate::provision::{self, CLASSES, Provision, short_hash};
use crate::state::{State, Tools};

/// Writing an archive takes seconds.
const STOP: Duration = Duration::from_secs(120);

/// The folder of the archives; none when they cannot be made: components start all the same.
pub(super) async fn prepare(provision: &Provision<'_>, tools: &Tools) -> Option<PathBuf> {
    // Java refuses an archive when a jar has another path or time than the one it was made from.
    let unpacked = std::fs::metadata(tools.kafka.home.join(SUMS)).and_then(|m| m.modified()).ok();
    let made_from = format!("{:?} {:?} {unpacked:?}", tools.kafka.home, tools.java);
    let folder = provision.paths.cache.join(format!("{CLASSES}{}", short_hash(&made_from)));
    if folder.exists() {
        return Some(folder);
    }
    match make(provision, tools, &folder).await {
        Ok(()) => Some(folder),
        Err(e) => {
            progress::line(&format!("Kafka and Kafka Connect will start slowly: {}", e.cause()));
            None
        }
    }
}

async fn make(provision: &Provision<'_>, tools: &Tools, folder: &Path) -> Result<()> {
    let _lock = provision.lock().await?;
    if folder.exists() {
        return Ok(());
    }
    let task = Task::start("preparing Kafka and Kafka Connect to start faster, once");
    let unfinished = provision.unfinished("classes")?;
    let archives = unfinished.path().join("archives");
    create_dir(&archives)?;
    let native = throw_away(provision.paths, unfinished.path(), &archives, tools)?;
    native.start_warm(&silent()).await?;
    for service in [CONNECT, KAFKA] {
        native.home.daemons.stop(service, first_signal(service), STOP).await?;
        let archive = PathBuf::from(jvm::archive(&archives, service));
        if !archive.exists() {
            return Err(Error::Refused(format!("Java did not write {}", archive.display())));
        }
    }
    // Those of other sets are of no use any more; a JVM that has one open keeps it.
    provision::folders(provision.paths, CLASSES).iter().try_for_each(|old| remove_dir(old))?;
    unfinished.keep(&archives, folder)?;
    task.done();
    Ok(())
}

/// A stack that nobody sees, in a temporary folder.
fn throw_away(paths: &Paths, dir: &Path, archives: &Path, tools: &Tools) -> Result<Native> {
    let options =
        Options { name: "classes".into(), kind: Kind::Native, install: false, standard_ports: false };
    let mut home = Home::in_folder(paths.clone(), options, dir)?;
    let ports = home.settle_ports(None, false, false, |_, _| false)?;
    // Those of the stacks with ZooKeeper start without: only Connect is the same.
    let tools = Tools { zookeeper: None, registry: None, ..tools.clone() };
    let state = Some(State::new(0, 0, ports, "C".into(), tools));
    Ok(Native { home, state, record: Some(archives.into()) })
}
