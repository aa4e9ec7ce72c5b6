//! The violations: the first ones in full, all of them counted.

use artifacts::findings::{KafkaPlace, Violation};
use artifacts::ledger::Op;
use serde::Serialize;
use serde_json::Value;

use super::Limits;
use super::flatten;
use crate::input::{Input, kind};
use crate::text::{clip, count, number};

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) unobserved: Option<String>,
    /// `300 violations; the first 100 are below, all of them in violations.jsonl`
    pub(crate) headline: String,
    pub(crate) total: u64,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) rows: Vec<Row>,
    pub(crate) damage: Option<String>,
}

/// A kind and how often.
#[derive(Debug, Serialize)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) count: String,
}

/// A violation.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) kind: String,
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
    let violations = match (&input.violations, &input.findings) {
        (Ok(violations), _) => violations,
        (Err(why), _) => {
            return View {
                unobserved: Some(clip(why, 600)),
                headline: String::new(),
                total: 0,
                kinds: Vec::new(),
                rows: Vec::new(),
                damage: None,
            };
        }
    };
    let rows: Vec<Row> = violations.first.iter().take(limits.violations).map(|v| row(v, limits)).collect();
    let shown = rows.len() as u64;
    let all = count(violations.total, "violation");
    View {
        unobserved: None,
        headline: match violations.total {
            0 => "None.".into(),
            n if n > shown => {
                format!("{all}. The first {} are below; all are in violations.jsonl.", number(shown))
            }
            _ => format!("{all}, all below and in violations.jsonl."),
        },
        total: violations.total,
        kinds: violations
            .kinds
            .iter()
            .map(|(name, n)| Kind { name: name.clone(), count: number(*n) })
            .collect(),
        rows,
        damage: violations.damage.as_ref().map(|d| clip(d, 400)),
    }
}

fn row(v: &Violation, limits: Limits) -> Row {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    let place = |p: &KafkaPlace| format!("{}/{}@{}", clip(&p.topic, 80), p.partition, p.offset);
    Row {
        kind: kind(v),
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

/// `op c, row 5d41402a…`
fn value(value: Option<&Value>, limits: Limits) -> String {
    let Some(value) = value else { return "–".into() };
    let text = match value {
        Value::Object(_) => {
            let pairs = flatten::flat(value).into_iter().map(|(name, value)| format!("{name} {value}"));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => flatten::scalar(other),
    };
    clip(&text, limits.chars.min(240))
}
