//! Counts and latencies of a run, and its summary.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use artifacts::ledger::{Op, Phase};
use serde::{Deserialize, Serialize};

use crate::rows::Outcome;
use crate::statements::Plan;

/// Changes per operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Inserts.
    pub insert: u64,
    /// Updates.
    pub update: u64,
    /// Deletes.
    pub delete: u64,
}

impl Counts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.insert + self.update + self.delete
    }

    fn add(&mut self, op: Op) {
        match op {
            Op::Create => self.insert += 1,
            Op::Update => self.update += 1,
            Op::Delete => self.delete += 1,
            Op::Read | Op::Tombstone => {}
        }
    }
}

/// Transactions per fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fates {
    /// Committed.
    pub acknowledged: u64,
    /// Nothing of them exists.
    pub refused: u64,
    /// Those among them that were rolled back on purpose.
    pub rolled_back: u64,
    /// Nobody knows.
    pub unknown: u64,
}

/// Latency of acknowledged transactions in milliseconds, within 3 %; 0 when there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// The longest, exact.
    pub max: f64,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// Enough changes were acknowledged.
    Changes,
    /// The time was over.
    Duration,
    /// It was stopped.
    Stopped,
}

/// What a run did. Rows that were not touched count in `untouched` alone, and nowhere if that was meant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Schema version.
    pub schema: String,
    /// Phase of the rehearsal.
    pub phase: Phase,
    /// Seed of the workload.
    pub seed: u64,
    /// Why it ended.
    pub ended: Ended,
    /// Seconds from beginning to end, the first connection included.
    pub elapsed_s: f64,
    /// Changes that were committed.
    pub acknowledged: Counts,
    /// Changes of transactions of which nothing exists, without those that were rolled back on purpose.
    pub refused: Counts,
    /// Changes of transactions with an unknown fate.
    pub unknown: Counts,
    /// Changes of committed transactions that found no row.
    pub untouched: u64,
    /// Transactions.
    pub transactions: Fates,
    /// Acknowledged changes per second.
    pub changes_per_second: f64,
    /// Latency of a transaction: from its first statement to the answer to COMMIT.
    pub latency_ms: Quantiles,
    /// Connections made anew.
    pub reconnects: u64,
}

/// What has happened so far; shared by all clients and by whoever shows progress.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Seen>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) acknowledged: Counts,
    pub(crate) refused: Counts,
    pub(crate) unknown: Counts,
    pub(crate) untouched: u64,
    pub(crate) transactions: Fates,
    pub(crate) latency: Histogram,
    pub(crate) reconnects: u64,
}

impl Tally {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.seen().acknowledged.total()
    }

    /// Changes acknowledged, refused and unknown so far.
    pub fn changes(&self) -> [u64; 3] {
        let seen = self.seen();
        [seen.acknowledged.total(), seen.refused.total(), seen.unknown.total()]
    }

    pub(crate) fn reconnected(&self) {
        self.seen().reconnects += 1;
    }

    pub(crate) fn add(&self, plan: &Plan, outcome: &Outcome, took: Duration) {
        let mut seen = self.seen();
        let ops = plan.changes.iter().map(|change| change.op);
        match outcome {
            Outcome::Committed(answers) => {
                seen.transactions.acknowledged += 1;
                seen.latency.add(took);
                for (change, answer) in plan.changes.iter().zip(answers) {
                    match answer {
                        Some(_) => seen.acknowledged.add(change.op),
                        None => seen.untouched += u64::from(!change.leaves_nothing),
                    }
                }
            }
            Outcome::Refused(_) if plan.rolled_back => {
                seen.transactions.refused += 1;
                seen.transactions.rolled_back += 1;
            }
            Outcome::Refused(_) => {
                seen.transactions.refused += 1;
                ops.for_each(|op| seen.refused.add(op));
            }
            Outcome::Unknown(_) => {
                seen.transactions.unknown += 1;
                ops.for_each(|op| seen.unknown.add(op));
            }
        }
    }

    pub(crate) fn summary(&self, phase: Phase, seed: u64, ended: Ended, elapsed: Duration) -> Summary {
        let Seen { acknowledged, refused, unknown, untouched, transactions, latency, reconnects } =
            self.seen().clone();
        let elapsed_s = elapsed.as_secs_f64();
        let rate = acknowledged.total() as f64 / elapsed_s;
        Summary {
            schema: artifacts::SCHEMA.into(),
            phase,
            seed,
            ended,
            elapsed_s,
            acknowledged,
            refused,
            unknown,
            untouched,
            transactions,
            changes_per_second: if rate.is_finite() { rate } else { 0.0 },
            latency_ms: latency.quantiles(),
            reconnects,
        }
    }
}

/// Microseconds in buckets of which 32 make a doubling.
#[derive(Debug, Default, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    max_us: u64,
}

const STEPS: u64 = 32;

impl Histogram {
    fn add(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = Self::bucket(us);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.max_us = self.max_us.max(us);
    }

    fn bucket(us: u64) -> usize {
        let shift = u64::from(us.max(1).ilog2().saturating_sub(STEPS.ilog2()));
        (shift * STEPS + (us >> shift)) as usize
    }

    /// The largest value of a bucket.
    fn upper_us(bucket: usize) -> u64 {
        let bucket = bucket as u64;
        let shift = (bucket / STEPS).saturating_sub(1);
        ((bucket - shift * STEPS + 1) << shift) - 1
    }

    fn quantiles(&self) -> Quantiles {
        let total: u64 = self.buckets.iter().sum();
        let at = |part: f64| {
            let rank = ((total as f64 * part).ceil() as u64).max(1);
            let mut below = 0;
            let found = self.buckets.iter().position(|n| {
                below += n;
                below >= rank
            });
            found.map_or(0.0, |bucket| Self::upper_us(bucket).min(self.max_us) as f64 / 1000.0)
        };
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: self.max_us as f64 / 1000.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_value_within_three_percent(us in 0u64..10_000_000_000) {
            let upper = Histogram::upper_us(Histogram::bucket(us));
            prop_assert!(us <= upper && upper as f64 <= us as f64 * 1.032 + 1.0, "{us} {upper}");
        }
    }

    #[test]
    fn quantiles_of_a_thousand_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantiles(), Quantiles::default());
        (1..=1000).for_each(|ms| histogram.add(Duration::from_millis(ms)));
        let q = histogram.quantiles();
        assert!((500.0..516.0).contains(&q.p50) && (990.0..=1000.0).contains(&q.p99), "{q:?}");
        assert!(q.max == 1000.0);
    }
}
