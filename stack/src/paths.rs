//! Where the cache and the state live.
//!
//! PostgreSQL does not run as root, so root's folders are system folders that every user may
//! enter. Other users get the folders of the XDG base directory specification. Wherever it is, the
//! last folder is our own: what lies beside it is never touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const PRODUCT: &str = "pg-cdc-rehearsal";

/// The two roots.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// Downloaded and unpacked programs, shared by all stacks; can be deleted while none runs.
    pub(crate) cache: PathBuf,
    /// `stacks/<name>` with data, logs and passwords; `locks/<name>`.
    pub(crate) state: PathBuf,
}

impl Paths {
    /// From the environment: `PG_CDC_CACHE`, `PG_CDC_STATE`, else by user.
    ///
    /// # Errors
    /// An ordinary user without `HOME`.
    pub(crate) fn from_env() -> Result<Self> {
        Self::choose(is_root(), |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from))
    }

    fn choose(root: bool, var: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let pick = |own: &str, system: &str, xdg: &str, below_home: &str| {
            if let Some(path) = var(own) {
                let base = std::path::absolute(&path).map_err(Error::io("find", &path))?;
                return Ok(base.join(PRODUCT));
            }
            if root {
                return Ok(Path::new(system).join(PRODUCT));
            }
            let base = var(xdg).filter(|p| p.is_absolute()).or_else(|| Some(var("HOME")?.join(below_home)));
            base.map(|base| base.join(PRODUCT)).ok_or_else(|| {
                Error::preflight(
                    "neither HOME nor XDG folders are set",
                    format!("set {own} to a folder of yours"),
                )
            })
        };
        Ok(Self {
            cache: pick("PG_CDC_CACHE", "/var/cache", "XDG_CACHE_HOME", ".cache")?,
            state: pick("PG_CDC_STATE", "/var/lib", "XDG_STATE_HOME", ".local/state")?,
        })
    }

    /// The folder of a stack.
    pub(crate) fn stack(&self, name: &str) -> PathBuf {
        self.state.join("stacks").join(name)
    }

    /// The lock of a stack, outside its folder so that the folder can be deleted under it.
    pub(crate) fn stack_lock(&self, name: &str) -> PathBuf {
        self.state.join("locks").join(name)
    }
}

/// Whether this process may change the system.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes a folder and its parents; those that are new can be entered by every user, whatever the
/// umask says.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_dir(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Error::io("open up", path))
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(Error::io("create", path)(e)),
    }
}

/// Makes a folder that only its owner may enter, whatever it was before.
pub(crate) fn create_private_dir(path: &Path) -> Result<()> {
    create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(Error::io("close", path))
}

/// PostgreSQL does not run as root and must be able to enter these.
///
/// # Errors
/// The first folder on the way that other users may not enter.
pub(crate) fn require_open<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    paths.into_iter().find_map(closed).map_or(Ok(()), |folder| {
        Err(Error::preflight(
            format!("{} cannot be entered by the user that PostgreSQL runs as", folder.display()),
            format!(
                "run: chmod o+x {}, or set PG_CDC_CACHE and PG_CDC_STATE to other folders",
                folder.display()
            ),
        ))
    })
}

/// The outermost folder of a path that other users may not enter.
fn closed(path: &Path) -> Option<&Path> {
    let is_closed =
        |dir: &&Path| fs::metadata(dir).is_ok_and(|m| m.is_dir() && m.permissions().mode() & 0o001 == 0);
    path.ancestors().filter(is_closed).last()
}

/// Deletes a folder and all it holds; one that is not there is fine.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all, readable by `mode`.
pub(crate) fn write_file(path: &Path, text: &str, mode: u32) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let tmp = path.with_added_extension("tmp");
    let _ = fs::remove_file(&tmp);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&tmp)
        .map_err(Error::io("create", &tmp))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(Error::io("write", &tmp))?;
    fs::rename(&tmp, path).map_err(Error::io("replace", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<PathBuf> + 'a {
        move |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v))
    }

    #[test]
    fn root_uses_system_folders_others_their_own() {
        let root = Paths::choose(true, vars(&[("HOME", "/root")])).unwrap();
        assert_eq!(root.cache, Path::new("/var/cache/pg-cdc-rehearsal"));
        assert_eq!(root.stack("lab"), Path::new("/var/lib/pg-cdc-rehearsal/stacks/lab"));
        let user = Paths::choose(false, vars(&[("HOME", "/home/u"), ("XDG_CACHE_HOME", "/c")])).unwrap();
        assert_eq!(user.cache, Path::new("/c/pg-cdc-rehearsal"));
        assert_eq!(user.state, Path::new("/home/u/.local/state/pg-cdc-rehearsal"));
        let own = Paths::choose(true, vars(&[("PG_CDC_CACHE", "/x"), ("PG_CDC_STATE", "/y")])).unwrap();
        assert_eq!(own.cache, Path::new("/x/pg-cdc-rehearsal"));
        assert_eq!(own.state, Path::new("/y/pg-cdc-rehearsal"));
        assert!(Paths::choose(false, vars(&[])).unwrap_err().is_preflight());
    }

    #[test]
    fn the_outermost_closed_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        create_dir(&deep).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(closed(&deep), Some(dir.path()));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(closed(&deep), None);
    }

    #[test]
    fn a_private_folder_is_closed_also_when_it_was_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("open/kafka");
        create_dir(&path).unwrap();
        create_private_dir(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o700, 0o755));
    }

    #[test]
    fn a_secret_file_is_never_readable_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.json");
        write_file(&path, "x", 0o600).unwrap();
        write_file(&path, "y", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "y");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
