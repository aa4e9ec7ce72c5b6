//! Records as they go into `consumed.jsonl.zst`.

use artifacts::base64;
use artifacts::consumed::Record;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use serde_json::value::RawValue;

use crate::postgres::MARKER_PREFIX;

/// A record with its bytes as they were read.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().and_then(raw),
        value: message.payload().and_then(raw),
    }
}

/// JSON as it is, on one line; anything else as `{"$base64":".."}`.
fn raw(bytes: &[u8]) -> Option<Box<RawValue>> {
    if let Ok(json) = serde_json::from_slice::<Box<RawValue>>(bytes) {
        if !json.get().contains(['\n', '\r']) {
            return Some(json);
        }
        // Between tokens only: a string of JSON cannot hold a bare line break.
        return RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok();
    }
    RawValue::from_string(base64::wrap(bytes)).ok()
}

/// What the value of a marker's record contains: in JSON the nonce in Base64, in Avro its bytes.
pub(super) struct MarkerText {
    base64: String,
    bytes: String,
}

impl MarkerText {
    pub(super) fn new(nonce: &str) -> Self {
        Self { base64: base64::encode(nonce.as_bytes()), bytes: nonce.to_owned() }
    }

    /// Partition, offset, and whether it is the marker.
    pub(super) fn place(&self, message: &BorrowedMessage<'_>) -> (i32, i64, bool) {
        let found = message.payload().is_some_and(|value| self.is_in(value));
        (message.partition(), message.offset(), found)
    }

    fn is_in(&self, value: &[u8]) -> bool {
        let has = |text: &str| value.windows(text.len().max(1)).any(|w| w == text.as_bytes());
        has(MARKER_PREFIX) && (has(&self.base64) || has(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_what_they_are() {
        let text = |bytes: &[u8]| raw(bytes).unwrap().get().to_owned();
        assert_eq!(text(br#"{"a":1.000}"#), r#"{"a":1.000}"#);
        assert_eq!(text(b"{\n\"a\": 1}"), r#"{ "a": 1}"#);
        assert_eq!(text(b"\0\0\0\0\x01"), r#"{"$base64":"AAAAAAE="}"#);
        assert_eq!(text(b"{\"a\""), r#"{"$base64":"eyJhIg=="}"#);
    }

    #[test]
    fn a_marker_is_found_in_json_and_in_avro() {
        let wanted = MarkerText::new("n-123");
        let json = format!(
            r#"{{"op":"m","message":{{"prefix":"drain","content":"{}"}}}}"#,
            base64::encode(b"n-123")
        );
        assert!(wanted.is_in(json.as_bytes()) && wanted.is_in(b"\0\0\0\0\x01\x0adrain\x0an-123"));
        assert!(!wanted.is_in(br#"{"op":"m","message":{"prefix":"drain","content":"AAAA"}}"#));
    }
}
