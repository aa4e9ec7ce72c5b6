//! Rows as they lie in JSON, read without copies.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A value in a row as Debezium's JSON converter writes it.
#[derive(Debug, Clone)]
pub enum Cell<'a> {
    /// `null`
    Null,
    /// A number, as written.
    Number(Cow<'a, str>),
    /// A string, without its quotes and escapes.
    Text(Cow<'a, str>),
    /// What no column of ours holds.
    Other(Value),
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Number(n) => Self::Number(n.to_string().into()),
            Value::String(text) => Self::Text(text.into()),
            other => Self::Other(other.clone()),
        }
    }
}

impl<'a> From<&'a RawValue> for Cell<'a> {
    fn from(raw: &'a RawValue) -> Self {
        let text = raw.get();
        let short = |digits: &str| digits.len() < 19 && digits.bytes().all(|b| b.is_ascii_digit());
        match text.as_bytes() {
            b"null" => Self::Null,
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Self::Text(text[1..text.len() - 1].into()),
            [b'1'..=b'9', ..] if short(text) => Self::Number(text.into()),
            _ => match serde_json::from_str(text) {
                Ok(Value::Null) | Err(_) => Self::Null,
                Ok(Value::Number(n)) => Self::Number(n.to_string().into()),
                Ok(Value::String(text)) => Self::Text(text.into()),
                Ok(other) => Self::Other(other),
            },
        }
    }
}

/// A row by the names of its columns.
pub trait Cells {
    /// The value of a column; `at` is where it usually stands.
    fn cell(&self, at: usize, name: &str) -> Option<Cell<'_>>;
}

impl Cells for Map<String, Value> {
    fn cell(&self, _at: usize, name: &str) -> Option<Cell<'_>> {
        self.get(name).map(Cell::from)
    }
}

/// A row in the text of an event: its values are not copied.
#[derive(Debug, Default)]
pub struct Row<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl Cells for Row<'_> {
    fn cell(&self, at: usize, name: &str) -> Option<Cell<'_>> {
        let usual = self.0.get(at).filter(|(found, _)| found == name);
        // Of a name that is there twice, the last counts.
        let found = usual.or_else(|| self.0.iter().rfind(|(found, _)| found == name));
        found.map(|(_, raw)| Cell::from(*raw))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Row<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut row = Vec::with_capacity(8);
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    row.push((name.0, value));
                }
                Ok(Row(row))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// A name, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
