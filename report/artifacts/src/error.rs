//! What can go wrong while reading or writing a run directory.

use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that names the file, and the line where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is there and is not what it should be.
    #[error("{} is corrupt at {place}: {cause}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Line, byte or record.
        place: String,
        /// What is wrong.
        cause: String,
    },
    /// The artifact was written by a later, incompatible version of the tool.
    #[error("{} has schema {found}, this tool reads {}: use the version of the tool that wrote it", path.display(), crate::SCHEMA)]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: String,
    },
}

impl Error {
    /// Wraps an I/O error with what was tried on which file.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// A file that can be read but not believed.
    pub fn corrupt(path: &Path, place: impl Into<String>, cause: impl ToString) -> Self {
        Self::Corrupt { path: path.to_owned(), place: place.into(), cause: cause.to_string() }
    }
}

/// Refuses an unknown major version of the schema.
pub fn check_schema(path: &Path, found: &str) -> Result<()> {
    let major = |s: &str| s.split('.').next().map(str::to_owned);
    if major(found) == major(crate::SCHEMA) {
        Ok(())
    } else {
        Err(Error::Schema { path: path.to_owned(), found: found.to_owned() })
    }
}
