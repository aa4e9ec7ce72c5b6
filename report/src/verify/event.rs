//! A Debezium event as the JSON converter writes it with schemas off.

use std::borrow::Cow;

use artifacts::base64;
use artifacts::ledger::Op;
use artifacts::position::Lsn;
use artifacts::row::{self, Cell, Cells, Column, Image, Row, Wide};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

const LONGEST_FAULT: usize = 300;

/// What the checks need of an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowEvent {
    /// Operation; none when the value is no event of a row.
    pub op: Option<Op>,
    /// `after.ver`; for a delete `before.ver`.
    pub ver: Option<u32>,
    /// `before.ver`
    pub before_ver: Option<u32>,
    /// `after.change_id`
    pub change_id: Option<u64>,
    /// `source.lsn`
    pub lsn: Option<Lsn>,
    /// `source.txId`
    pub xid: Option<u64>,
    /// When Debezium made it: the lower half of `ts_ns`, or of `ts_ms` where that is not there.
    pub made: Option<u32>,
    /// Digest of the row; for a delete, of the row before it. None where an update left the wide column
    /// out, until [`super::history`] has completed it, and for a delete that names the key only.
    pub row: Option<row::Digest>,
    /// The wide column of a new row, where its table has one.
    pub wide: Option<Box<Wide>>,
    /// Digest of the row before an update.
    pub before_row: Option<row::Digest>,
    /// Why there is no digest, or no operation; its beginning.
    pub fault: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    op: Option<Cow<'a, str>>,
    #[serde(borrow)]
    before: Option<Row<'a>>,
    #[serde(borrow)]
    after: Option<Row<'a>>,
    #[serde(borrow)]
    source: Option<Source<'a>>,
    ts_ns: Option<u64>,
    ts_ms: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    snapshot: Option<&'a RawValue>,
    lsn: Option<u64>,
    #[serde(rename = "txId")]
    tx_id: Option<u64>,
}

/// The primary key in a record's key, `{"id":1}`: it is named as the first column.
pub fn key(key: &Row<'_>, columns: &[Column]) -> Option<i64> {
    let name = columns.first().map_or("id", |column| column.name.as_str());
    number(key.cell(0, name))
}

/// Reads a value; none is a tombstone. Columns may be empty for a table that is not known. `key` is the
/// record's. An event with an operation was JSON.
pub fn parse(value: Option<&str>, columns: &[Column], key: Option<i64>) -> RowEvent {
    let Some(value) = value else {
        return RowEvent { op: Some(Op::Tombstone), ..RowEvent::default() };
    };
    match envelope(value, columns, key) {
        Ok(event) => event,
        Err(fault) => RowEvent { fault: Some(clipped(&fault)), ..RowEvent::default() },
    }
}

/// The row that an event leaves; none for a deletion, and for what is no event.
pub(crate) fn row_after(value: &str) -> Option<Row<'_>> {
    serde_json::from_str::<Envelope<'_>>(value).ok()?.after
}

/// A fault quotes what it found, which can be as long as a row.
fn clipped(fault: &str) -> Box<str> {
    fault.chars().take(LONGEST_FAULT).collect::<String>().into()
}

fn envelope(value: &str, columns: &[Column], key: Option<i64>) -> Result<RowEvent, String> {
    let envelope: Envelope<'_> = serde_json::from_str(value).map_err(|e| e.to_string())?;
    let op = match envelope.op.as_deref() {
        Some("r") => Op::Read,
        Some("c") => Op::Create,
        Some("u") => Op::Update,
        Some("d") => Op::Delete,
        Some(other) => return Err(format!("operation '{other}' is no change of a row")),
        None => return Err("no event: it has no operation".into()),
    };
    let contradiction = contradiction(op, &envelope);
    let made = envelope.ts_ns.or(envelope.ts_ms).map(|at| at as u32);
    let Envelope { before, after, source, .. } = envelope;
    let source = source.unwrap_or_default();
    let lsn = source.lsn.map(Lsn);
    let event = RowEvent { op: Some(op), lsn, xid: source.tx_id, made, ..RowEvent::default() };
    if op == Op::Delete && !row::is_full(columns) {
        let fault = contradiction.or_else(|| other_key(before.as_ref(), columns, key));
        return Ok(RowEvent { fault: fault.as_deref().map(clipped), ..event });
    }
    let before_row = before.as_ref().filter(|_| op == Op::Update);
    let before_row = before_row.and_then(|before| row::digest(columns, before).ok());
    let ver = |row: &Row<'_>| number(row.cell(usual(columns, "ver"), "ver"));
    let before_ver = before.as_ref().and_then(ver);
    let row = if op == Op::Delete { before } else { after }.unwrap_or_default();
    let image = match contradiction {
        Some(fault) => Err(fault),
        None => row::image(columns, &row),
    };
    let (image, fault) = match image {
        Ok(image) => (image, None),
        Err(fault) => (Image { digest: None, wide: None }, Some(clipped(&fault))),
    };
    Ok(RowEvent {
        ver: ver(&row),
        before_ver,
        change_id: if op == Op::Delete {
            None
        } else {
            number(row.cell(usual(columns, "change_id"), "change_id"))
        },
        row: image.digest,
        wide: image.wide.map(Box::new),
        before_row,
        fault,
        ..event
    })
}

/// Without FULL, the row before a delete holds its key, and for the other columns what fills them.
fn other_key(before: Option<&Row<'_>>, columns: &[Column], wanted: Option<i64>) -> Option<String> {
    let found = before.and_then(|before| key(before, columns));
    let name = |key: Option<i64>| key.map_or("no key".to_owned(), |key| format!("key {key}"));
    (found != wanted).then(|| format!("the record has {}, the deleted row {}", name(wanted), name(found)))
}

/// What in an event cannot be true of its operation.
fn contradiction(op: Op, envelope: &Envelope<'_>) -> Option<String> {
    let snapshot = envelope.source.as_ref().and_then(|source| source.snapshot);
    let streamed = snapshot.is_some_and(|text| text.get().trim_matches('"') == "false");
    let text = match op {
        Op::Read if streamed => "operation 'r' of an event that no snapshot read",
        Op::Read | Op::Create if envelope.before.is_some() => "a new row has a row before it",
        Op::Delete if envelope.after.is_some() => "a deleted row has a row after it",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Where a column usually stands.
fn usual(columns: &[Column], name: &str) -> usize {
    columns.iter().position(|column| column.name == name).unwrap_or(0)
}

/// An integer that fits.
fn number<T: std::str::FromStr>(cell: Option<Cell<'_>>) -> Option<T> {
    match cell? {
        Cell::Number(digits) => digits.parse().ok(),
        _ => None,
    }
}

/// Whether a marker's record carries the nonce: as the base64 content of a logical message, or as
/// plain text in the row of a marker table.
pub fn carries(value: &str, nonce: &str) -> bool {
    let content = || -> Option<Vec<u8>> {
        let value: Value = serde_json::from_str(value).ok()?;
        base64::decode(value.get("message")?.get("content")?.as_str()?)
    };
    let bytes = nonce.as_bytes();
    !bytes.is_empty()
        && (value.contains(nonce)
            || content().is_some_and(|text| text.windows(bytes.len()).any(|window| window == bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::row::Kind;
    use serde_json::json;

    fn raw(value: Value) -> String {
        value.to_string()
    }

    fn columns() -> Vec<Column> {
        ["id", "ver", "change_id"].map(|name| Column { name: name.into(), kind: Kind::Int }).into()
    }

    #[test]
    fn a_delete_is_judged_by_the_row_before_it() {
        let row = json!({"id": 7, "ver": 3, "change_id": 9});
        let value = raw(json!({"op": "d", "before": row, "after": null, "source": {"lsn": 16, "txId": 5}}));
        let event = parse(Some(&value), &columns(), Some(7));
        let expected = row::digest(&columns(), row.as_object().unwrap()).unwrap();
        assert_eq!((event.op, event.ver, event.row), (Some(Op::Delete), Some(3), Some(expected)));
        assert_eq!((event.lsn, event.xid, event.before_ver), (Some(Lsn(16)), Some(5), Some(3)));
    }

    #[test]
    fn what_contradicts_the_operation_is_a_fault() {
        let row = json!({"id": 7, "ver": 3, "change_id": 9});
        let fault = |op: &str, before: bool, after: bool, snapshot: &str| {
            let image = |there: bool| if there { row.clone() } else { Value::Null };
            let source = json!({"snapshot": snapshot});
            let value =
                raw(json!({"op": op, "before": image(before), "after": image(after), "source": source}));
            let event = parse(Some(&value), &columns(), Some(7));
            assert_eq!(event.row.is_some(), event.fault.is_none());
            event.fault
        };
        assert!(fault("r", false, true, "false").unwrap().contains("no snapshot"));
        assert!(fault("c", true, true, "false").unwrap().contains("before"));
        assert!(fault("d", true, true, "false").unwrap().contains("after"));
        let right = [("r", false, true, "last"), ("c", false, true, "false"), ("u", true, true, "false")];
        right.into_iter().for_each(|(op, b, a, s)| assert_eq!(fault(op, b, a, s), None));
    }

    #[test]
    fn without_full_a_delete_names_its_key_and_an_update_may_leave_a_value_out() {
        let wide = Column { name: "body".into(), kind: Kind::Wide };
        let columns = [&columns()[..], &[wide]].concat();
        let event = |op: &str, before: Value, after: Value| {
            parse(Some(&raw(json!({"op": op, "before": before, "after": after}))), &columns, Some(7))
        };
        let row = |body: &str| json!({"id": 7, "ver": 3, "change_id": 9, "body": body});
        let deleted = event("d", json!({"id": 7, "ver": 0, "change_id": 0, "body": null}), Value::Null);
        assert_eq!(
            (deleted.op, deleted.ver, deleted.row, deleted.fault),
            (Some(Op::Delete), None, None, None)
        );
        let other = event("d", json!({"id": 8}), Value::Null).fault.unwrap();
        assert_eq!(&*other, "the record has key 7, the deleted row key 8");
        assert!(event("d", Value::Null, Value::Null).fault.unwrap().contains("the deleted row no key"));
        let (given, open) =
            (event("u", Value::Null, row("text")), event("u", Value::Null, row(row::LEFT_OUT)));
        let Some(Wide::Given(text)) = given.wide.as_deref() else { panic!("{given:?}") };
        assert_eq!((open.row, open.ver, open.fault.as_deref()), (None, Some(3), None));
        assert_eq!(open.wide.unwrap().filled(text), given.row);
    }

    #[test]
    fn what_is_no_event_says_why() {
        let fault = |value| parse(Some(&raw(value)), &columns(), None).fault.unwrap();
        assert!(fault(json!({"op": "t"})).contains("operation 't'"));
        assert!(fault(json!({"x": 1})).contains("no operation"));
        assert!(fault(json!("text")).contains("invalid type"));
        assert!(fault(json!({"op": "c", "after": {"id": 1}})).contains("column ver is missing"));
        assert_eq!(parse(None, &columns(), None).op, Some(Op::Tombstone));
        assert_eq!(key(&serde_json::from_str(r#"{"id": 4}"#).unwrap(), &columns()), Some(4));
        assert_eq!(key(&serde_json::from_str(r#"{"id": "4"}"#).unwrap(), &columns()), None);
    }

    #[test]
    fn a_marker_is_found_in_base64() {
        let message =
            |content: &str| raw(json!({"op": "m", "message": {"prefix": "drain", "content": content}}));
        assert!(carries(&message("YTFiMg=="), "a1b2"));
        assert!(carries(&message("ZHJhaW4gYTFiMiE="), "a1b2"));
        assert!(!carries(&message("ZjBlMQ=="), "a1b2"));
        assert!(carries(&raw(json!({"after": {"nonce": "a1b2"}})), "a1b2"));
    }
}
