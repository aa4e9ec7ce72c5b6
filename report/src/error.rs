//! What can go wrong besides damaged evidence, which is a finding and not an error.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The verdict or the report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run directory is none, or cannot be written.
    #[error(transparent)]
    Artifacts(#[from] artifacts::Error),
    /// The report could not be made.
    #[error("cannot render {what}: {cause}")]
    Render {
        /// Template or section.
        what: String,
        /// The cause.
        cause: String,
    },
}
