//! One view per section: display strings, in the order of the templates. A new section is a file
//! here, a template, and a line in [`Page`].

pub(crate) mod checks;
pub(crate) mod diff;
pub(crate) mod flatten;
pub(crate) mod marks;
pub(crate) mod moments;
pub(crate) mod panels;
pub(crate) mod plot;
pub(crate) mod positions;
pub(crate) mod reproduce;
pub(crate) mod setup;
pub(crate) mod spans;
pub(crate) mod steps;
pub(crate) mod timeline;
pub(crate) mod verdict;
pub(crate) mod violations;

use serde::Serialize;

use crate::input::Input;

/// How much of everything is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Violations of a kind.
    pub(crate) violations: usize,
    /// Commands, requests, statements and waits of one step, each.
    pub(crate) items: usize,
    /// Steps.
    pub(crate) steps: usize,
    /// Rows of one table.
    pub(crate) rows: usize,
    /// Characters of one value.
    pub(crate) chars: usize,
}

impl Limits {
    /// From generous to one that fits whatever the input is.
    pub(crate) const LADDER: [Self; 4] = [
        Self { violations: 100, items: 60, steps: 120, rows: 200, chars: 1_000 },
        Self { violations: 100, items: 30, steps: 80, rows: 100, chars: 400 },
        Self { violations: 100, items: 8, steps: 60, rows: 40, chars: 120 },
        Self { violations: 10, items: 1, steps: 30, rows: 4, chars: 30 },
    ];
}

/// The whole page.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) verdict: verdict::View,
    pub(crate) setup: setup::View,
    pub(crate) diff: diff::View,
    pub(crate) positions: positions::View,
    pub(crate) moments: moments::View,
    pub(crate) checks: checks::View,
    pub(crate) violations: violations::View,
    pub(crate) timeline: timeline::View,
    pub(crate) steps: steps::View,
    pub(crate) reproduce: reproduce::View,
}

impl Page {
    /// Builds every view.
    pub(crate) fn new(input: &Input, limits: Limits) -> Self {
        let verdict = verdict::view(input);
        Self {
            title: format!("{}: {}", verdict.word, input.run.id),
            verdict,
            setup: setup::view(input, limits),
            diff: diff::view(input, limits),
            positions: positions::view(input),
            moments: moments::view(input),
            checks: checks::view(input, limits),
            violations: violations::view(input, limits),
            timeline: timeline::view(input),
            steps: steps::view(input, limits),
            reproduce: reproduce::view(input),
        }
    }
}
