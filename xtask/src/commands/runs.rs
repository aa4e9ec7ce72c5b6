//! `cargo xtask runs`: the run directories, newest first.

use artifacts::RunDir;

use crate::console;
use crate::exit::Outcome;
use crate::request;

/// One line per run: id, verdict, option, versions, what was left out.
pub(crate) fn list() -> anyhow::Result<Outcome> {
    for path in request::all_runs() {
        let run = match RunDir::open(&path) {
            Ok(run) => run,
            Err(e) => {
                console::data(&format!("{:<10} {e}", "corrupt"));
                continue;
            }
        };
        let info = run.run()?;
        let verdict = match run.findings() {
            Ok(Some(findings)) => findings.verdict.to_string(),
            Ok(None) if run.is_sealed() => "no verdict".into(),
            Ok(None) => "open".into(),
            Err(_) => "corrupt".into(),
        };
        let out = info.safeguards.left_out.join(",");
        let out = if out.is_empty() { String::new() } else { format!("  without {out}") };
        console::data(&format!(
            "{verdict:<10} {}  {} to {}  stack {}{out}",
            info.id, info.from, info.to, info.stack.name
        ));
    }
    Ok(Outcome::Done)
}
