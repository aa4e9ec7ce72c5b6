//! Rows that are not the ones that were written.

use std::collections::BTreeSet;
use std::rc::Rc;

use artifacts::findings::ViolationKind;
use artifacts::ledger::Op;
use artifacts::row::{Column, Kind, LEFT_OUT, Wide};
use serde_json::{Value, json};

use super::super::Planted;
use super::super::original::Event;
use super::{Planter, of, written};

const LONG_AGO: &str = "2001-01-01T00:00:00.000000Z";

pub(super) fn column(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, _, _| written(event));
    let planted = alter(planter, &places, "after", last_column, LONG_AGO)?;
    Some(Planted { column: Some("updated_at".to_owned()), ..planted })
}

pub(super) fn before(planter: &mut Planter<'_>) -> Option<Planted> {
    let places = planter.places(|event, _, _| event.op == Some(Op::Update) && event.has_before);
    alter(planter, &places, "before", last_column, LONG_AGO)
}

/// A time in every table.
fn last_column(columns: &[Column]) -> Option<String> {
    columns.last().map(|column| column.name.clone())
}

pub(super) fn leave_out(planter: &mut Planter<'_>) -> Option<Planted> {
    let original = planter.original;
    let open = |event: &Event| matches!(event.wide, Some(Wide::LeftOut(..)));
    let places = planter.places(|event, list, n| {
        let rewrites = matches!(&event.wide, Some(Wide::Given(text)) if &**text != "\\N");
        let next = list.get(n + 1).is_some_and(|next| open(&original.events[*next]));
        event.op == Some(Op::Update) && rewrites && !next
    });
    let wide = |columns: &[Column]| {
        columns.iter().find(|column| column.kind == Kind::Wide).map(|column| column.name.clone())
    };
    let column = planter.original.tables.values().find_map(|columns| wide(columns));
    Some(Planted { column, ..alter(planter, &places, "after", wide, LEFT_OUT)? })
}

fn alter(
    planter: &Planter<'_>,
    places: &[usize],
    image: &str,
    column: impl Fn(&[Column]) -> Option<String>,
    other: &str,
) -> Option<Planted> {
    let mut events = planter.original.events.clone();
    let mut named = BTreeSet::new();
    for place in places {
        let event = planter.event(*place);
        let columns = planter.original.columns(&event.at.as_ref()?.0);
        let column = column(columns)?;
        let altered = |value: &mut Value| value[image][&column] = json!(other);
        events[*place] = Rc::new(event.edited(columns, altered));
        named.extend(of(event, ViolationKind::Altered));
    }
    planter.planted(events, named)
}
