//! Progress on stderr: a spinner per task on a terminal, a plain line elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(120);

/// Something that takes a while. Dropping it without [`Task::done`] means that it failed.
#[derive(Debug)]
pub(crate) struct Task {
    what: String,
    start: Instant,
    bar: Option<ProgressBar>,
}

fn bars() -> Option<&'static MultiProgress> {
    static BARS: OnceLock<Option<MultiProgress>> = OnceLock::new();
    BARS.get_or_init(|| std::io::stderr().is_terminal().then(MultiProgress::new)).as_ref()
}

/// A line on stderr, above the spinners that turn.
pub fn line(text: &str) {
    match bars() {
        Some(bars) => bars.suspend(|| write(text)),
        None => write(text),
    }
}

/// Nobody may be listening any more.
fn write(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Task {
    /// Says what begins.
    pub(crate) fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = bars().map(|bars| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let bar = ProgressBar::new_spinner().with_message(what.clone());
            let bar = bars.add(style.map(|style| bar.clone().with_style(style)).unwrap_or(bar));
            bar.enable_steady_tick(TICK);
            bar
        });
        if bar.is_none() {
            line(&format!("{what} ..."));
        }
        Self { what, start: Instant::now(), bar }
    }

    /// Says that it has succeeded.
    pub(crate) fn done(self) {
        line(&format!("{}: done in {:.1} s", self.what, self.start.elapsed().as_secs_f64()));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
