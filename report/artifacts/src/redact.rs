//! Passwords and tokens are replaced before anything is written.

use serde_json::Value;

/// What stands in their place.
pub const REDACTED: &str = "[redacted]";
const NAMES: [&str; 5] = ["password", "passwd", "secret", "token", "sasl.jaas"];

/// Whether a key of a configuration names a secret.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    NAMES.iter().any(|name| key.contains(name)) || key.starts_with("sasl.") || key.contains(".sasl.")
}

/// Knows the secrets of a stack and takes them out of texts and JSON.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// The secrets to look for; empty ones are left out.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = secrets.into_iter().filter(|s| !s.is_empty()).collect();
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        Self { secrets }
    }

    /// The text without the secrets.
    pub fn text(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }

    /// The JSON without the secrets and without the values of keys that name one.
    pub fn json(&self, value: Value) -> Value {
        match value {
            Value::String(s) => Value::String(self.text(&s)),
            Value::Array(list) => list.into_iter().map(|v| self.json(v)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(k, v)| {
                    let v = if is_secret(&k) && !v.is_null() { REDACTED.into() } else { self.json(v) };
                    (k, v)
                })
                .collect(),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_found_by_name_and_by_value() {
        let redactor = Redactor::new(["hunter2".to_owned(), String::new()]);
        let out = redactor.json(json!({
            "database.password": "x", "sasl.mechanism": "y", "url": "postgres://u:hunter2@h", "n": 1,
            "list": ["hunter2"],
        }));
        assert_eq!(
            out,
            json!({
                "database.password": REDACTED, "sasl.mechanism": REDACTED,
                "url": "postgres://u:[redacted]@h", "n": 1, "list": [REDACTED],
            })
        );
    }
}
