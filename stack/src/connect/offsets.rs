//! The offset that Connect stores for a Debezium connector.

use artifacts::Lsn;
use serde_json::{Value, json};

/// The answer of `GET /connectors/X/offsets`: `{"offsets":[{"partition":{"server":"cdc"},
/// "offset":{"lsn":..,"lsn_proc":..,"lsn_commit":..,"txId":..,"ts_usec":..,..}}]}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Offsets {
    raw: Value,
}

impl Offsets {
    /// Wraps an answer.
    pub fn new(raw: Value) -> Self {
        Self { raw }
    }

    /// The whole answer.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// The offset of the first partition; null when nothing is stored.
    pub fn offset(&self) -> &Value {
        &self.raw["offsets"][0]["offset"]
    }

    /// The first partition (`{"server":"cdc"}`); null when nothing is stored.
    pub fn partition(&self) -> &Value {
        &self.raw["offsets"][0]["partition"]
    }

    /// Nothing is stored: the connector would start with a snapshot.
    pub fn is_empty(&self) -> bool {
        self.offset().is_null()
    }

    /// Where the connector goes on.
    pub fn lsn(&self) -> Option<Lsn> {
        self.number("lsn")
    }

    /// The last event that was processed; a connector that has only snapshotted has none.
    pub fn lsn_proc(&self) -> Option<Lsn> {
        self.number("lsn_proc")
    }

    /// The last commit: what a drain compares with its marker.
    pub fn lsn_commit(&self) -> Option<Lsn> {
        self.number("lsn_commit")
    }

    /// An incremental snapshot was under way: its progress is in the offset and would be lost.
    pub fn incremental_snapshot(&self) -> bool {
        let keys = self.offset().as_object().into_iter().flatten();
        keys.into_iter().any(|(key, value)| {
            key.starts_with("incremental_snapshot_collections")
                && value.as_str().is_some_and(|v| !matches!(v, "" | "[]"))
        })
    }

    /// A snapshot was under way. After it, the offset says `"snapshot":"INITIAL"` until the first
    /// streamed event, but with `snapshot_completed`.
    pub fn snapshotting(&self) -> bool {
        let offset = self.offset();
        let none = matches!(&offset["snapshot"], Value::Null | Value::Bool(false));
        !none && offset["snapshot_completed"] != Value::Bool(true)
    }

    fn number(&self, key: &str) -> Option<Lsn> {
        self.offset()[key].as_u64().map(Lsn)
    }
}

/// The offset that makes a connector start at `lsn`, its whole content: with `lsn_proc`, because
/// without it Debezium's guard against a missing position is off.
pub fn rebased(lsn: Lsn) -> Value {
    json!({"lsn": lsn.0, "lsn_proc": lsn.0})
}
