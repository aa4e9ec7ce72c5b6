//! A frame of `consumed.jsonl.zst` becomes events: what can be said of them without those before.

use std::io::BufRead;

use artifacts::consumed::{FRAME_BYTES, Line, Record, text};
use artifacts::row::{Column, Row, Tables};
use serde::de::IgnoredAny;

use super::super::event::{self, RowEvent};
use super::super::transactions::{End, Transactions};
use super::{is_of_transactions, table_of};
use crate::avro::Decoder;

/// What to look for.
pub(in super::super) struct Look<'a> {
    pub(super) decoder: &'a Decoder<'a>,
    pub(super) prefix: &'a str,
    pub(in super::super) tables: &'a Tables,
    /// Topic, partition and offset of the marker, and its nonce.
    pub(super) marker: Option<(&'a (String, i32, i64), &'a str)>,
}

/// What is in a frame.
#[derive(Default)]
pub(in super::super) struct Part {
    /// Topics in the order in which they appear.
    pub(super) topics: Vec<String>,
    pub(in super::super) records: Vec<Seen>,
    /// END events, by their records.
    pub(in super::super) ends: Vec<(usize, End)>,
    /// Sums of what is in the frame.
    pub(super) transactions: Transactions,
    /// The record at the marker's place, and whether it carries the nonce.
    pub(super) marker: Option<(usize, bool)>,
    /// What is wrong with the line behind the last record.
    pub(super) damage: Option<String>,
}

/// A record.
pub(in super::super) struct Seen {
    /// Index of [`Part::topics`].
    pub(in super::super) topic: usize,
    pub(super) partition: i32,
    pub(in super::super) offset: i64,
    /// Milliseconds since 1970.
    pub(super) at_ms: Option<i64>,
    /// Key and event, or why there is none: a topic that holds no rows has nothing else.
    pub(in super::super) row: Result<(Option<i64>, RowEvent), String>,
}

impl Part {
    /// Number of the captured table of each topic.
    pub(in super::super) fn tables(&self, look: &Look<'_>) -> Vec<Option<u16>> {
        let no = |topic: &String| {
            let table = table_of(look.prefix, topic)?;
            look.tables.keys().position(|name| name == table).map(|no| no as u16)
        };
        self.topics.iter().map(no).collect()
    }

    fn count(&mut self, look: &Look<'_>) {
        let tables = self.tables(look);
        for seen in &self.records {
            if let (Some(table), Ok((_, event))) = (tables[seen.topic], &seen.row) {
                self.transactions.event(table, event.op, event.xid);
            }
        }
        self.ends.iter().for_each(|(_, end)| self.transactions.end(end));
    }
}

impl Look<'_> {
    /// Reads a frame up to the first line that is no record.
    pub(in super::super) fn at(&self, frame: std::io::Result<Vec<u8>>) -> Part {
        let (mut part, mut lines) = (Part::default(), Vec::with_capacity(FRAME_BYTES + 1));
        if let Err(e) = frame.and_then(|frame| text(&frame, &mut lines)) {
            part.damage = Some(format!("the frame that begins there: {e}"));
            return part;
        }
        let mut rest = &lines[..];
        while !rest.is_empty() {
            let from = rest;
            // Searches words at a time; `split_inclusive` looks at each byte.
            let length = rest.skip_until(b'\n').unwrap_or(from.len());
            if let Err(cause) = self.line(&from[..length], &mut part) {
                part.damage = Some(cause);
                break;
            }
        }
        part.count(self);
        part
    }

    fn line(&self, text: &[u8], part: &mut Part) -> Result<(), String> {
        let quick = std::str::from_utf8(text).ok().and_then(Line::split);
        if let Some((line, row)) = quick.and_then(|line| Some((line, self.quick(&line)?))) {
            self.add(&line, Ok(row), part);
            return Ok(());
        }
        if let Some(line) = &quick
            && let Some(end) = self.end(line)
            && line.key.is_none_or(|key| serde_json::from_str::<IgnoredAny>(key).is_ok())
        {
            part.ends.extend(end.map(|end| (part.records.len(), end)));
            self.add(line, Err(String::new()), part);
            return Ok(());
        }
        let record: Record = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        let line = Line::from(&record);
        match self.decoder.sides(line.key, line.value) {
            Ok((key, value)) => {
                let line = Line { key: key.as_deref(), value: value.as_deref(), ..line };
                let end = self.end(&line).flatten();
                part.ends.extend(end.map(|end| (part.records.len(), end)));
                self.add(&line, self.row(&line), part);
            }
            Err(cause) => self.add(&line, Err(cause), part),
        }
        Ok(())
    }

    /// The row in a line of which nobody knows yet whether key and value are JSON; none when that
    /// must be looked at.
    fn quick(&self, line: &Line<'_>) -> Option<(Option<i64>, RowEvent)> {
        let columns = self.columns(table_of(self.prefix, line.topic)?);
        let (key, value) = self.decoder.sides(line.key, line.value).ok()?;
        let key = key.as_deref().map(serde_json::from_str::<Row<'_>>).transpose().ok()?;
        let key = key.and_then(|key| event::key(&key, columns));
        let event = event::parse(value.as_deref(), columns, key);
        event.op?;
        Some((key, event))
    }

    /// As [`End::parse`]; none where the topic is another one.
    fn end(&self, line: &Line<'_>) -> Option<Option<End>> {
        is_of_transactions(self.prefix, line.topic).then_some(())?;
        End::parse(line.value?, self.tables)
    }

    fn row(&self, line: &Line<'_>) -> Result<(Option<i64>, RowEvent), String> {
        let Some(table) = table_of(self.prefix, line.topic) else { return Err(String::new()) };
        let columns = self.columns(table);
        let key = line.key.and_then(|key| serde_json::from_str::<Row<'_>>(key).ok());
        let key = key.and_then(|key| event::key(&key, columns));
        Ok((key, event::parse(line.value, columns, key)))
    }

    fn columns(&self, table: &str) -> &[Column] {
        self.tables.get(table).map(Vec::as_slice).unwrap_or_default()
    }

    fn add(&self, line: &Line<'_>, row: Result<(Option<i64>, RowEvent), String>, part: &mut Part) {
        let Line { topic, partition, offset, timestamp_ms: at_ms, value, .. } = *line;
        if let Some((at, nonce)) = self.marker
            && (topic, partition, offset) == (at.0.as_str(), at.1, at.2)
        {
            let found = value.is_some_and(|value| event::carries(value, nonce));
            part.marker = Some((part.records.len(), found));
        }
        let known = part.topics.iter().position(|known| known == topic);
        let topic = known.unwrap_or_else(|| {
            part.topics.push(topic.to_owned());
            part.topics.len() - 1
        });
        part.records.push(Seen { topic, partition, offset, at_ms, row });
    }
}
