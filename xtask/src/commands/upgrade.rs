//! `cargo xtask upgrade`: all steps, then the verdict.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Context;
use artifacts::RunDir;
use artifacts::events::EventKind;
use artifacts::findings::Verdict;
use stack::{Stack, StackLock};

use super::{Signals, choose_stack, open_stack, target};
use crate::exit::{Outcome, Usage};
use crate::flags::{StackArgs, Upgrade};
use crate::request;
use crate::runner::Runner;
use crate::{console, plan};

/// Opens a run, or goes on with one; rehearses, and takes the stack down after a held verdict.
pub(crate) async fn run(args: Upgrade, mut signals: Signals) -> anyhow::Result<Outcome> {
    if args.dry_run {
        let stack = open_stack(&args.stack)?;
        plan::all(&request::new_run(&args.rehearsal, &stack)?, &stack);
        return Ok(Outcome::Done);
    }
    let start = Instant::now();
    // The state is read under the lock: nobody changes it in between.
    let lock = StackLock::acquire(&args.stack.name)?;
    let mut runner = match args.resume {
        true => resume(&args, open_stack(&args.stack)?)?,
        false => begin(&args, choose_stack(&args.stack, &args.rehearsal).await?)?,
    };
    let result = tokio::select! {
        result = runner.all() => result.map(|()| None),
        number = signals.next() => Ok(Some(number)),
    };
    match result {
        Ok(None) => {}
        Ok(Some(number)) => {
            left_standing(&args.stack, true);
            return Ok(runner.interrupted(number));
        }
        Err(e) => {
            left_standing(&args.stack, true);
            return Err(e);
        }
    }
    let verdict = runner.verdict()?;
    if verdict == Verdict::Held && !args.keep_up {
        open_stack(&args.stack)?.down(false).await.context("cannot take the stack down")?;
    } else {
        left_standing(&args.stack, false);
    }
    drop(lock);
    conclude(&runner, verdict, start)?;
    Ok(Outcome::Verdict(verdict))
}

fn begin(args: &Upgrade, stack: Stack) -> anyhow::Result<Runner> {
    let mut info = request::new_run(&args.rehearsal, &stack)?;
    console::say(&format!(
        "rehearsing PostgreSQL {} to {}, option {}, on the {} stack '{}'",
        info.from, info.to, info.option, info.stack.kind, info.stack.name
    ));
    if !info.safeguards.left_out.is_empty() {
        console::warn(&format!("left out: {}", info.safeguards.left_out.join(", ")));
    }
    let run = request::open(&mut info)?;
    console::say(&format!("evidence in runs/{}", run.id()));
    Runner::open(run, info, Some(stack))
}

/// The newest run of the stack, from the first step that it has not done.
fn resume(args: &Upgrade, stack: Stack) -> anyhow::Result<Runner> {
    let run = request::newest(&args.stack.name)?;
    let info = run.run()?;
    request::contradictions(&info, &args.rehearsal)?;
    if run.path("report.html").exists() {
        let text =
            format!("{} has its verdict and report: begin a new run with: cargo xtask upgrade", run.id());
        return Err(Usage(text).into());
    }
    console::say(&format!("going on with runs/{}", run.id()));
    let stack = if run.is_sealed() { None } else { Some(stack) };
    Runner::open(run, info, stack)
}

/// Says what is left, and how to go on when the run has no verdict yet.
fn left_standing(args: &StackArgs, unfinished: bool) {
    let name = target::option(&args.name);
    if unfinished {
        console::say(&format!(
            "go on from the step that was not done with: cargo xtask upgrade --resume{name}"
        ));
    }
    if !open_stack(args).is_ok_and(|stack| stack.processes().iter().any(|p| p.alive)) {
        return;
    }
    console::say(&format!("the stack is left standing for inspection; end it with: cargo xtask down{name}"));
}

/// The verdict, what is behind it, and where to read on.
pub(crate) fn conclude(runner: &Runner, verdict: Verdict, start: Instant) -> anyhow::Result<()> {
    let findings = runner.run.findings()?.context("no findings")?;
    for check in findings.checks.iter().filter(|c| c.verdict != Verdict::Held) {
        console::say(&format!(
            "{:>7} {}: {}",
            check.verdict.to_string(),
            console::strong(&check.name),
            check.summary
        ));
    }
    let counts = findings.counts.total;
    console::say(&format!(
        "{} after {:.0} s: {} of {} acknowledged changes delivered, {} missing, {} repeated, {} out of order",
        console::strong(&verdict.to_string()),
        start.elapsed().as_secs_f64(),
        counts.delivered,
        counts.acknowledged,
        counts.missing,
        counts.repeated,
        counts.reordered,
    ));
    console::say(&cost(&runner.run)?);
    console::data(&runner.run.path("report.html").display().to_string());
    Ok(())
}

/// Where time and memory went, from the events; of a step that was done again, the last time counts.
fn cost(run: &RunDir) -> anyhow::Result<String> {
    let (mut steps, mut components, mut tool) = (BTreeMap::new(), 0, 0);
    for event in run.events()? {
        match event.kind {
            EventKind::StepFinished { ms, waited_ms, .. } => {
                steps.insert(event.step, (ms, ms.saturating_sub(waited_ms)));
            }
            EventKind::Memory { components_bytes, tool_peak_bytes } => {
                components = components.max(components_bytes);
                tool = tool.max(tool_peak_bytes);
            }
            _ => {}
        }
    }
    let (total, own) = steps.values().fold((0, 0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
    let time = format!(
        "steps took {:.1} s, {:.1} s of it outside waiting for components",
        total as f64 / 1000.0,
        own as f64 / 1000.0,
    );
    // A synthetic run has no components.
    Ok(match components >> 20 {
        0 => time,
        mib => format!("{time}; components had at most {mib} MiB, this program {} MiB", tool >> 20),
    })
}
