//! The arrangement at every moment: who writes, who reads from where, and how much there is.

use artifacts::snapshot::Snapshot;
use serde::Serialize;
use serde_json::Value;

use crate::input::{Input, Seen};
use crate::text::{clip, number};

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    /// Without the moment.
    pub(crate) columns: [&'static str; 7],
    pub(crate) rows: Vec<Row>,
}

/// One snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) moment: &'static str,
    /// Why there are no cells.
    pub(crate) unobserved: Option<String>,
    pub(crate) cells: Vec<Cell>,
}

/// A value.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// Differs from the snapshot before that has it.
    pub(crate) changed: bool,
}

/// A heading, and the value of a snapshot, which is given the topics of the tables as well.
type Column = (&'static str, fn(&Snapshot, &[String]) -> Option<String>);

const COLUMNS: [Column; 7] = [
    ("connector", |s, _| status(s, "/connector/state")),
    ("its task", |s, _| status(s, "/tasks/0/state").or_else(|| s.connector.as_ref().map(|_| "none".into()))),
    ("reads from", |s, _| reads_from(s)),
    ("publication", |s, _| publication(s)),
    ("may log in", |s, _| logins(s)),
    ("rows in tables", |s, _| rows(s)),
    ("records in topics", records),
];

/// Builds the view.
pub(crate) fn view(input: &Input) -> View {
    let mut last: Vec<Option<String>> = vec![None; COLUMNS.len()];
    let topics = &input.run.names.topics;
    let rows = input.snapshots.iter().map(|(moment, s)| row(moment, s, topics, &mut last)).collect();
    View { columns: COLUMNS.map(|(name, _)| name), rows }
}

fn row(moment: &'static str, seen: &Seen<Snapshot>, topics: &[String], last: &mut [Option<String>]) -> Row {
    let snapshot = match seen {
        Ok(snapshot) => snapshot,
        Err(why) => return Row { moment, unobserved: Some(clip(why, 300)), cells: Vec::new() },
    };
    let cell = |((_, read), last): (&Column, &mut Option<String>)| {
        let Some(text) = read(snapshot, topics) else {
            return Cell { text: "not observed".into(), changed: false };
        };
        let text = clip(&text, 160);
        let changed = last.replace(text.clone()).is_some_and(|before| before != text);
        Cell { text, changed }
    };
    Row { moment, unobserved: None, cells: COLUMNS.iter().zip(last).map(cell).collect() }
}

fn status(s: &Snapshot, pointer: &str) -> Option<String> {
    s.connector.as_ref()?.status.pointer(pointer)?.as_str().map(Into::into)
}

fn reads_from(s: &Snapshot) -> Option<String> {
    let config = &s.connector.as_ref()?.config;
    Some(format!("{}:{}", config.get("database.hostname")?, config.get("database.port")?))
}

fn publication(s: &Snapshot) -> Option<String> {
    match &s.publication {
        None if s.unobserved.contains_key("/publication") => None,
        None => Some("none".into()),
        Some(publication) => match publication.get("tables").and_then(Value::as_array)?.len() {
            1 => Some("1 table".into()),
            n => Some(format!("{n} tables")),
        },
    }
}

/// Who may log in, but for superusers.
fn logins(s: &Snapshot) -> Option<String> {
    let may = |rights: &str| rights.split(' ').any(|r| r == "login") && !rights.contains("superuser");
    let names: Vec<&str> = s.roles.iter().filter(|(_, r)| may(r)).map(|(name, _)| name.as_str()).collect();
    match names.as_slice() {
        _ if s.roles.is_empty() => None,
        [] => Some("nobody".into()),
        names => Some(names.join(", ")),
    }
}

fn rows(s: &Snapshot) -> Option<String> {
    (!s.tables.is_empty()).then(|| number(s.tables.values().map(|t| t.rows).sum()))
}

/// Records in the topics of the tables.
fn records(s: &Snapshot, topics: &[String]) -> Option<String> {
    let bounds = s.topics.iter().filter(|(topic, _)| topics.contains(topic)).flat_map(|(_, p)| p.values());
    (!s.topics.is_empty()).then(|| number(bounds.map(|b| b.end.saturating_sub(b.start).max(0) as u64).sum()))
}
