//! Which stack, and of what it is.

use serde::{Deserialize, Serialize};

/// Where the components run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Processes on 127.0.0.1.
    Native,
    /// Containers of Docker Compose.
    Compose,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Compose => "compose",
        })
    }
}

/// Which stack, and what it may do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Lower-case letters, digits and dashes.
    pub name: String,
    /// Where a stack runs that is not there yet; one that is there stays where it is.
    pub kind: Kind,
    /// Missing system packages may be added (as root, on Debian).
    pub install: bool,
    /// 5432, 5433, 9092, 8081 and 8083 instead of free ports.
    pub standard_ports: bool,
}

/// Components beside the usual ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Kafka is of the last line that has no controller of its own; one that ran otherwise begins without its
    /// topics.
    pub zookeeper: bool,
    /// The Schema Registry, and its converter in Kafka Connect.
    pub registry: bool,
}

/// What [`Stack::down`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Down {
    /// Processes that were running.
    pub ended: usize,
}
