//! How commands, requests and statements get into the evidence: clients tell an [`Observer`].

use std::sync::Arc;

use artifacts::events::EventKind;

/// Raw material of an event, kept in a file of its own.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    /// File name extension: `json`, `txt`, ...
    pub extension: &'a str,
    /// Contents; the observer takes the secrets out.
    pub bytes: &'a [u8],
}

/// Receives what the clients do. Implemented by the runner, and by [`Silent`].
pub trait Observer: Send + Sync {
    /// Records an event. The observer stores `raw` and fills the event's `out` with its path.
    fn event(&self, kind: EventKind, raw: Option<Raw<'_>>);
}

/// An observer that can be shared between clients and tasks.
pub type Shared = Arc<dyn Observer>;

/// Records nothing: for monitoring commands and background sampling.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _kind: EventKind, _raw: Option<Raw<'_>>) {}
}

/// A [`Silent`] observer.
pub fn silent() -> Shared {
    Arc::new(Silent)
}
