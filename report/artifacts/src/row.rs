//! Rows in one canonical form, so that the database, the ledger and the topics can be compared.
//!
//! The canonical text of a row is its columns joined by U+001F: integers and numerics as
//! PostgreSQL prints them, timestamps with time zone as UTC with six fractional digits, null as
//! `\N`, a wide text as its MD5. The MD5 of all that is the row's [`Digest`]. PostgreSQL computes the same digest ([`digest_sql`]), so
//! that the ledger holds what RETURNING gave without a detour. MD5 serves comparison here, not
//! protection.

mod cells;
mod columns;
mod image;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use md5::{Digest as _, Md5};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use cells::{Cell, Cells, Row};
pub use columns::{column_digests, column_digests_sql, differing};
pub use image::{Image, Wide, image};

const SEPARATOR: char = '\u{1f}';
const NULL: &str = "\\N";
/// What Debezium writes for a value that PostgreSQL did not send, because the update left it as it was
/// (`unavailable.value.placeholder`).
pub const LEFT_OUT: &str = "__debezium_unavailable_value";

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
    /// Text that is stored out of line, at most one per table. The table's replica identity is DEFAULT,
    /// so that an update which leaves it as it was does not bring it along ([`LEFT_OUT`]).
    Wide,
}

/// Table name (`public.orders`) to its columns.
pub type Tables = BTreeMap<String, Vec<Column>>;

/// The captured tables of the workload, as `stack/sql/schema.sql` makes them.
pub fn tables() -> Tables {
    use Kind::{Int, Numeric, Text, Timestamp, Wide};
    let columns = |list: &[(&str, Kind)]| {
        list.iter().map(|(name, kind)| Column { name: (*name).into(), kind: *kind }).collect()
    };
    let wide = [("id", Int), ("title", Text), ("body", Wide), ("ver", Int), ("change_id", Int)];
    BTreeMap::from([
        ("public.documents".to_owned(), columns(&[&wide[..], &[("updated_at", Timestamp)]].concat())),
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

/// Whether updates and deletes bring the whole row before them along: the replica identity of a captured
/// table is FULL, unless it has a wide column.
pub fn is_full(columns: &[Column]) -> bool {
    columns.iter().all(|column| column.kind != Kind::Wide)
}

/// The replica identity of a captured table, as `pg_class.relreplident` has it: `f` or `d`.
pub fn replica_identity(columns: &[Column]) -> &'static str {
    if is_full(columns) { "f" } else { "d" }
}

/// MD5 of a row's canonical text, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
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

impl FromStr for Digest {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let n = (s.len() == 32).then(|| u128::from_str_radix(s, 16).ok()).flatten();
        n.map(|n| Self(n.to_be_bytes())).ok_or_else(|| format!("'{s}' is not 32 hexadecimal digits"))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visit)
    }
}

/// The canonical text of a row as Debezium's JSON converter gives it, appended to `text`. Gives the
/// place of the wide column in it; it is empty where the value was left out.
///
/// # Errors
/// A sentence that names the column whose value is missing or of the wrong type.
pub fn canonical(
    columns: &[Column],
    row: &impl Cells,
    text: &mut String,
) -> Result<Option<Range<usize>>, String> {
    let mut wide = None;
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            text.push(SEPARATOR);
        }
        let begin = text.len();
        let cell = row.cell(i, &column.name).ok_or_else(|| format!("column {} is missing", column.name))?;
        match (column.kind, cell) {
            (_, Cell::Null) => text.push_str(NULL),
            (Kind::Int, Cell::Number(value)) | (Kind::Text | Kind::Numeric, Cell::Text(value)) => {
                text.push_str(&value);
            }
            (Kind::Timestamp, Cell::Text(value)) if is_canonical_time(&value) => text.push_str(&value),
            (Kind::Timestamp, Cell::Text(value)) => {
                let t: crate::time::Time =
                    value.parse().map_err(|e| format!("column {}: '{value}': {e}", column.name))?;
                text.push_str(&crate::time::format(t));
            }
            (Kind::Wide, Cell::Text(value)) if value == LEFT_OUT => {}
            (Kind::Wide, Cell::Text(value)) => text.push_str(&Digest::of(&value).to_string()),
            (kind, Cell::Other(value)) => return Err(wrong(column, kind, &value)),
            (kind, Cell::Number(value)) => return Err(wrong(column, kind, &value)),
            (kind, Cell::Text(value)) => return Err(wrong(column, kind, &Value::from(value.into_owned()))),
        }
        if column.kind == Kind::Wide {
            wide = Some(begin..text.len());
        }
    }
    Ok(wide)
}

fn wrong(column: &Column, kind: Kind, value: &dyn fmt::Display) -> String {
    format!("column {}: {value} is not {kind:?}", column.name)
}

/// `2026-11-22T21:15:00.000001Z`; false also for the last days of a month and whatever else needs
/// a closer look.
fn is_canonical_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00.000000Z";
    let same = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    let two = |at: usize| &bytes[at..at + 2];
    bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(same)
        && (&b"01"[..]..=&b"12"[..]).contains(&two(5))
        && (&b"01"[..]..=&b"28"[..]).contains(&two(8))
        && two(11) < &b"24"[..]
        && two(14) < &b"60"[..]
        && two(17) < &b"60"[..]
}

/// The digest of a whole row; errors as [`canonical`], and when a value was left out.
pub fn digest(columns: &[Column], row: &impl Cells) -> Result<Digest, String> {
    image(columns, row)?.digest.ok_or_else(|| "the wide column was left out".to_owned())
}

/// A SQL expression for the canonical text of a column.
fn column_sql(Column { name, kind }: &Column) -> String {
    match kind {
        Kind::Timestamp => format!(
            r#"coalesce(to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), E'\\N')"#
        ),
        Kind::Wide => format!(r"coalesce(md5({name}), E'\\N')"),
        _ => format!(r"coalesce({name}::text, E'\\N')"),
    }
}

/// A SQL expression (text, 32 hexadecimal digits) for the digest of the current row.
pub fn digest_sql(columns: &[Column]) -> String {
    let parts: Vec<String> = columns.iter().map(column_sql).collect();
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Map, json};

    /// The same whether the row is a map or the text of an event.
    fn canonical_of(columns: &[Column], row: &Value) -> Result<String, String> {
        let of = |row: &dyn Fn(&mut String) -> Result<(), String>| {
            let mut text = String::new();
            row(&mut text).map(|()| text)
        };
        let written = row.to_string();
        let map: Map<String, Value> = serde_json::from_str(&written).unwrap();
        let map = of(&|text| canonical(columns, &map, text).map(drop));
        let row: Row<'_> = serde_json::from_str(&written).unwrap();
        assert_eq!(of(&|text| canonical(columns, &row, text).map(drop)), map, "{written}");
        map
    }

    fn values() -> impl Strategy<Value = Value> {
        let times = "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,7})?(Z|[+-]0[0-9]:00)";
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            (-9i64..9).prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
            "[a-z\\\\\"]{0,4}".prop_map(Value::from),
            times.prop_map(Value::from),
            Just(json!([1, {"a": null}])),
        ]
    }

    proptest! {
        /// What is said of a row does not depend on how it was read; a time that needs no change is
        /// what parsing and formatting makes of it.
        #[test]
        fn a_row_in_the_text_of_an_event_is_the_row(
            cells in proptest::collection::vec((values(), select(vec![Kind::Int, Kind::Text, Kind::Timestamp])), 0..4),
            turned in any::<bool>(),
        ) {
            let mut columns: Vec<Column> = Vec::new();
            let mut row = Map::new();
            for (i, (value, kind)) in cells.into_iter().enumerate() {
                if let (Kind::Timestamp, Some(text)) = (kind, value.as_str().filter(|text| is_canonical_time(text))) {
                    let parsed: crate::time::Time = text.parse().unwrap();
                    prop_assert_eq!(crate::time::format(parsed), text);
                }
                columns.push(Column { name: format!("c{i}"), kind });
                row.insert(format!("c{i}"), value);
            }
            if turned {
                columns.reverse();
            }
            let _ = canonical_of(&columns, &Value::Object(row));
        }
    }

    #[test]
    fn a_timestamp_is_the_same_however_many_digits_it_has() {
        let columns = [Column { name: "t".into(), kind: Kind::Timestamp }];
        let text = |s: &str| canonical_of(&columns, &json!({ "t": s })).unwrap();
        assert_eq!(text("2026-11-22T21:15:00.1Z"), "2026-11-22T21:15:00.100000Z");
        assert_eq!(text("2026-11-22T21:15:00Z"), text("2026-11-22T22:15:00.000+01:00"));
    }

    #[test]
    fn null_and_a_missing_column_differ() {
        let columns = [Column { name: "a".into(), kind: Kind::Text }];
        assert_eq!(canonical_of(&columns, &json!({"a": null})).unwrap(), "\\N");
        assert!(canonical_of(&columns, &json!({"b": 1})).unwrap_err().contains("column a"));
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
