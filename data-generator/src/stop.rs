//! Ending: first what is open is finished, then what does not finish is given up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    Go,
    /// Open transactions are finished, no new one begins.
    Finish,
    /// Open transactions are abandoned.
    GiveUp,
}

/// Tells every client when to end; clones share one state.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<Level>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Level::Go)))
    }
}

impl Stop {
    /// Goes to a level, never back.
    pub fn raise(&self, to: Level) {
        self.0.send_if_modified(|level| {
            let higher = to > *level;
            *level = to.max(*level);
            higher
        });
    }

    /// Whether the level has been reached.
    pub fn is(&self, level: Level) -> bool {
        *self.0.borrow() >= level
    }

    /// Returns when the level has been reached.
    pub async fn reached(&self, level: Level) {
        // The sender is in our hands, so that the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|now| *now >= level).await;
    }

    /// Lets `pause` pass; true if the level was reached meanwhile.
    pub(crate) async fn within(&self, pause: Duration, level: Level) -> bool {
        timeout(pause, self.reached(level)).await.is_ok()
    }

    /// Waits for `due`; true if the level was reached before.
    pub(crate) async fn before(&self, due: Instant, level: Level) -> bool {
        timeout_at(due, self.reached(level)).await.is_ok()
    }
}
