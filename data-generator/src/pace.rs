//! The rate over all clients.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much of a delay may be caught up at once.
const BURST: Duration = Duration::from_millis(100);

/// Gives out turns so that changes begin at a fixed rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    rate: f64,
    next: Mutex<Instant>,
}

impl Pacer {
    /// `rate` in changes per second; 0 is as fast as it goes.
    pub(crate) fn new(rate: f64) -> Self {
        Self { rate, next: Mutex::new(Instant::now()) }
    }

    /// When a transaction of so many changes may begin; none: at once.
    pub(crate) fn turn(&self, changes: usize) -> Option<Instant> {
        if self.rate <= 0.0 {
            return None;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = (*next).max(now.checked_sub(BURST).unwrap_or(now));
        *next = due + Duration::from_secs_f64(changes as f64 / self.rate);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_at_the_rate() {
        let pacer = Pacer::new(1000.0);
        let first = pacer.turn(1).unwrap();
        let last = (0..99).map(|_| pacer.turn(1).unwrap()).last().unwrap();
        let spread = last - first;
        assert!(spread >= Duration::from_millis(98) && spread <= Duration::from_millis(100), "{spread:?}");
        assert!(Pacer::new(0.0).turn(1).is_none());
    }
}
