//! Base64 with padding (RFC 4648), as JSON holds bytes.

use serde_json::value::RawValue;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as a value of JSON: `{"$base64":".."}`.
pub fn wrap(bytes: &[u8]) -> String {
    format!("{{\"$base64\":\"{}\"}}", encode(bytes))
}

/// The Base64 in what [`wrap`] made; none for any other JSON.
pub fn wrapped(json: &str) -> Option<&str> {
    json.strip_prefix("{\"$base64\":\"")?.strip_suffix("\"}")
}

/// The text for bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = (n >> (18 - 6 * i) & 63) as usize;
            text.push(if i <= chunk.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

/// The bytes of a text; none when it is not Base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut n) = (0_u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, n) = (bits << 6 | u32::from(six), n + 6);
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    Some(out)
}

/// A key or a value as it goes into a [`crate::consumed::Record`]: JSON as it is, on one line; anything else as `{"$base64":".."}`.
/// It is here because this crate is optimised: collecting looks at every byte.
pub fn raw(bytes: &[u8]) -> Option<Box<RawValue>> {
    if let Ok(json) = serde_json::from_slice::<Box<RawValue>>(bytes) {
        if !bytes.contains(&b'\n') && !bytes.contains(&b'\r') {
            return Some(json);
        }
        // Between tokens only: a string of JSON cannot hold a bare line break.
        return RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok();
    }
    RawValue::from_string(wrap(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_is_padded() {
        let all: Vec<String> = ["", "f", "fo", "foo", "foob"].iter().map(|s| encode(s.as_bytes())).collect();
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
        assert_eq!(decode("Zm9-"), None);
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            prop_assert_eq!(wrapped(&wrap(&bytes)).and_then(decode), Some(bytes));
        }
    }

    #[test]
    fn bytes_stay_what_they_are() {
        let text = |bytes: &[u8]| raw(bytes).unwrap().get().to_owned();
        assert_eq!(text(br#"{"a":1.000}"#), r#"{"a":1.000}"#);
        assert_eq!(text(b"{\n\"a\": 1}"), r#"{ "a": 1}"#);
        assert_eq!(text(b"\0\0\0\0\x01"), r#"{"$base64":"AAAAAAE="}"#);
        assert_eq!(text(b"{\"a\""), r#"{"$base64":"eyJhIg=="}"#);
    }
}
