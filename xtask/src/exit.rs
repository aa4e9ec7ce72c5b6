//! Exit codes, documented in `docs/cli.md`:
//! 0 held or done; 1 broken; 2 usage; 3 preflight; 4 unknown; 5 a step failed; 130/143 on signals.

use std::any::Any;
use std::fmt;
use std::process::ExitCode;

use artifacts::findings::Verdict;

use crate::console;

/// How a command ended, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it is for.
    Done,
    /// It reached a verdict.
    Verdict(Verdict),
    /// A command of ours found something wrong (tidy, doctor, ci) and has said so.
    Found(u8),
    /// Ended by a signal: 2 or 15.
    Signal(u8),
}

impl Outcome {
    fn code(self) -> u8 {
        match self {
            Self::Done | Self::Verdict(Verdict::Held) => 0,
            Self::Verdict(Verdict::Broken) => 1,
            Self::Verdict(Verdict::Unknown) => 4,
            Self::Found(code) => code,
            Self::Signal(n) => 128 + n,
        }
    }
}

/// The command line asks for something that cannot be.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The exit code for an error.
fn code_of(error: &anyhow::Error) -> u8 {
    let preflight = |e: &(dyn std::error::Error + 'static)| {
        let of_stack = e.downcast_ref::<stack::Error>();
        of_stack.is_some_and(|e| e.is_preflight() || matches!(e, stack::Error::Busy { .. }))
    };
    if error.chain().any(|e| e.is::<Usage>()) {
        2
    } else if error.chain().any(preflight) {
        3
    } else {
        5
    }
}

/// The stages of an error, outermost first; a cause that is told already is not told again.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        told if told.contains(&cause) => text,
        told => format!("{told}: {cause}"),
    })
}

/// Prints what has to be said and gives the exit code.
pub(crate) fn report(result: Result<anyhow::Result<Outcome>, Box<dyn Any + Send>>) -> ExitCode {
    match result {
        Ok(Ok(outcome)) => ExitCode::from(outcome.code()),
        Ok(Err(error)) => {
            console::error(&sentence(&error));
            ExitCode::from(code_of(&error))
        }
        // The panic hook has printed the message and the place.
        Err(_) => ExitCode::from(5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no such file").context("cannot open x: no such file").context("reading");
        assert_eq!(sentence(&error), "reading: cannot open x: no such file");
    }
}
