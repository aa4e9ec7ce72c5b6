//! What a run has done so far, from its events: which step may come next, and where `--resume` goes on.

use std::collections::BTreeMap;

use artifacts::RunDir;
use artifacts::events::{EventKind, StepResult};
use artifacts::run::Run;

use crate::exit::Usage;
use crate::steps::{self, Kind, Step};

/// How far a run is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// How each step ended last; none while it has only begun.
    last: BTreeMap<String, Option<StepResult>>,
    sealed: bool,
}

impl Progress {
    /// Reads the events of a run; a run without any has done nothing.
    pub(crate) fn of(run: &RunDir) -> anyhow::Result<Self> {
        let mut progress = Self { sealed: run.is_sealed(), ..Self::default() };
        if run.path("events.jsonl").exists() {
            run.events()?.into_iter().for_each(|event| progress.saw(event.step, &event.kind));
        }
        Ok(progress)
    }

    fn saw(&mut self, step: Option<String>, kind: &EventKind) {
        let Some(step) = step else { return };
        match kind {
            EventKind::StepStarted => drop(self.last.insert(step, None)),
            EventKind::StepFinished { result, .. } => drop(self.last.insert(step, Some(*result))),
            _ => {}
        }
    }

    /// Whether the step need not be run again. The last step of the evidence is done when that is sealed.
    pub(crate) fn is_done(&self, step: &Step) -> bool {
        let ended = matches!(self.last.get(step.name), Some(Some(StepResult::Ok | StepResult::Skipped)));
        if step.name == "collect" { self.sealed } else { ended && step.kind != Kind::Derived }
    }

    fn has_begun(&self, step: &Step) -> bool {
        self.last.contains_key(step.name)
    }

    fn has_failed(&self, step: &Step) -> bool {
        self.last.get(step.name) == Some(&Some(StepResult::Failed))
    }

    /// Whether the step may be run now.
    ///
    /// # Errors
    /// An earlier step has not been done, with the command that does it; or a later one has begun.
    pub(crate) fn admits(&self, step: &Step, info: &Run) -> anyhow::Result<()> {
        let plan = steps::plan(info);
        let Some(at) = plan.iter().position(|s| s.name == step.name) else {
            return Err(Usage(format!("{} is no step of run {}", step.name, info.id)).into());
        };
        let (earlier, later) = (&plan[..at], &plan[at + 1..]);
        // With a safeguard left out a failing step is a result, and the closing steps follow.
        let failed = !info.safeguards.left_out.is_empty() && earlier.iter().any(|s| self.has_failed(s));
        if !(failed && step.kind == Kind::Closing)
            && let Some(missing) = earlier.iter().find(|s| !self.is_done(s) && s.skipped(info).is_none())
        {
            let text = format!(
                "{} comes after {}, which run {} has not done: cargo xtask {}",
                step.name, missing.name, info.id, missing.name
            );
            return Err(Usage(text).into());
        }
        if let Some(begun) = later.iter().find(|s| self.has_begun(s)).filter(|_| step.kind == Kind::Procedure)
        {
            let text = format!(
                "{} comes before {}, which run {} has begun already: begin a new run with: cargo xtask up",
                step.name, begun.name, info.id
            );
            return Err(Usage(text).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: &[&str]) -> Progress {
        let mut progress = Progress::default();
        for name in done {
            progress.saw(Some((*name).into()), &EventKind::StepStarted);
            let kind = EventKind::StepFinished { result: StepResult::Ok, error: None, ms: 0, waited_ms: 0 };
            progress.saw(Some((*name).into()), &kind);
        }
        progress
    }

    fn refusal(progress: &Progress, step: &str, info: &Run) -> String {
        let step = steps::find(step).unwrap();
        progress.admits(step, info).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_step_waits_for_those_before_it() {
        let info = crate::request::tests::run(&[]);
        let some = progress(&["up"]);
        assert_eq!(refusal(&some, "deploy-connector", &info), "");
        assert!(refusal(&some, "start-generator", &info).ends_with("cargo xtask deploy-connector"));
        assert_eq!(refusal(&some, "up", &info), "", "may be repeated");
        let more = progress(&["up", "deploy-connector"]);
        assert!(refusal(&more, "up", &info).contains("deploy-connector"), "not any more");
    }

    #[test]
    fn what_is_left_out_is_not_waited_for() {
        let done = [
            "up",
            "deploy-connector",
            "start-generator",
            "capture-before",
            "stop-generator",
            "fence-writers",
        ];
        let done = progress(&done);
        assert!(refusal(&done, "stop-connector", &crate::request::tests::run(&[])).contains("drain"));
        assert_eq!(refusal(&done, "stop-connector", &crate::request::tests::run(&["drain"])), "");
    }

    #[test]
    fn closing_steps_follow_a_failure_that_was_asked_for() {
        let mut some = progress(&["up", "deploy-connector"]);
        let failed = EventKind::StepFinished { result: StepResult::Failed, error: None, ms: 0, waited_ms: 0 };
        some.saw(Some("start-generator".into()), &failed);
        assert_eq!(refusal(&some, "collect", &crate::request::tests::run(&["drain"])), "");
        assert_ne!(refusal(&some, "collect", &crate::request::tests::run(&[])), "");
    }
}
