//! The violations by kind: the smallest witnesses in full, all of them counted.

use artifacts::findings::{KafkaPlace, Violation};
use artifacts::ledger::Op;
use serde::Serialize;
use serde_json::Value;

use super::Limits;
use super::flatten;
use crate::input::Input;
use crate::text::{clip, count, number};
use crate::witnesses::Witnesses;

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) unobserved: Option<String>,
    /// `8,871 violations; all are in violations.jsonl.`
    pub(crate) headline: String,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) damage: Option<String>,
}

/// The violations of a kind.
#[derive(Debug, Serialize)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) count: String,
    /// `the 100 smallest of them`; empty when all are here.
    pub(crate) part: String,
    pub(crate) rows: Vec<Row>,
}

/// A violation.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// `public.orders #812 v3`
    pub(crate) row: String,
    pub(crate) change: String,
    pub(crate) phase: String,
    pub(crate) transaction: String,
    pub(crate) lsn: String,
    pub(crate) kafka: Vec<String>,
    pub(crate) expected: String,
    pub(crate) actual: String,
}

/// Builds the view.
pub(crate) fn view(input: &Input, limits: Limits) -> View {
    let violations = match &input.violations {
        Ok(violations) => violations,
        Err(why) => {
            let unobserved = Some(clip(why, 600));
            return View { unobserved, headline: String::new(), kinds: Vec::new(), damage: None };
        }
    };
    View {
        unobserved: None,
        headline: match violations.total {
            0 => "None.".into(),
            n => format!("{}; all are in violations.jsonl.", count(n, "violation")),
        },
        kinds: violations.kinds.iter().map(|((_, name), witnesses)| kind(name, witnesses, limits)).collect(),
        damage: violations.damage.as_ref().map(|d| clip(d, 400)),
    }
}

fn kind(name: &str, witnesses: &Witnesses<Violation>, limits: Limits) -> Kind {
    let rows: Vec<Row> = witnesses.smallest().take(limits.violations).map(|v| row(v, limits)).collect();
    let shown = rows.len() as u64;
    let part = if shown < witnesses.total {
        format!("the {} smallest of them", number(shown))
    } else {
        String::new()
    };
    Kind { name: name.to_owned(), count: number(witnesses.total), part, rows }
}

fn row(v: &Violation, limits: Limits) -> Row {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    let place = |p: &KafkaPlace| format!("{}/{}@{}", clip(&p.topic, 80), p.partition, p.offset);
    Row {
        row: name(v),
        change: or_dash(v.change_id.map(|id| id.to_string())),
        phase: or_dash(v.phase.map(|p| p.to_string())),
        transaction: or_dash(v.xid.as_ref().map(|x| clip(x, 40))),
        lsn: or_dash(v.lsn.map(|l| l.to_string())),
        kafka: v.at.iter().take(4).map(place).collect(),
        expected: value(v.expected.as_ref(), limits),
        actual: value(v.actual.as_ref(), limits),
    }
}

/// `insert public.orders #812 v3`
fn name(v: &Violation) -> String {
    let op = match v.op {
        Some(Op::Create) => "insert ",
        Some(Op::Update) => "update ",
        Some(Op::Delete) => "delete ",
        Some(Op::Read) => "snapshot read ",
        Some(Op::Tombstone) => "tombstone ",
        None => "",
    };
    let key = v.key.map_or(String::new(), |k| format!(" #{k}"));
    let ver = v.ver.map_or(String::new(), |n| format!(" v{n}"));
    format!("{op}{}{key}{ver}", clip(&v.table, 80))
}

/// `op c, row 5d41402abc4b…`
fn value(value: Option<&Value>, limits: Limits) -> String {
    let Some(value) = value else { return "–".into() };
    let text = match value {
        Value::Object(_) => {
            let pairs =
                flatten::flat(value).into_iter().map(|(name, value)| format!("{name} {}", digest(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => flatten::scalar(other),
    };
    clip(&text, limits.chars.min(240))
}

/// The beginning of a digest; another text as it is.
fn digest(text: String) -> String {
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return format!("{}…", &text[..12]);
    }
    text
}
