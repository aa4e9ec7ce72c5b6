//! One step alone: the same runner, on the newest unsealed run of the stack or on `--run`.

use std::time::Instant;

use artifacts::RunDir;
use stack::{Stack, StackLock};

use super::upgrade::conclude;
use super::{Signals, choose_stack, open_stack};
use crate::exit::{Outcome, Usage};
use crate::flags::StepArgs;
use crate::plan;
use crate::progress::Progress;
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
    // The state is read under the lock: nobody changes it in between.
    let _lock = if derived { None } else { Some(StackLock::acquire(&args.stack.name)?) };
    let stack = match step.name {
        _ if derived => None,
        "up" => Some(choose_stack(&args.stack, &args.rehearsal).await?),
        _ => Some(open_stack(&args.stack)?),
    };
    let run = match &stack {
        Some(stack) if step.name == "up" => new_run(&args, stack)?,
        Some(stack) => current_run(stack, &args)?,
        None => derived_run(&args)?,
    };
    let info = run.run()?;
    request::contradictions(&info, &args.rehearsal)?;
    if !derived {
        Progress::of(&run)?.admits(step, &info)?;
    }
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
    let stack = open_stack(&args.stack)?;
    let run = match step.kind {
        Kind::Derived => derived_run(args),
        _ => current_run(&stack, args),
    };
    let info = match run {
        Ok(run) => run.run()?,
        Err(e) if args.run.is_some() => return Err(e),
        Err(_) => request::new_run(&args.rehearsal, &stack)?,
    };
    plan::one(step, &info, &stack);
    Ok(Outcome::Done)
}

/// `up` makes fresh databases, so it always begins a run.
fn new_run(args: &StepArgs, stack: &Stack) -> anyhow::Result<RunDir> {
    if args.run.is_some() {
        return Err(
            Usage("up makes a fresh database and begins a run of its own: leave out --run".into()).into()
        );
    }
    request::open(&mut request::new_run(&args.rehearsal, stack)?)
}

/// The run whose databases the stack holds; evidence of another one must not be mixed into it.
fn current_run(stack: &Stack, args: &StepArgs) -> anyhow::Result<RunDir> {
    let name = &args.stack.name;
    let none =
        || Usage(format!("there is no open run of the stack '{name}': begin one with: cargo xtask up"));
    let run = RunDir::open(&request::current(stack).ok_or_else(none)?)?;
    if let Some(dir) = &args.run
        && RunDir::open(dir)? != run
    {
        let text = format!("{} is not the run of the stack '{name}', which is {}", dir.display(), run.id());
        return Err(Usage(text).into());
    }
    if run.is_sealed() {
        let text = format!(
            "{} is sealed, evidence is never added to: begin a new run with: cargo xtask up",
            run.id()
        );
        return Err(Usage(text).into());
    }
    Ok(run)
}

/// `--run`, else the newest run of the stack.
fn derived_run(args: &StepArgs) -> anyhow::Result<RunDir> {
    if let Some(dir) = &args.run {
        return Ok(RunDir::open(dir)?);
    }
    request::newest(&args.stack.name)
}
