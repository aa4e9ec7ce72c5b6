//! Class archives (CDS) that let the JVMs start in a third of the time.

use std::path::PathBuf;

use super::Provision;
use crate::state::{Java, KafkaTools};

/// The folder of the archives; none when they could not be made: components start all the same.
pub(super) async fn prepare(
    _provision: &Provision<'_>,
    _java: &Java,
    _tools: &KafkaTools,
) -> Option<PathBuf> {
    None
}
