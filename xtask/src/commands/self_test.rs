//! `cargo xtask self-test`: does the verifier see what it is for? Known faults, one after another, in
//! copies of a run that held.

use anyhow::Context;
use artifacts::RunDir;
use report::self_test::{Judged, self_test};
use report::synth::{self, Plan};

use super::runs;
use crate::console;
use crate::exit::Outcome;
use crate::flags::SelfTest;

/// Prints a row per fault; 1 when one was missed or too much was named.
pub(crate) async fn run(args: &SelfTest) -> anyhow::Result<Outcome> {
    let scratch = tempfile::tempdir().context("cannot make a folder for the copies")?;
    let original = scratch.path().join("original");
    let run = match &args.run {
        Some(run) => RunDir::open(&runs::path(run)?)?,
        None => {
            let plan = Plan { odd_fates: false, ..Plan::of_events(args.events, args.seed) };
            tokio::task::spawn_blocking(move || synth::write(&plan, &original)).await??
        }
    };
    let (copy, seed) = (scratch.path().join("copy"), args.seed);
    let judged = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        self_test(&run, &copy, seed, |judged| {
            all.push(judged.clone());
            true
        })
        .map(|()| all)
    })
    .await??;
    let columns = ["", "fault", "verdict", "not held", "named", "ms"];
    console::table(&columns, &judged.iter().map(row).collect::<Vec<_>>());
    for judged in judged.iter().filter(|judged| !judged.misses.is_empty()) {
        let first = judged.misses.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
        console::warn(&format!("{}: {} wrong: {first}", judged.fault, judged.misses.len()));
    }
    let missed = judged.iter().filter(|judged| !judged.misses.is_empty()).count();
    let planted = judged.iter().filter(|judged| judged.verdict.is_some()).count();
    console::say(&format!("{planted} judged, {missed} of them wrongly"));
    Ok(if missed == 0 { Outcome::Done } else { Outcome::Found(1) })
}

fn row(judged: &Judged) -> Vec<String> {
    let Judged { fault, verdict, checks, expected, found, misses, took } = judged;
    let checks: Vec<&str> = checks.iter().map(|(name, _)| name.as_str()).collect();
    vec![
        if misses.is_empty() { "ok" } else { "MISSED" }.into(),
        (*fault).into(),
        verdict.map_or("no place for it".into(), |verdict| verdict.to_string()),
        if checks.len() > 3 { format!("{} checks", checks.len()) } else { checks.join(", ") },
        format!("{found} of {expected}"),
        took.as_millis().to_string(),
    ]
}
