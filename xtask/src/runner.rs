//! Runs steps: order, timing, events, skips and what happens after a failure live here, once.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use artifacts::events::{EventKind, StepResult};
use artifacts::findings::Verdict;
use artifacts::redact::Redactor;
use artifacts::run::Run;
use artifacts::{Lsn, RunDir};
use stack::Stack;
use stack::observe::{Observer, Shared};

use crate::cx::Cx;
use crate::exit::{Outcome, Usage};
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::request;
use crate::sampler::Sampler;
use crate::steps::{self, Kind, Step};
use crate::{console, failpoint};

/// A run that is being worked on.
pub(crate) struct Runner {
    pub(crate) run: RunDir,
    pub(crate) info: Run,
    pub(crate) stack: Option<Stack>,
    recorder: Arc<Recorder>,
}

impl Runner {
    /// Opens the events of a run. `stack` is none for derived steps.
    pub(crate) fn open(run: RunDir, info: Run, stack: Option<Stack>) -> anyhow::Result<Self> {
        let secrets = stack.as_ref().map(|s| s.secrets().all()).unwrap_or_default();
        let recorder = Recorder::open(run.clone(), Redactor::new(secrets), stack.is_none())?;
        let recorder = Arc::new(recorder);
        Ok(Self { run, info, stack, recorder })
    }

    /// All steps in order that have not been done yet. A failing step ends the run, unless a safeguard was left out: then it is
    /// a result, and the closing steps and the verdict follow.
    pub(crate) async fn all(&mut self) -> anyhow::Result<()> {
        let mut failure: Option<anyhow::Error> = None;
        let progress = Progress::of(&self.run)?;
        if progress.is_done(&steps::STEPS[0]) {
            self.wake().await?;
        }
        for step in steps::plan(&self.info).into_iter().filter(|step| !progress.is_done(step)) {
            if failure.is_some() && step.kind == Kind::Procedure {
                continue;
            }
            let result = self.one(step).await;
            match result {
                Ok(()) => {}
                Err(e) if self.info.safeguards.left_out.is_empty() || step.kind == Kind::Derived => {
                    return Err(e);
                }
                Err(e) if matches!(step.name, "up" | "collect") => {
                    return Err(match failure {
                        Some(first) => e.context(format!("after {first:#}")),
                        None => e,
                    });
                }
                Err(e) => {
                    console::detail(&format!("{e:#}"));
                    failure.get_or_insert(e);
                }
            }
        }
        Ok(())
    }

    /// Starts again what of the stack has died since the run was left.
    async fn wake(&mut self) -> anyhow::Result<()> {
        let Some(stack) = &mut self.stack else { return Ok(()) };
        let id = self.run.id();
        if request::current(stack).as_deref() != Some(self.run.root()) {
            let text = format!(
                "the stack no longer has the databases of {id}: begin a new run with: cargo xtask up"
            );
            return Err(Usage(text).into());
        }
        let observer: Shared = self.recorder.clone();
        stack.ensure_running(&observer).await.with_context(|| format!("cannot go on with {id}"))?;
        // A task that has lost its database or its worker does not always begin again by itself.
        let connect = stack::connect::Client::new(&stack.endpoints().connect, observer)?;
        let connector = &self.info.names.connector;
        if connect.quiet().status(connector).await.is_ok_and(|status| status.failure().is_some()) {
            connect.restart(connector, true, true).await?;
        }
        Ok(())
    }

    /// One step: skipped when its safeguard is left out, timed and recorded otherwise.
    pub(crate) async fn one(&mut self, step: &'static Step) -> anyhow::Result<()> {
        let start = Instant::now();
        self.recorder.start_step(step);
        failpoint::reach(step, "start");
        if let Some(why) = step.skipped(&self.info) {
            self.finish(start, StepResult::Skipped, Some(why.clone()));
            console::step("skipped", step.no(), step.name, &why);
            return Ok(());
        }
        let stack = if step.kind == Kind::Derived { None } else { self.stack.take() };
        // While `up` runs, what answers is still the rehearsal before.
        let sampler = stack
            .as_ref()
            .filter(|_| step.name != "up")
            .map(|stack| Sampler::start(stack, &self.info.names, step.role, self.recorder.clone()));
        let mut cx = Cx::new(step, self.run.clone(), self.info.clone(), self.recorder.clone(), stack);
        let mut result = (step.run)(&mut cx).await.and_then(|()| self.recorder.check());
        if let Some(sampler) = sampler {
            sampler.stop().await;
        }
        let said = cx.said.take().unwrap_or_default();
        self.info = cx.info.clone();
        if let Some(stack) = cx.into_stack() {
            if result.is_err()
                && let Some(why) = stack.gone().await
            {
                result = result.context(why);
            }
            self.stack = Some(stack);
        }
        failpoint::reach(step, "end");
        let error = result.as_ref().err().map(|e| format!("{e:#}"));
        let outcome = if error.is_some() { StepResult::Failed } else { StepResult::Ok };
        self.finish(start, outcome, error);
        let result = result.and_then(|()| if step.name == "collect" { self.seal(step) } else { Ok(()) });
        let seconds = start.elapsed().as_secs_f64();
        let mark = if result.is_ok() { "ok" } else { "FAILED" };
        console::step(mark, step.no(), step.name, &format!("{seconds:.1} s  {said}"));
        result.with_context(|| format!("step {} ({:02})", step.name, step.no()))
    }

    fn finish(&self, start: Instant, result: StepResult, error: Option<String>) {
        let ms = start.elapsed().as_millis() as u64;
        let waited_ms = (self.recorder.waited().as_millis() as u64).min(ms);
        self.recorder.event(EventKind::StepFinished { result, error, ms, waited_ms }, None);
        self.recorder.end_step();
    }

    /// The last event of the evidence is the one that says that it is sealed.
    fn seal(&self, step: &Step) -> anyhow::Result<()> {
        self.recorder.event(EventKind::Sealed, None);
        self.recorder.check()?;
        failpoint::reach(step, "seal");
        let sums = artifacts::seal::sums(self.run.root())?;
        self.run.write_text(artifacts::run_dir::SUMS, &sums)?;
        self.recorder.seal()
    }

    /// The verdict of the run.
    pub(crate) fn verdict(&self) -> anyhow::Result<Verdict> {
        let findings = self.run.findings()?.context("there is no verdict yet: cargo xtask verify")?;
        Ok(findings.verdict)
    }

    /// A signal came: says so in the evidence and leaves everything standing.
    pub(crate) fn interrupted(&self, signal: u8) -> Outcome {
        let error = Some(format!("signal {signal}"));
        self.recorder.event(
            EventKind::StepFinished { result: StepResult::Interrupted, error, ms: 0, waited_ms: 0 },
            None,
        );
        Outcome::Signal(signal)
    }
}

/// The stored offset's LSN, for texts.
pub(crate) fn or_none(lsn: Option<Lsn>) -> String {
    lsn.map_or("none".into(), |lsn| lsn.to_string())
}
