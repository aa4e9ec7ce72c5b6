//! Rows of the simulated database and the events of their changes, as Debezium's JSON converter
//! writes them with schemas off: the same fields in the same order.

use std::fmt::Write;

use artifacts::row::{Column, Digest};

use super::sim::{Dice, PREFIX};

const SEPARATOR: char = '\u{1f}';
const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.";

/// A row: its JSON as an event has it, and its digest.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) ver: u32,
    pub(super) owner: u64,
    pub(super) change_id: u64,
    pub(super) json: String,
    pub(super) digest: Digest,
}

/// What is in a column.
enum Cell {
    Int(i64),
    Text(String),
    Null,
}

/// What a new version of a row is made of.
pub(super) struct Version<'a> {
    pub(super) table: &'a str,
    pub(super) columns: &'a [Column],
    pub(super) key: i64,
    pub(super) ver: u32,
    pub(super) owner: u64,
    pub(super) change_id: u64,
    /// RFC 3339 with microseconds.
    pub(super) at: String,
    /// Below 100,000.
    pub(super) n: u64,
    pub(super) row_size: usize,
}

impl Version<'_> {
    /// The row. The canonical text is that of [`artifacts::row::canonical`].
    pub(super) fn row(self) -> Row {
        let (mut json, mut text) = (String::with_capacity(256), String::with_capacity(256));
        for (i, (column, cell)) in self.columns.iter().zip(self.cells()).enumerate() {
            json.push(if i == 0 { '{' } else { ',' });
            if i > 0 {
                text.push(SEPARATOR);
            }
            quoted(&mut json, &column.name);
            json.push(':');
            match cell {
                Cell::Int(n) => {
                    // Writing to a string cannot fail.
                    let _ = write!(json, "{n}");
                    let _ = write!(text, "{n}");
                }
                Cell::Text(value) => {
                    quoted(&mut json, &value);
                    text.push_str(&value);
                }
                Cell::Null => {
                    json.push_str("null");
                    text.push_str("\\N");
                }
            }
        }
        json.push('}');
        let Self { ver, owner, change_id, .. } = self;
        Row { ver, owner, change_id, json, digest: Digest::of(&text) }
    }

    fn cells(&self) -> Vec<Cell> {
        let Self { key, n, ver, change_id, at, .. } = self;
        let mut cells = vec![Cell::Int(*key)];
        if self.table == "public.customers" {
            cells.extend([format!("name <{n}> 'q'"), format!("u{n}@example.org")].map(Cell::Text));
            let note = "\u{202e}note\u{1f600}";
            cells.push(if n.is_multiple_of(7) { Cell::Null } else { Cell::Text(note.into()) });
        } else {
            cells.push(Cell::Int(1 + (n % 50) as i64));
            let amount = format!("{}.{:02}", n / 100, n % 100);
            cells.extend([amount, "open".into(), self.wide()].map(Cell::Text));
        }
        cells.extend([Cell::Int(i64::from(*ver)), Cell::Int(*change_id as i64), Cell::Text(at.clone())]);
        cells
    }

    /// Text that does not compress well, unless it is short.
    fn wide(&self) -> String {
        if self.row_size <= 40 {
            return "x".repeat(self.row_size);
        }
        let mut dice = Dice(self.change_id << 32 ^ self.key as u64);
        let mut text = String::with_capacity(self.row_size + 9);
        while text.len() < self.row_size {
            let bits = dice.below(u64::MAX);
            text.extend((0..10).map(|i| char::from(ALPHABET[(bits >> (6 * i) & 63) as usize])));
        }
        text.truncate(self.row_size);
        text
    }
}

/// An event of a row; the images are its JSON.
pub(super) struct Event<'a> {
    pub(super) table: &'a str,
    pub(super) op: &'a str,
    pub(super) before: Option<&'a str>,
    pub(super) after: Option<&'a str>,
    pub(super) xid: u32,
    pub(super) lsn: u64,
    /// The commit before, where the connector has seen one.
    pub(super) last_commit: Option<u64>,
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
}

impl Event<'_> {
    pub(super) fn json(&self) -> String {
        let Self { table, op, before, after, xid, lsn, last_commit, at_ms } = self;
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        let (before, after) = (before.unwrap_or("null"), after.unwrap_or("null"));
        let last = last_commit.map_or("null".to_owned(), |lsn| format!("\\\"{lsn}\\\""));
        let snapshot = *op == "r";
        let seen = at_ms + 40;
        format!(
            "{{\"before\":{before},\"after\":{after},\"source\":{{\"version\":\"3.6.3.Final\",\
             \"connector\":\"postgresql\",\"name\":\"{PREFIX}\",\"ts_ms\":{at_ms},\"snapshot\":\"{snapshot}\",\
             \"db\":\"testdb\",\"sequence\":\"[{last},\\\"{lsn}\\\"]\",\"ts_us\":{at_ms}000,\"ts_ns\":{at_ms}000000,\
             \"schema\":\"{schema}\",\"table\":\"{name}\",\"txId\":{xid},\"lsn\":{lsn},\"xmin\":null,\"origin\":null,\
             \"origin_lsn\":null}},\"transaction\":null,\"op\":\"{op}\",\"ts_ms\":{seen},\"ts_us\":{seen}000,\
             \"ts_ns\":{seen}000000}}"
        )
    }
}

fn quoted(out: &mut String, text: &str) {
    // A string always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}
