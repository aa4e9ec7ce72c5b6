//! Two runs side by side, and a list of many: pages with the look of the report.

use std::path::Path;

use artifacts::RunDir;
use serde::Serialize;
use tera::Context;

use crate::error::Result;
use crate::input::Input;
use crate::render::{template_error, templates};
use crate::text::{clip, moment, number};
use crate::views::verdict::COLUMNS;
use crate::views::{Limits, Page};

/// A page of two runs.
#[derive(Debug, Serialize)]
struct Compared {
    title: String,
    names: [String; 2],
    sections: Vec<Section>,
}

#[derive(Debug, Serialize)]
struct Section {
    id: &'static str,
    title: &'static str,
    /// `3 of 14 differ`
    summary: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    cells: [Option<Cell>; 2],
    differs: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Cell {
    /// `held`, `broken`, `unknown`
    verdict: Option<String>,
    text: String,
}

/// A name and what one run has for it.
type Named = (String, Cell);

/// The page of two runs: verdicts, checks, counts, downtimes, durations, set-up.
///
/// # Errors
/// A `run.json` cannot be read.
pub fn compare(left: &RunDir, right: &RunDir) -> Result<String> {
    let pages = [page(left)?, page(right)?];
    let section = |id, title, of: fn(&Page) -> Vec<Named>| {
        let rows = rows(of(&pages[0]), of(&pages[1]));
        let differ = rows.iter().filter(|row| row.differs).count();
        let summary = format!("{} of {} differ.", number(differ as u64), number(rows.len() as u64));
        Section { id, title, summary, rows }
    };
    let compared = Compared {
        title: "Two rehearsals side by side".into(),
        names: [clip(&left.id(), 120), clip(&right.id(), 120)],
        sections: vec![
            section("verdicts", "Verdicts", verdicts),
            section("checks", "Checks", checks),
            section("numbers", "Numbers and downtimes", numbers),
            section("setup", "Set-up", setup),
            section("steps", "Durations of the steps", durations),
        ],
    };
    let context = Context::from_serialize(&compared).map_err(template_error)?;
    templates().and_then(|tera| tera.render("compare.html", &context)).map_err(template_error)
}

fn page(run: &RunDir) -> Result<Page> {
    Ok(Page::new(&Input::read(run, 0)?, Limits::LADDER[1]))
}

/// What both have, in the order of the first, then what only the second has.
fn rows(left: Vec<Named>, mut right: Vec<Named>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, cell) in left {
        let other = right.iter().position(|(n, _)| *n == name).map(|at| right.remove(at).1);
        rows.push(Row { name, differs: other.as_ref() != Some(&cell), cells: [Some(cell), other] });
    }
    rows.extend(right.into_iter().map(|(name, cell)| Row { name, differs: true, cells: [None, Some(cell)] }));
    rows
}

fn plain(name: impl Into<String>, text: impl Into<String>) -> Named {
    (name.into(), Cell { verdict: None, text: text.into() })
}

fn verdicts(page: &Page) -> Vec<Named> {
    let v = &page.verdict;
    let (word, mut sentence) = (v.word.to_lowercase(), v.sentence.clone());
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let left_out: Vec<&str> = page.setup.left_out.iter().map(|s| s.name.as_str()).collect();
    let none = if page.setup.as_written { "written procedure, literally" } else { "none" };
    vec![
        ("verdict".into(), Cell { verdict: Some(v.class.into()), text: word }),
        plain("in a sentence", sentence),
        plain("upgrade", &page.setup.headline),
        plain("safeguards left out", if left_out.is_empty() { none.into() } else { left_out.join(", ") }),
    ]
}

fn checks(page: &Page) -> Vec<Named> {
    let check = |c: &crate::views::checks::Check| {
        (c.name.clone(), Cell { verdict: Some(c.verdict.clone()), text: c.verdict.clone() })
    };
    page.checks.checks.iter().map(check).collect()
}

fn numbers(page: &Page) -> Vec<Named> {
    let total = page.verdict.tallies.last().into_iter().flat_map(|row| COLUMNS.iter().zip(&row.cells));
    let counts = total.map(|(name, cell)| plain(*name, &cell.text));
    let known = |label: &str| COLUMNS.contains(&label);
    let facts = page.verdict.facts.iter().filter(|fact| !known(fact.label));
    counts.chain(facts.map(|fact| plain(fact.label, &fact.value))).collect()
}

fn setup(page: &Page) -> Vec<Named> {
    let pairs = page.setup.pairs.iter().chain(&page.setup.versions);
    pairs.map(|pair| plain(&pair.name, &pair.value)).collect()
}

fn durations(page: &Page) -> Vec<Named> {
    let step = |s: &crate::views::steps::Step| {
        let result = if s.result == "ok" { String::new() } else { format!(" ({})", s.result) };
        let attempt = s.attempt.as_ref().map_or(String::new(), |attempt| format!(", {attempt}"));
        plain(format!("{}{attempt}", s.name), format!("{}{result}", s.duration))
    };
    page.steps.steps.iter().map(step).collect()
}

/// A run in the list.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    /// Its report; none when there is none.
    href: Option<String>,
    verdict: &'static str,
    word: String,
    started: String,
    upgrade: String,
    left_out: String,
    numbers: [String; 4],
}

/// The page that lists runs with links to their reports, for `index.html` in the folder that holds
/// them. What is no run is left out.
///
/// # Errors
/// The page cannot be made.
pub fn index(runs: &[&Path]) -> Result<String> {
    let runs: Vec<Listed> = runs.iter().filter_map(|path| listed(&RunDir::open(path).ok()?)).collect();
    let mut context = Context::new();
    context.insert("title", "Rehearsals");
    context.insert("runs", &runs);
    templates().and_then(|tera| tera.render("index.html", &context)).map_err(template_error)
}

fn listed(dir: &RunDir) -> Option<Listed> {
    let run = dir.run().ok()?;
    let findings = dir.findings().ok().flatten();
    let count = |of: fn(&artifacts::findings::Tally) -> u64| {
        findings.as_ref().map_or("–".into(), |f| number(of(&f.counts.total)))
    };
    let (verdict, word) = match &findings {
        None => ("unknown", "no verdict yet".into()),
        Some(findings) => match findings.verdict {
            artifacts::findings::Verdict::Held => ("held", "held".into()),
            artifacts::findings::Verdict::Broken => ("broken", "broken".into()),
            artifacts::findings::Verdict::Unknown => ("unknown", "unknown".into()),
        },
    };
    let name = dir.root().file_name()?.to_string_lossy().into_owned();
    let as_written = run.as_written.then(|| "written procedure, literally".to_owned());
    Some(Listed {
        id: clip(&run.id, 120),
        href: crate::text::link(&format!("{name}/report.html")).filter(|_| dir.path("report.html").exists()),
        verdict,
        word,
        started: moment(run.opened_at),
        upgrade: format!("{} to {}, option {}", run.from, run.to, clip(&run.option, 20)),
        left_out: as_written.unwrap_or_else(|| clip(&run.safeguards.left_out.join(", "), 120)),
        numbers: [
            count(|t| t.acknowledged),
            count(|t| t.delivered),
            count(|t| t.missing),
            count(|t| t.repeated),
        ],
    })
}
