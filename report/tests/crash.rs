//! A check that panics is unknown, and the others answer all the same.

// A test that cannot build its run shall fail at once.
#![allow(clippy::unwrap_used)]

mod support;

use artifacts::findings::Verdict;
use report::checks::{Answer, Check};
use report::verify::context::Context;
use report::verify::history::KeyHistory;
use report::verify::violations::Violations;

struct Panics(bool);

impl Check for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn key(&mut self, _cx: &Context, _history: &KeyHistory, _out: &mut Violations) {
        assert!(!self.0, "at a key");
    }

    fn finish(&mut self, _cx: &Context, _out: &mut Violations) -> Answer {
        panic!("at the end");
    }
}

#[test]
fn a_check_that_panics_is_unknown_and_alone() {
    let dir = tempfile::tempdir().unwrap();
    let run = support::held_run(&dir.path().join("run"));
    let checks = || {
        let panic: Vec<Box<dyn Check>> = vec![Box::new(Panics(true)), Box::new(Panics(false))];
        panic.into_iter().chain(report::checks::all()).collect()
    };
    let findings = report::verify::verify_with(&run, &report::Options::default(), checks).unwrap();
    assert_eq!(findings.verdict, Verdict::Unknown);
    assert_eq!(findings.checks[0].summary, "not proven: the check itself crashed: at a key");
    assert_eq!(findings.checks[1].summary, "not proven: the check itself crashed: at the end");
    assert!(findings.checks[2..].iter().all(|check| check.verdict == Verdict::Held));
}
