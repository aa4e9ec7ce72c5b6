//! Records as they go into `consumed.jsonl.zst`.

use artifacts::base64::{self, raw};
use artifacts::consumed::Record;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

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
