//! Where the project is, and which revision of it this is.

use std::path::{Path, PathBuf};

use anyhow::Context;
use artifacts::run::Tool;
use xshell::{Shell, cmd};

/// The top of the checkout this binary was built from.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned());
    manifest.parent().map(Path::to_owned).unwrap_or(manifest)
}

/// The folder that holds the run directories: `PG_CDC_RUNS`, else `runs` in the checkout.
pub(crate) fn runs() -> PathBuf {
    std::env::var_os("PG_CDC_RUNS").map_or_else(|| root().join("runs"), PathBuf::from)
}

/// Writes a page whole or not at all: somebody may be writing the same one.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    std::fs::write(&name, text)
        .and_then(|()| std::fs::rename(&name, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Version and revision of the tool.
pub(crate) fn tool() -> Tool {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let git = || -> anyhow::Result<(String, bool)> {
        let sh = Shell::new()?;
        sh.change_dir(root());
        let revision = cmd!(sh, "git rev-parse --short=12 HEAD").quiet().ignore_stderr().read()?;
        let dirty = !cmd!(sh, "git status --porcelain").quiet().ignore_stderr().read()?.is_empty();
        Ok((revision, dirty))
    };
    let (revision, dirty) = git().unwrap_or_else(|_| ("unknown".into(), false));
    Tool { version, revision, dirty }
}
