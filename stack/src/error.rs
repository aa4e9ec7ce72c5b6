//! What can go wrong while a stack is provisioned, started or stopped.

use std::path::{Path, PathBuf};

use crate::wait::WaitError;

/// A result of the backends.
pub type Result<T> = std::result::Result<T, Error>;

/// One sentence of stages, and what helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is missing on this machine; nothing was started.
    #[error("{found}; {remedy}")]
    Preflight {
        /// What was found, or not.
        found: String,
        /// The one thing to do, with the command.
        remedy: String,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `create`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file of the stack is not what it should be.
    #[error("{} is corrupt: {cause}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        cause: String,
    },
    /// A command failed.
    #[error("{what} failed with {status}: {tail}\n  command: {paste}")]
    Command {
        /// What it was for.
        what: String,
        /// `exit code 1`, `signal 9`, or why it did not start.
        status: String,
        /// The last lines of its output.
        tail: String,
        /// The command in a form that can be pasted.
        paste: String,
    },
    /// A component did not become ready or did not end.
    #[error("{cause}; last lines of {}:\n{tail}", log.display())]
    Component {
        /// What was waited for and what was seen last.
        cause: WaitError,
        /// The component's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A condition did not come true.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Another command works on the stack.
    #[error("the stack '{name}' is in use by {holder}; wait for it or choose another stack with --name")]
    Busy {
        /// The stack.
        name: String,
        /// Process id and command line of the holder.
        holder: String,
    },
    /// What was asked for does not fit this stack.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// Wraps an I/O error with what was tried on which file.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Something is missing on this machine.
    pub fn preflight(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Preflight { found: found.into(), remedy: remedy.into() }
    }

    /// A file that can be read but not believed.
    pub fn corrupt(path: &Path, cause: impl ToString) -> Self {
        Self::Corrupt { path: path.to_owned(), cause: cause.to_string() }
    }

    /// The first line of what went wrong, without what helps.
    pub(crate) fn cause(&self) -> String {
        let text = match self {
            Self::Preflight { found, .. } => found.clone(),
            other => other.to_string(),
        };
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// The last line that a failed command has said; else the first line of what went wrong.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Command { tail, .. } => tail.lines().last().unwrap_or_default().trim().to_owned(),
            other => other.cause(),
        }
    }

    /// Whether something is missing on this machine: exit code 3 of the command line.
    pub fn is_preflight(&self) -> bool {
        matches!(self, Self::Preflight { .. })
    }
}
