//! Writes `report.html`, `report.md` and `junit.xml` from a run directory and nothing else.

use std::path::PathBuf;

use artifacts::RunDir;
use tera::{Context, Tera};

use crate::error::{Error, Result};
use crate::input::Input;
use crate::views::{Limits, Page};
use crate::{junit, markdown, text};

/// The most bytes of `report.html`.
pub const MAX_HTML_BYTES: usize = 1_000_000;

const TEMPLATES: [(&str, &str); 16] = [
    ("style.css", include_str!("../templates/style.css")),
    ("head.html", include_str!("../templates/head.html")),
    ("components.html", include_str!("../templates/components.html")),
    ("verdict.html", include_str!("../templates/verdict.html")),
    ("numbers.html", include_str!("../templates/numbers.html")),
    ("setup.html", include_str!("../templates/setup.html")),
    ("diff.html", include_str!("../templates/diff.html")),
    ("checks.html", include_str!("../templates/checks.html")),
    ("violations.html", include_str!("../templates/violations.html")),
    ("timeline.html", include_str!("../templates/timeline.html")),
    ("steps.html", include_str!("../templates/steps.html")),
    ("reproduce.html", include_str!("../templates/reproduce.html")),
    ("words.html", include_str!("../templates/words.html")),
    ("base.html", include_str!("../templates/base.html")),
    ("compare.html", include_str!("../templates/compare.html")),
    ("index.html", include_str!("../templates/index.html")),
];

/// The files that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// `report.html`: one file for a browser.
    pub html: PathBuf,
    /// Its size in bytes, at most [`MAX_HTML_BYTES`].
    pub html_bytes: usize,
    /// `report.md`: the same for a comment, at most [`markdown::MAX_CHARS`] characters.
    pub markdown: PathBuf,
    /// `junit.xml`: one test case per check.
    pub junit: PathBuf,
}

/// Renders the report. What a run directory lacks is shown as not observed, with the reason;
/// without `findings.json` the report says that there is no verdict yet. The same directory gives
/// the same bytes.
///
/// # Errors
/// `run.json` cannot be read, or a file cannot be written.
pub fn render(run: &RunDir) -> Result<Rendered> {
    let input = Input::read(run, Limits::LADDER[0].violations)?;
    let html = html(&input)?;
    let junit =
        junit::junit(&input).map_err(|e| Error::Render { what: "junit.xml".into(), cause: e.to_string() })?;
    run.write_text("report.html", &html)?;
    run.write_text("report.md", &markdown::markdown(&input))?;
    run.write_text("junit.xml", &junit)?;
    Ok(Rendered {
        html: run.path("report.html"),
        html_bytes: html.len(),
        markdown: run.path("report.md"),
        junit: run.path("junit.xml"),
    })
}

/// The page, with as much detail as fits.
fn html(input: &Input) -> Result<String> {
    let tera = templates().map_err(template_error)?;
    let mut html = String::new();
    for limits in Limits::LADDER {
        let context = Context::from_serialize(&Page::new(input, limits)).map_err(template_error)?;
        html = tera.render("base.html", &context).map_err(template_error)?;
        if html.len() <= MAX_HTML_BYTES {
            break;
        }
    }
    Ok(html)
}

pub(crate) fn templates() -> std::result::Result<Tera, tera::Error> {
    let mut tera = Tera::new();
    tera.set_escape_fn(text::escape_html);
    tera.add_raw_templates(TEMPLATES)?;
    Ok(tera)
}

/// The error with its causes, which name template and line.
pub(crate) fn template_error(error: tera::Error) -> Error {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Error::Render { what: "report.html".into(), cause: text }
}
