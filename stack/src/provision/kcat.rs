//! kcat and zstd, to compare with: packages of Debian 12 in the cache, unpacked beside the system. What has been read is
//! checked at every use, as every file of the cache.

use std::path::PathBuf;

use super::postgres::deb::{Apt, library_path};
use super::{Need, Provision, blocking, differences, short_hash, system};
use crate::error::{Error, Result};
use crate::observe::silent;
use crate::paths::{Paths, create_dir, remove_dir};
use crate::progress::Task;

/// Package and sum; the first gives the folder its name.
const PINS: [(&str, &str); 4] = [
    ("kcat=1.7.1-2", "c7634113d7db8e9ca840f7f865afd1d13b43014f2dcf591ed3b5744de80030d3"),
    ("librdkafka1=2.0.2-1", "d565b098c1eb5754a9266515e3c282b1d282400903070cbdc42d0f76a14fd9f7"),
    ("libyajl2=2.1.0-3+deb12u2", "b512a6efbe735e7c731185a1b3ea477ff306f0c3f6aa2970e85b12f01fe8063b"),
    ("zstd=1.5.4+dfsg2-5", "3f6f833ae2fd533a0c9238310aef1148f51a64aa5d5f1278451ddc793d4d6d15"),
];

/// Programs that read topics and compress what they hold.
#[derive(Debug, Clone)]
pub struct Kcat {
    /// kcat 1.7.1, on librdkafka 2.0.2.
    pub kcat: PathBuf,
    /// zstd 1.5.4.
    pub zstd: PathBuf,
    /// For `LD_LIBRARY_PATH`.
    pub library_path: String,
}

/// kcat and zstd, downloaded once.
///
/// # Errors
/// [`Error::Preflight`] on other machines than x86-64 and where there is no apt-get; a failed download: on another
/// Debian there are no such versions.
pub async fn kcat(install: bool) -> Result<Kcat> {
    if std::env::consts::ARCH != "x86_64" {
        let machine = format!("this is {}", std::env::consts::ARCH);
        return Err(Error::preflight(machine, "kcat is that of Debian 12 on x86_64"));
    }
    let observer = silent();
    let paths = Paths::from_env()?;
    let provision = Provision { paths: &paths, install, observer: &observer };
    let sums = PINS.map(|(_, sha256)| sha256).concat();
    let home = paths.cache.join(format!("kcat-1.7.1-{}", short_hash(&sums)));
    create_dir(&paths.cache)?;
    let _lock = provision.lock().await?;
    if !home.exists() || !differences(&home).is_empty() {
        remove_dir(&home)?;
        system::require(&[Need::Apt], install, &observer).await?;
        let task = Task::start("downloading kcat");
        fetch(&provision, home.clone()).await?;
        task.done();
    }
    let library_path = library_path(&home).unwrap_or_default();
    Ok(Kcat { kcat: home.join("usr/bin/kcat"), zstd: home.join("usr/bin/zstd"), library_path })
}

async fn fetch(provision: &Provision<'_>, home: PathBuf) -> Result<()> {
    let unfinished = provision.unfinished("kcat")?;
    let apt = Apt { dir: &unfinished, provision };
    let files = apt.get(&PINS.map(|(package, _)| package)).await?;
    apt.check(&files, PINS.into_iter())?;
    let root = apt.dir.path().join("root");
    apt.unpack(&files, &root).await?;
    apt.add_libraries(&root, &[root.join("usr/bin/kcat"), root.join("usr/bin/zstd")]).await?;
    blocking(move || unfinished.keep(&root, &home)).await
}
