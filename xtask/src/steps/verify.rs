//! `verify` (original README: step 9). Writes findings.json and violations.jsonl from the run
//! directory alone: no stack is needed.

use crate::cx::Cx;

/// Decides.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let findings = {
        let run = cx.run.clone();
        tokio::task::spawn_blocking(move || report::verify(&run, &report::Options::default())).await??
    };
    cx.say(findings.verdict.to_string());
    Ok(())
}
