//! Positions in the write-ahead log. An LSN alone is not a position: it means something only
//! within one history, named by the system identifier and the timeline.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A log sequence number, written like PostgreSQL does: `0/16B3748`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let parse = |part: &str| u32::from_str_radix(part, 16).ok();
        s.split_once('/')
            .and_then(|(hi, lo)| Some((parse(hi)?, parse(lo)?)))
            .map(|(hi, lo)| Self(u64::from(hi) << 32 | u64::from(lo)))
            .ok_or_else(|| format!("'{s}' is not an LSN such as 0/16B3748"))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Who says that the LSN belongs to the named history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The server itself.
    Server,
    /// We do: Connect's stored offset names no server.
    Attributed,
}

/// A position: an LSN and the history it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The log sequence number.
    pub lsn: Lsn,
    /// `pg_control_system().system_identifier`.
    pub system_identifier: String,
    /// The timeline.
    pub timeline: u32,
    /// Who says so.
    pub by: By,
}

impl Position {
    /// Same server history; positions of different ones must not be compared.
    pub fn same_history(&self, other: &Self) -> bool {
        self.system_identifier == other.system_identifier && self.timeline == other.timeline
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of system {}", self.lsn, self.system_identifier)
    }
}

#[cfg(test)]
mod tests {
    use super::Lsn;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_lsn_survives_being_written(n: u64) {
            prop_assert_eq!(Lsn(n).to_string().parse::<Lsn>().unwrap(), Lsn(n));
        }
    }

    #[test]
    fn what_is_not_an_lsn_is_refused() {
        for bad in ["", "/", "1", "0/", "x/1", "0/1FFFFFFFF"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
