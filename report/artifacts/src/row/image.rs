//! A row as an event has it, which may lack its wide column.

use super::{Cells, Column, Digest, canonical};

/// A row as an event has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// None where the wide column was left out.
    pub digest: Option<Digest>,
    /// The wide column; none in a table without one.
    pub wide: Option<Wide>,
}

/// The wide column of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Wide {
    /// Its canonical text.
    Given(Box<str>),
    /// Left out: the canonical text of the row before it and behind it.
    LeftOut(Box<str>, Box<str>),
}

impl Wide {
    /// The digest of a row that was left open, with what its wide column held before; none when it was not.
    pub fn filled(&self, with: &str) -> Option<Digest> {
        match self {
            Self::Given(_) => None,
            Self::LeftOut(head, tail) => Some(Digest::of(&[head, with, tail].concat())),
        }
    }
}

/// A row as Debezium's JSON converter gives it; errors as [`canonical`].
pub fn image(columns: &[Column], row: &impl Cells) -> Result<Image, String> {
    let mut text = String::with_capacity(512);
    let Some(place) = canonical(columns, row, &mut text)? else {
        return Ok(Image { digest: Some(Digest::of(&text)), wide: None });
    };
    if !place.is_empty() {
        let wide = Wide::Given(text[place].into());
        return Ok(Image { digest: Some(Digest::of(&text)), wide: Some(wide) });
    }
    let (head, tail) = text.split_at(place.start);
    Ok(Image { digest: None, wide: Some(Wide::LeftOut(head.into(), tail.into())) })
}

#[cfg(test)]
mod tests {
    use super::super::{LEFT_OUT, is_full, tables};
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_row_without_its_wide_column_is_the_row_once_it_is_filled() {
        let columns = &tables()["public.documents"];
        let row = |body: Value| {
            let time = "2026-11-22T21:15:00.000000Z";
            let row =
                json!({"id": 1, "title": "t", "body": body, "ver": 2, "change_id": 3, "updated_at": time});
            image(columns, row.as_object().unwrap()).unwrap()
        };
        for body in [json!("text"), json!(""), Value::Null] {
            let (whole, open) = (row(body), row(json!(LEFT_OUT)));
            let Some(Wide::Given(text)) = &whole.wide else { panic!("{whole:?}") };
            let Some(wide) = &open.wide else { panic!("{open:?}") };
            assert_eq!((wide.filled(text), open.digest), (whole.digest, None));
            assert_ne!(wide.filled("other"), whole.digest);
        }
        assert!(!is_full(columns) && is_full(&tables()["public.orders"]));
    }
}
