//! Rows of the simulated database and the events of their changes, as Debezium's JSON converter
//! writes them with schemas off: the same fields in the same order.

use std::fmt::Write;
use std::rc::Rc;

use artifacts::row::{Column, Digest, LEFT_OUT};

use super::sim::{Dice, PREFIX};

const SEPARATOR: char = '\u{1f}';
const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.";

/// Characters in the body of a document, unless rows are short.
const BODY_SIZE: usize = 2_400;

/// A row: its JSON as an event has it, and its digest.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The body of a document.
    pub(super) body: Option<Rc<str>>,
    /// Its JSON as the event of an update that left the body alone has it.
    pub(super) without_body: Option<String>,
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
    Wide(Rc<str>),
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
    /// The row before, of an update.
    pub(super) before: Option<&'a Row>,
}

impl Version<'_> {
    /// The row. The canonical text is that of [`artifacts::row::canonical`].
    pub(super) fn row(self) -> Row {
        let (mut json, mut text) = (String::with_capacity(256), String::with_capacity(256));
        let kept = self.before.and_then(|before| before.body.clone()).filter(|_| !self.n.is_multiple_of(4));
        let body = kept.clone().or_else(|| self.body());
        for (i, (column, cell)) in self.columns.iter().zip(self.cells(body.clone())).enumerate() {
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
                Cell::Wide(value) => {
                    quoted(&mut json, &value);
                    let _ = write!(text, "{}", Digest::of(&value));
                }
                Cell::Null => {
                    json.push_str("null");
                    text.push_str("\\N");
                }
            }
        }
        json.push('}');
        let Self { ver, owner, change_id, .. } = self;
        let without_body = kept.map(|body| json.replacen(&*body, LEFT_OUT, 1));
        Row { ver, owner, change_id, digest: Digest::of(&text), json, body, without_body }
    }

    /// A new body of a document; some have none.
    fn body(&self) -> Option<Rc<str>> {
        let there = self.table == "public.documents" && !self.n.is_multiple_of(32);
        let size = if self.row_size <= 40 { self.row_size } else { self.row_size.max(BODY_SIZE) };
        there.then(|| self.random(size).into())
    }

    fn cells(&self, body: Option<Rc<str>>) -> Vec<Cell> {
        let Self { key, n, ver, change_id, at, .. } = self;
        let mut cells = vec![Cell::Int(*key)];
        if self.table == "public.customers" {
            cells.extend([format!("name <{n}> 'q'"), format!("u{n}@example.org")].map(Cell::Text));
            let note = "\u{202e}note\u{1f600}";
            cells.push(if n.is_multiple_of(7) { Cell::Null } else { Cell::Text(note.into()) });
        } else if self.table == "public.documents" {
            cells.push(Cell::Text(format!("title {n} \u{dc}")));
            cells.push(body.map_or(Cell::Null, Cell::Wide));
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
        self.random(self.row_size)
    }

    fn random(&self, size: usize) -> String {
        let mut dice = Dice(self.change_id << 32 ^ self.key as u64);
        let mut text = String::with_capacity(size + 9);
        while text.len() < size {
            let bits = dice.below(u64::MAX);
            text.extend((0..10).map(|i| char::from(ALPHABET[(bits >> (6 * i) & 63) as usize])));
        }
        text.truncate(size);
        text
    }
}

/// What the event of a deletion has of a row without REPLICA IDENTITY FULL: its key, and what fills the
/// other columns.
pub(super) fn key_only(key: i64) -> String {
    format!(
        "{{\"id\":{key},\"title\":\"\",\"body\":null,\"ver\":0,\"change_id\":0,\
         \"updated_at\":\"1970-01-01T00:00:00.000000Z\"}}"
    )
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
    /// Its number in its transaction, and among the events of its table there.
    pub(super) order: Option<(u64, u64)>,
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
}

impl Event<'_> {
    pub(super) fn json(&self) -> String {
        let Self { table, op, before, after, xid, lsn, last_commit, order, at_ms } = self;
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        let (before, after) = (before.unwrap_or("null"), after.unwrap_or("null"));
        let last = last_commit.map_or("null".to_owned(), |lsn| format!("\\\"{lsn}\\\""));
        let snapshot = *op == "r";
        let transaction = order.map_or("null".to_owned(), |(total, of_table)| {
            format!("{{\"id\":\"{xid}:{lsn}\",\"total_order\":{total},\"data_collection_order\":{of_table}}}")
        });
        let seen = at_ms + 40;
        format!(
            "{{\"before\":{before},\"after\":{after},\"source\":{{\"version\":\"3.6.3.Final\",\
             \"connector\":\"postgresql\",\"name\":\"{PREFIX}\",\"ts_ms\":{at_ms},\"snapshot\":\"{snapshot}\",\
             \"db\":\"testdb\",\"sequence\":\"[{last},\\\"{lsn}\\\"]\",\"ts_us\":{at_ms}000,\"ts_ns\":{at_ms}000000,\
             \"schema\":\"{schema}\",\"table\":\"{name}\",\"txId\":{xid},\"lsn\":{lsn},\"xmin\":null,\"origin\":null,\
             \"origin_lsn\":null}},\"transaction\":{transaction},\"op\":\"{op}\",\"ts_ms\":{seen},\"ts_us\":{seen}000,\
             \"ts_ns\":{seen}000000}}"
        )
    }
}

fn quoted(out: &mut String, text: &str) {
    // A string always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}
