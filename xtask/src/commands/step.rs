//! One step alone: the same runner, on the newest unsealed run of the stack or on `--run`.

use std::time::Instant;

use artifacts::RunDir;
use stack::StackLock;

use super::upgrade::conclude;
use super::{Signals, open_stack};
use crate::exit::{Outcome, Usage};
use crate::flags::StepArgs;
use crate::plan;
use crate::request;
use crate::runner::Runner;
use crate::steps::{self, Kind, StepCommand};

/// Runs the step; `verify` ends with the verdict's exit code.
pub(crate) async fn run(command: StepCommand, mut signals: Signals) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let StepCommand { name, args } = command;
    let step = steps::find(&name).ok_or_else(|| Usage(format!("there is no step {name}")))?;
    let derived = step.kind == Kind::Derived;
    if args.dry_run {
        return dry_run(step, &args);
    }
    let stack = if derived {
        None
    } else {
        let stack = open_stack(&args.stack)?;
        let lock = StackLock::acquire(&args.stack.name, false)?;
        Some((stack, lock))
    };
    let run = if step.name == "up" && args.run.is_none() {
        let mut info = request::new_run(&args.rehearsal, &args.stack)?;
        request::open(&mut info)?
    } else {
        find_run(&args, derived)?
    };
    let info = run.run()?;
    request::contradictions(&info, &args.rehearsal)?;
    let mut runner = Runner::open(run, info, stack)?;
    let result = tokio::select! {
        result = runner.one(step) => result,
        number = signals.next() => return Ok(runner.interrupted(number)),
    };
    result?;
    if step.name == "verify" {
        let verdict = runner.verdict()?;
        conclude(&runner, verdict, start)?;
        return Ok(Outcome::Verdict(verdict));
    }
    Ok(Outcome::Done)
}

fn dry_run(step: &steps::Step, args: &StepArgs) -> anyhow::Result<Outcome> {
    let info = match find_run(args, step.kind == Kind::Derived) {
        Ok(run) => run.run()?,
        Err(_) => request::new_run(&args.rehearsal, &args.stack)?,
    };
    plan::one(step, &info, &open_stack(&args.stack)?);
    Ok(Outcome::Done)
}

/// `--run`, else the newest run of the stack: an unsealed one for steps that add evidence.
fn find_run(args: &StepArgs, derived: bool) -> anyhow::Result<RunDir> {
    if let Some(dir) = &args.run {
        let run = RunDir::open(dir)?;
        if !derived && run.is_sealed() {
            return Err(Usage(format!("{} is sealed: evidence is never added to", dir.display())).into());
        }
        return Ok(run);
    }
    let wanted = |run: &RunDir| {
        let of_stack = run.run().is_ok_and(|info| info.stack.name == args.stack.name);
        of_stack && (derived || !run.is_sealed())
    };
    request::all_runs().into_iter().find(wanted).ok_or_else(|| {
        let kind = if derived { "run" } else { "open run" };
        Usage(format!(
            "there is no {kind} of the stack '{}': begin one with: cargo xtask up",
            args.stack.name
        ))
        .into()
    })
}
