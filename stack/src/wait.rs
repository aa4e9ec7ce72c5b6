//! Waiting: for a condition, with a deadline, and with the last observation in the error.

use std::future::Future;
use std::time::{Duration, Instant};

use artifacts::events::EventKind;

use crate::observe::Observer;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What a probe saw.
#[derive(Debug)]
pub enum Probe<T> {
    /// The condition holds.
    Ready(T),
    /// Not yet; what was seen instead.
    NotYet(String),
    /// It cannot come true any more (the process has ended); why.
    Never(String),
}

/// The condition did not come true.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The deadline passed.
    #[error("{what}: not within {} s; last seen: {last}", deadline.as_secs())]
    Deadline {
        /// The condition.
        what: String,
        /// The last observation.
        last: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// It cannot come true any more.
    #[error("{what}: {why}")]
    Never {
        /// The condition.
        what: String,
        /// Why.
        why: String,
    },
}

/// Probes until the condition holds, then records the wait.
///
/// # Errors
/// The deadline passed, or the probe says that it can never hold.
pub async fn until<T, F, Fut>(
    observer: &dyn Observer,
    what: &str,
    deadline: Duration,
    mut probe: F,
) -> Result<T, WaitError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Probe<T>>,
{
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last = "nothing".to_owned();
    let record = |last: &str, met| {
        let ms = start.elapsed().as_millis() as u64;
        observer.event(EventKind::Wait { what: what.into(), last: last.into(), met, ms }, None);
    };
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, probe()).await {
            Ok(Probe::Ready(value)) => {
                record("ready", true);
                return Ok(value);
            }
            Ok(Probe::Never(why)) => {
                record(&why, false);
                return Err(WaitError::Never { what: what.into(), why });
            }
            Ok(Probe::NotYet(seen)) => last = seen,
            Err(_) if last == "nothing" => last = "no answer".into(),
            Err(_) => {}
        }
        if start.elapsed() + pause >= deadline {
            record(&last, false);
            return Err(WaitError::Deadline { what: what.into(), last, deadline });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Silent;

    #[tokio::test]
    async fn a_deadline_tells_what_was_last_seen() {
        let mut n = 0;
        let result: Result<(), _> = until(&Silent, "slot inactive", Duration::from_millis(100), || {
            n += 1;
            async move { Probe::NotYet(format!("active, look {n}")) }
        })
        .await;
        let message = result.unwrap_err().to_string();
        assert!(
            message.starts_with("slot inactive: not within") && message.contains("active, look"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_cut_off() {
        let result: Result<(), _> =
            until(&Silent, "answer", Duration::from_millis(50), std::future::pending).await;
        assert!(result.unwrap_err().to_string().contains("no answer"));
    }
}
