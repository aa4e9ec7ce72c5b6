//! Where a test lets the program die: `CRASH_AT=step:point`, in builds with debug assertions only.

use crate::steps::Step;

/// Ends the program as `kill -9` would, if this is the place that was named.
pub(crate) fn reach(step: &Step, point: &str) {
    if cfg!(debug_assertions)
        && std::env::var("CRASH_AT").is_ok_and(|wanted| wanted == format!("{}:{point}", step.name))
    {
        // Nothing to handle: either this was the last statement, or there is no such process.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
