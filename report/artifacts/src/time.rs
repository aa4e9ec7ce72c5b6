//! Times: RFC 3339, UTC, microseconds.

use chrono::{DateTime, SecondsFormat, Utc};

/// A point in time.
pub type Time = DateTime<Utc>;

/// Now, cut to whole microseconds so that it survives being written and read.
pub fn now() -> Time {
    let t = Utc::now();
    DateTime::from_timestamp_micros(t.timestamp_micros()).unwrap_or(t)
}

/// `2026-11-22T21:15:00.000001Z`
pub fn format(t: Time) -> String {
    t.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Use with `#[serde(with = "artifacts::time::micros")]`.
pub mod micros {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes RFC 3339 with microseconds.
    pub fn serialize<S: Serializer>(t: &super::Time, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::format(*t))
    }

    /// Reads RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<super::Time, D::Error> {
        super::Time::deserialize(d)
    }
}
