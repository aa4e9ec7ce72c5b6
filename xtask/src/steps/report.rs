//! `report`. Writes report.html, report.md and junit.xml from the run directory alone.

use crate::cx::Cx;

/// Renders.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let rendered = {
        let run = cx.run.clone();
        tokio::task::spawn_blocking(move || report::render(&run)).await??
    };
    cx.say(rendered.html.display().to_string());
    Ok(())
}
