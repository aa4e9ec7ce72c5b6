//! `tables-converge`: whoever applies the topics ends with the rows that the new database holds.
//!
//! Rows are compared one by one where `capture-after` wrote them down, else by number and
//! fingerprint of each table. Of those that are named the columns are named as well. A list of rows that contradicts the fingerprint makes it unknown.

use std::collections::BTreeMap;

use artifacts::findings::{Evidence, ViolationKind};
use artifacts::ledger::Op;
use artifacts::row::Fingerprint;
use serde_json::json;

use super::{Answer, Check, Found, NAMED, count, evidence};
use crate::verify::columns::{self, Pair};
use crate::verify::context::{Context, Doubt};
use crate::verify::history::{Event, KeyHistory};
use crate::verify::remedy;
use crate::verify::violations::{Violations, of_event, of_key};
use crate::witnesses::Witnesses;

const NAME: &str = "tables-converge";
const REAL: &str = "look at nothing-missing, order-kept and nothing-altered first; a new snapshot brings every row that is \
                    there (stop the connector, DELETE its offsets, resume with snapshot.mode initial), consumers must \
                    remove the others themselves";

/// See the module.
#[derive(Default)]
pub(super) struct TablesConverge {
    found: Found,
    /// Where the columns can be looked up of those that are named.
    pairs: Witnesses<Option<Pair>>,
    folded: BTreeMap<String, Fingerprint>,
    /// Whether a key differs while something may still arrive, or was not read.
    open: bool,
}

impl Check for TablesConverge {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key(&mut self, cx: &Context, history: &KeyHistory, out: &mut Violations) {
        if cx.table_no(&history.table).is_none() {
            return;
        }
        let last = history.delivered.iter().rposition(|event| event.fact.op.is_some());
        let row = last.and_then(|last| history.left_by(last));
        let last = last.map(|last| &history.delivered[last]);
        if let Some(row) = row {
            match self.folded.get_mut(&*history.table) {
                Some(folded) => folded.add(row),
                None => {
                    let mut folded = Fingerprint::default();
                    folded.add(row);
                    self.folded.insert(history.table.to_string(), folded);
                }
            }
        }
        if history.key.is_none() || !cx.rows_known(&history.table) {
            return;
        }
        self.found.compared += 1;
        // Who cannot read the last event, or lacks what it leaves out, does not know the row.
        if row == history.row_after && last.is_none_or(|event| row.is_some() || removes(event)) {
            return;
        }
        if !cx.conclusive() {
            self.open = true;
            return;
        }
        let mut violation = match last {
            Some(event) => of_event(history, event, ViolationKind::Diverged, NAME),
            None => of_key(history, ViolationKind::Diverged, NAME),
        };
        violation.expected = Some(json!({"row": history.row_after}));
        violation.actual = Some(json!({"row": row}));
        self.pairs.add((&violation).into(), NAMED, || pair(cx, history, last));
        match last {
            Some(_) => self.found.add_event(out, &violation),
            None => self.found.add(out, &violation, (&rows_file(cx, &history.table), key_of(history))),
        }
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        self.name_columns(cx);
        let mut doubts = cx.doubts();
        let mut differences = Vec::new();
        for (i, table) in cx.tables.keys().enumerate() {
            if let Err(doubt) = self.compare(cx, i, table, &mut differences) {
                doubts.push(doubt);
            }
        }
        if self.open || !differences.is_empty() {
            doubts.extend(cx.unsettled());
        }
        let rows: u64 = self.folded.values().map(|sum| sum.rows).sum();
        let held = format!("the topics fold to the {} of the new database", count(rows, "row"));
        let keys = count(self.found.compared, "key");
        let remedy = remedy::rehearse_or(&cx.run, REAL);
        if !differences.is_empty() && self.found.broken() == 0 && cx.conclusive() && cx.ledger.is_ok() {
            let broken = format!(
                "{} fold to other rows than the new database holds",
                count(differences.len() as u64, "table")
            );
            return Answer::broken(rows, broken, &remedy).with(differences);
        }
        let broken = format!(
            "{} of {keys} end differently in the topics and in the new database",
            self.found.broken()
        );
        self.found.answer(cx, held, broken, &remedy, &doubts)
    }
}

impl TablesConverge {
    /// Says in which columns the rows differ that are named.
    fn name_columns(&mut self, cx: &Context) {
        let pairs: Vec<Pair> = self.pairs.smallest().flatten().cloned().collect();
        let mut names = columns::of(&cx.dir, &cx.tables, &pairs).into_iter();
        for (evidence, pair) in self.found.witnesses.smallest_mut().zip(self.pairs.smallest()) {
            let names = pair.as_ref().and_then(|_| names.next()).unwrap_or_default();
            if !names.is_empty() {
                evidence.text.push_str(&format!(", in {}", names.join(", ")));
            }
        }
    }

    /// Compares a table as a whole: its rows file with `after.json`, and without the file the
    /// folded rows with `after.json`.
    fn compare(&self, cx: &Context, i: usize, table: &str, out: &mut Vec<Evidence>) -> Result<(), Doubt> {
        let (file, at) = ("snapshots/after.json", format!("/tables/{table}"));
        let doubt =
            |text: String| Doubt { evidence: evidence(text, file, &at), remedy: remedy::rehearse(&cx.run) };
        if let Some(damage) = cx.rows.get(i).and_then(|rows| rows.damage.as_ref()) {
            let file = rows_file(cx, table);
            let (text, at) = damage_text(damage, &file);
            let text = format!("the rows of {table} cannot be read: {text}");
            let evidence = Evidence { text, file: Some(file), at };
            return Err(Doubt { evidence, remedy: remedy::rehearse(&cx.run) });
        }
        if let Some(text) = cx.rows.get(i).and_then(|rows| rows.contradiction.clone()) {
            return Err(doubt(text));
        }
        let Some(state) = cx.snapshot("after")?.tables.get(table) else {
            return Err(doubt(format!("{file} does not have {table}")));
        };
        let same = |sum: &Fingerprint| sum.rows == state.rows && sum.to_string() == state.fingerprint;
        let folded = self.folded.get(table).copied().unwrap_or_default();
        if !same(&folded) && self.found.broken() == 0 && !self.open {
            let text = format!(
                "{table}: the topics fold to {} rows, the database holds {}",
                folded.rows, state.rows
            );
            out.push(evidence(text, file, &at));
        }
        Ok(())
    }
}

/// The rows of both sides, where there are two.
fn pair(cx: &Context, history: &KeyHistory, last: Option<&Event>) -> Option<Pair> {
    let (event, key, _) = (last?, history.key?, history.row_after?);
    let (table, at) = (history.table.to_string(), event.fact.at(&history.topic));
    Some(Pair { file: rows_file(cx, &table), table, key, at })
}

/// Whether an event that can be read removes its row.
fn removes(event: &Event) -> bool {
    matches!(event.fact.op, Some(Op::Delete | Op::Tombstone)) && event.fact.fault.is_none()
}

/// The error without the path of the run directory, and its place.
fn damage_text(damage: &artifacts::Error, file: &str) -> (String, Option<String>) {
    match damage {
        artifacts::Error::Corrupt { place, cause, .. } => {
            (format!("{file} is corrupt at {place}: {cause}"), Some(place.clone()))
        }
        artifacts::Error::Io { source, .. } => (format!("{file}: {source}"), None),
        artifacts::Error::Schema { found, .. } => (format!("{file} has schema {found}"), None),
    }
}

fn rows_file(cx: &Context, table: &str) -> String {
    let rows = cx.table_no(table).and_then(|i| cx.rows.get(i));
    rows.and_then(|rows| rows.file.clone()).unwrap_or_default()
}

fn key_of(history: &KeyHistory) -> String {
    history.key.map_or_else(String::new, |key| format!("key {key}"))
}
