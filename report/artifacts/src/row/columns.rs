//! Short digests of the columns of a row, to tell in which of them two rows differ. They name; whether
//! rows are the same is decided by their [`super::Digest`].

use super::{Cells, Column, Digest, Kind, canonical, column_sql};

/// Hexadecimal digits per column.
const DIGITS: usize = 8;

/// A SQL expression (text) for the digests of the current row's columns, 8 hexadecimal digits each.
pub fn column_digests_sql(columns: &[Column]) -> String {
    let part = |column: &Column| format!("left(md5({}), {DIGITS})", column_sql(column));
    columns.iter().map(part).collect::<Vec<_>>().join(" || ")
}

/// The same of a row as Debezium's JSON converter gives it; a column that it does not have as its table does is
/// `-`, and so is a wide one that was left out.
pub fn column_digests(columns: &[Column], row: &impl Cells) -> String {
    let digest = |column: &Column| {
        let mut text = String::new();
        canonical(std::slice::from_ref(column), row, &mut text).ok()?;
        let left_out = column.kind == Kind::Wide && text.is_empty();
        (!left_out).then(|| Digest::of(&text).to_string()[..DIGITS].to_owned())
    };
    columns.iter().map(|column| digest(column).unwrap_or_else(|| "-".repeat(DIGITS))).collect()
}

/// Names of the columns in which two rows differ. What was left out of one may differ: it is named when
/// nothing else is.
pub fn differing<'c>(columns: &'c [Column], one: &str, other: &str) -> Vec<&'c str> {
    let of = |row: &str, i: usize| row.get(i * DIGITS..(i + 1) * DIGITS).map(str::to_owned);
    let differs = |left_out: bool| {
        let names = columns.iter().enumerate().filter(move |(i, column)| {
            let sides = [one, other].map(|row| of(row, *i));
            let open = column.kind == Kind::Wide && sides.iter().flatten().any(|side| side.starts_with('-'));
            sides[0] != sides[1] && open == left_out
        });
        names.map(|(_, column)| column.name.as_str()).collect::<Vec<_>>()
    };
    let certain = differs(false);
    if certain.is_empty() { differs(true) } else { certain }
}

#[cfg(test)]
mod tests {
    use super::super::{LEFT_OUT, tables};
    use super::*;
    use serde_json::{Map, Value, json};

    fn document(title: &str, body: Value) -> Map<String, Value> {
        let time = "2026-11-22T21:15:00.000000Z";
        let row =
            json!({"id": 1, "title": title, "body": body, "ver": 2, "change_id": 3, "updated_at": time});
        row.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn what_differs_is_named_and_what_was_left_out_only_when_nothing_else_is() {
        let columns = &tables()["public.documents"];
        let between = |one: &Map<String, Value>, other: &Map<String, Value>| {
            let [one, other] = [one, other].map(|row| column_digests(columns, row));
            differing(columns, &one, &other).join(" ")
        };
        let first = document("t", json!("text"));
        assert_eq!(between(&first, &first), "");
        assert_eq!(between(&first, &document("u", Value::Null)), "title body");
        assert_eq!(between(&first, &document("t", json!(LEFT_OUT))), "body");
        assert_eq!(between(&first, &document("u", json!(LEFT_OUT))), "title");
        let mut short = first.clone();
        short.remove("ver");
        assert_eq!(between(&first, &short), "ver");
    }
}
