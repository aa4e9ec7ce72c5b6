//! `report`. Writes report.html, report.md and junit.xml from the run directory alone, and beside it, where it is
//! among the others, the list of all runs.

use std::path::PathBuf;

use crate::cx::Cx;
use crate::{console, project, request};

/// Renders.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let rendered = {
        let run = cx.run.clone();
        tokio::task::spawn_blocking(move || report::render(&run)).await??
    };
    // A list that is not up to date spoils no report.
    let among_others = cx.run.root().parent().is_some_and(|parent| parent == project::runs());
    if among_others && let Err(e) = write_index() {
        console::warn(&format!("{e:#}"));
    }
    cx.say(rendered.html.display().to_string());
    Ok(())
}

/// Writes `index.html` beside the runs: all of them, with links to their reports.
fn write_index() -> anyhow::Result<()> {
    let runs = request::all_runs();
    let page = report::index(&runs.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    project::write_whole(&project::runs().join("index.html"), &page)
}
