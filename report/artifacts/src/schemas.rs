//! `schemas.json`: what the Schema Registry knew when the events were collected. There is none for events in JSON.
//!
//! Avro events are in the wire format of Confluent's registry: a zero byte, the id of the schema as four bytes,
//! most significant first, then the value. They stay as they were read, in `consumed.jsonl.zst`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::base64;
use crate::consumed::Record;

/// The name of the file.
pub const FILE: &str = "schemas.json";

/// The contents of `schemas.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schemas {
    /// Schema version.
    pub schema: String,
    /// Subject to its versions.
    pub subjects: Subjects,
    /// Id to the Avro schema, word for word.
    pub ids: BTreeMap<u32, String>,
    /// Ids that events name and whose schema could not be had, with the reason.
    #[serde(default)]
    pub unknown: BTreeMap<u32, String>,
}

/// Name (`<topic>-key`, `<topic>-value`) to subject.
pub type Subjects = BTreeMap<String, Subject>;

/// A subject of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Which changes of the schema are refused: `NONE`, `BACKWARD`, ...
    pub compatibility: Option<String>,
    /// Version to the id of its schema.
    pub versions: BTreeMap<u32, u32>,
}

/// The id of the schema and the bytes of the value; none when it is not the wire format.
pub fn split(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (id, value) = bytes.strip_prefix(&[0])?.split_first_chunk()?;
    Some((u32::from_be_bytes(*id), value))
}

/// The ids that the key and the value of a record name.
pub fn ids(record: &Record) -> impl Iterator<Item = u32> {
    [&record.key, &record.value].into_iter().flatten().filter_map(|raw| id(raw))
}

/// The id that a key or value names; none for JSON.
pub fn id(raw: &RawValue) -> Option<u32> {
    // Eight characters are the first six bytes.
    Some(split(&base64::decode(base64::wrapped(raw.get())?.get(..8)?)?)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_from_the_beginning() {
        let id = |bytes: &[u8]| id(&RawValue::from_string(base64::wrap(bytes)).unwrap());
        assert_eq!(id(&[0, 0, 0, 1, 2]), Some(258));
        assert_eq!(id(&[0, 0, 0, 1, 2, 9, 9, 9]), Some(258));
        assert_eq!((id(&[1, 0, 0, 1, 2]), id(&[0, 0, 0, 1])), (None, None));
    }
}
