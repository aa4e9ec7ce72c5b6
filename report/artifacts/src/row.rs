//! Rows in one canonical form, so that the database, the ledger and the topics can be compared.
//!
//! The canonical text of a row is its columns joined by U+001F: integers and numerics as
//! PostgreSQL prints them, timestamps with time zone as UTC with six fractional digits, null as
//! `\N`. Its MD5 is the row's [`Digest`]. PostgreSQL computes the same digest ([`digest_sql`]), so
//! that the ledger holds what RETURNING gave without a detour. MD5 serves comparison here, not
//! protection.

use std::collections::BTreeMap;
use std::fmt;

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const SEPARATOR: char = '\u{1f}';
const NULL: &str = "\\N";

/// A column of a captured table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How its values are written.
    pub kind: Kind,
}

/// How values of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Any integer type.
    Int,
    /// Text.
    Text,
    /// `numeric`, as a string (`decimal.handling.mode=string`).
    Numeric,
    /// `timestamptz`.
    Timestamp,
}

/// Table name (`public.orders`) to its columns.
pub type Tables = BTreeMap<String, Vec<Column>>;

/// The captured tables of the workload, as `stack/sql/schema.sql` makes them.
pub fn tables() -> Tables {
    use Kind::{Int, Numeric, Text, Timestamp};
    let columns = |list: &[(&str, Kind)]| {
        list.iter().map(|(name, kind)| Column { name: (*name).into(), kind: *kind }).collect()
    };
    BTreeMap::from([
        (
            "public.customers".to_owned(),
            columns(&[
                ("id", Int),
                ("name", Text),
                ("email", Text),
                ("note", Text),
                ("ver", Int),
                ("change_id", Int),
                ("updated_at", Timestamp),
            ]),
        ),
        (
            "public.orders".to_owned(),
            columns(&[
                ("id", Int),
                ("customer_id", Int),
                ("amount", Numeric),
                ("status", Text),
                ("payload", Text),
                ("ver", Int),
                ("change_id", Int),
                ("updated_at", Timestamp),
            ]),
        ),
    ])
}

/// MD5 of a row's canonical text, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// The digest of a canonical text.
    pub fn of(text: &str) -> Self {
        Self(Md5::digest(text.as_bytes()).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        let n = (s.len() == 32).then(|| u128::from_str_radix(&s, 16).ok()).flatten();
        n.map(|n| Self(n.to_be_bytes())).ok_or_else(|| format!("'{s}' is not 32 hexadecimal digits"))
    }
}

/// The canonical text of a row as Debezium's JSON converter gives it.
///
/// # Errors
/// A sentence that names the column whose value is missing or of the wrong type.
pub fn canonical(columns: &[Column], row: &Map<String, Value>) -> Result<String, String> {
    let mut text = String::with_capacity(128);
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            text.push(SEPARATOR);
        }
        let value = row.get(&column.name).ok_or_else(|| format!("column {} is missing", column.name))?;
        match (column.kind, value) {
            (_, Value::Null) => text.push_str(NULL),
            (Kind::Int, Value::Number(n)) => text.push_str(&n.to_string()),
            (Kind::Text | Kind::Numeric, Value::String(s)) => text.push_str(s),
            (Kind::Timestamp, Value::String(s)) => {
                let t: crate::time::Time =
                    s.parse().map_err(|e| format!("column {}: '{s}': {e}", column.name))?;
                text.push_str(&crate::time::format(t));
            }
            (kind, other) => return Err(format!("column {}: {other} is not {kind:?}", column.name)),
        }
    }
    Ok(text)
}

/// The digest of a row as Debezium's JSON converter gives it; errors as [`canonical`].
pub fn digest(columns: &[Column], row: &Map<String, Value>) -> Result<Digest, String> {
    canonical(columns, row).map(|text| Digest::of(&text))
}

/// A SQL expression (text, 32 hexadecimal digits) for the digest of the current row.
pub fn digest_sql(columns: &[Column]) -> String {
    let parts: Vec<String> = columns
        .iter()
        .map(|Column { name, kind }| match kind {
            Kind::Timestamp => format!(
                r#"coalesce(to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), E'\\N')"#
            ),
            _ => format!(r"coalesce({name}::text, E'\\N')"),
        })
        .collect();
    format!(r"md5(concat_ws(E'\x1f', {}))", parts.join(", "))
}

/// A query with one row (rows bigint, fingerprint text) over a whole table.
pub fn fingerprint_sql(table: &str, columns: &[Column]) -> String {
    let half = |from: u32| format!("coalesce(sum(('x' || substr(d, {from}, 16))::bit(64)::bigint), 0)");
    format!(
        "SELECT count(*), {} || ':' || {} FROM (SELECT {} AS d FROM {table}) AS t",
        half(1),
        half(17),
        digest_sql(columns)
    )
}

/// Number of rows and an order-independent sum over their digests: two signed 64-bit halves, each
/// summed without overflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Rows added.
    pub rows: u64,
    sums: [i128; 2],
}

impl Fingerprint {
    /// Adds a row.
    pub fn add(&mut self, digest: Digest) {
        self.rows += 1;
        for (sum, half) in self.sums.iter_mut().zip(digest.0.chunks_exact(8)) {
            let bytes: [u8; 8] = half.try_into().unwrap_or_default();
            *sum += i128::from(i64::from_be_bytes(bytes));
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sums[0], self.sums[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_timestamp_is_the_same_however_many_digits_it_has() {
        let columns = [Column { name: "t".into(), kind: Kind::Timestamp }];
        let text = |s: &str| canonical(&columns, json!({ "t": s }).as_object().unwrap()).unwrap();
        assert_eq!(text("2026-11-22T21:15:00.1Z"), "2026-11-22T21:15:00.100000Z");
        assert_eq!(text("2026-11-22T21:15:00Z"), text("2026-11-22T22:15:00.000+01:00"));
    }

    #[test]
    fn null_and_a_missing_column_differ() {
        let columns = [Column { name: "a".into(), kind: Kind::Text }];
        assert_eq!(canonical(&columns, json!({"a": null}).as_object().unwrap()).unwrap(), "\\N");
        assert!(canonical(&columns, json!({"b": 1}).as_object().unwrap()).unwrap_err().contains("column a"));
    }

    #[test]
    fn a_fingerprint_does_not_depend_on_the_order() {
        let digests: Vec<_> = (0..5).map(|i| Digest::of(&i.to_string())).collect();
        let sum = |list: Vec<&Digest>| {
            let mut f = Fingerprint::default();
            list.into_iter().for_each(|d| f.add(*d));
            f
        };
        assert_eq!(sum(digests.iter().collect()), sum(digests.iter().rev().collect()));
        assert_ne!(sum(digests.iter().collect()), sum(digests.iter().skip(1).collect()));
    }
}
