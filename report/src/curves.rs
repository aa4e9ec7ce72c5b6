//! Changes over time, counted while ledger and topics are read, and kept small: what was written and what was
//! delivered.

use std::collections::BTreeMap;
use std::path::Path;

use artifacts::RunDir;
use artifacts::ledger::Phase;
use serde::{Deserialize, Serialize};

use crate::verify::gather::{self, Gathered};
use crate::verify::index;

/// The most points a curve has.
pub(crate) const MAX_POINTS: usize = 200;
const MAX_BUCKETS: usize = 190;
/// Intervals of a histogram are this long, or a power of two times that.
pub(crate) const FIRST_WIDTH_MS: i64 = 50;

/// Counts per interval. The intervals double until the whole curve fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Histogram {
    width_ms: i64,
    buckets: BTreeMap<i64, u64>,
    /// Everything counted.
    pub(crate) total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { width_ms: FIRST_WIDTH_MS, buckets: BTreeMap::new(), total: 0 }
    }
}

impl Histogram {
    fn add(&mut self, at_ms: i64, n: u64) {
        self.total += n;
        *self.buckets.entry(at_ms.div_euclid(self.width_ms)).or_default() += n;
        while self.buckets.len() > MAX_BUCKETS {
            self.width_ms = self.width_ms.saturating_mul(2);
            let old = std::mem::take(&mut self.buckets);
            old.into_iter().for_each(|(k, n)| *self.buckets.entry(k.div_euclid(2)).or_default() += n);
        }
    }

    /// Running total: milliseconds since 1970 and the count until then. A pause is level.
    pub(crate) fn cumulative(&self) -> Vec<(i64, u64)> {
        let mut points: Vec<(i64, u64)> = Vec::new();
        let (mut sum, mut last) = (0, None);
        for (k, n) in &self.buckets {
            if last != Some(k - 1) {
                points.push((k.saturating_mul(self.width_ms), sum));
            }
            sum += n;
            points.push(((k + 1).saturating_mul(self.width_ms), sum));
            last = Some(*k);
        }
        let stride = points.len().div_ceil(MAX_POINTS).max(1);
        let end = points.last().copied();
        let mut thin: Vec<_> = points.into_iter().step_by(stride).collect();
        if thin.last() != end.as_ref() {
            thin.pop();
            thin.extend(end);
        }
        thin
    }

    /// Milliseconds per interval.
    pub(crate) fn width_ms(&self) -> i64 {
        self.width_ms
    }

    /// The rate over intervals of `width_ms`, a multiple of the own width: the borders of each interval
    /// in milliseconds since 1970, and changes per second. A pause is zero.
    pub(crate) fn per_second(&self, width_ms: i64) -> Vec<(i64, f64)> {
        let mut wide: BTreeMap<i64, u64> = BTreeMap::new();
        for (k, n) in &self.buckets {
            *wide.entry(k.saturating_mul(self.width_ms).div_euclid(width_ms)).or_default() += n;
        }
        let mut points = Vec::new();
        let mut end = None;
        for (k, n) in wide {
            let (from, to) = (k.saturating_mul(width_ms), (k + 1).saturating_mul(width_ms));
            if end != Some(from) {
                points.extend(end.map(|end| (end, 0.0)));
                points.push((from, 0.0));
            }
            let rate = n as f64 * 1000.0 / width_ms as f64;
            points.extend([(from, rate), (to, rate)]);
            end = Some(to);
        }
        points.extend(end.map(|end| (end, 0.0)));
        points
    }

    /// The count until a moment.
    pub(crate) fn until(&self, at_ms: i64) -> u64 {
        self.buckets.range(..=at_ms.div_euclid(self.width_ms)).map(|(_, n)| n).sum()
    }
}

/// One side of the comparison.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Curve {
    /// Changes over time.
    pub(crate) histogram: Histogram,
    /// The last moment of the before-phase, in milliseconds since 1970.
    pub(crate) last_before: Option<i64>,
    /// The first moment of the after-phase.
    pub(crate) first_after: Option<i64>,
}

impl Curve {
    /// Counts changes of a moment.
    pub(crate) fn add(&mut self, at_ms: i64, n: u64, phase: Phase) {
        self.histogram.add(at_ms, n);
        match phase {
            Phase::Before => self.last_before = self.last_before.max(Some(at_ms)),
            Phase::After => {
                self.first_after = Some(self.first_after.map_or(at_ms, |first| first.min(at_ms)));
            }
        }
    }

    /// How long nothing happened between the two phases, in milliseconds.
    pub(crate) fn gap_ms(&self) -> Option<u64> {
        u64::try_from(self.first_after? - self.last_before?).ok()
    }
}

/// What was written and what was delivered over time, or why nobody knows: from the index when there is one, else
/// read as the verdict reads it.
pub(crate) fn read(dir: &RunDir) -> (Result<Curve, String>, Result<Curve, String>) {
    let gathered = match index::open(dir) {
        Some((gathered, _)) => Ok(gathered),
        None => gather::alone(dir).map_err(|e| e.to_string()),
    };
    match gathered {
        Ok(Gathered { ledger, ledger_damage, topics, .. }) => {
            let known = |file: &Path, none: &str, curve, damage: Option<artifacts::Error>| match damage {
                _ if !file.exists() => Err(none.to_owned()),
                Some(damage) => Err(damage.to_string()),
                None => Ok(curve),
            };
            let written = known(&dir.ledger(), "there is no ledger", ledger.curve, ledger_damage);
            let consumed = dir.path("consumed.jsonl.zst");
            (written, known(&consumed, "no events were collected", topics.curve, topics.damage))
        }
        Err(e) => (Err(e.clone()), Err(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_stays_small_and_ends_at_the_total() {
        let mut histogram = Histogram::default();
        (0..100_000).for_each(|i| histogram.add(1_000_000 + i * 37, 1));
        let points = histogram.cumulative();
        assert!(points.len() <= MAX_POINTS, "{}", points.len());
        assert_eq!(points.last().map(|p| p.1), Some(100_000));
        assert!(points.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 <= w[1].1));
        assert_eq!(histogram.until(i64::MAX), 100_000);
    }

    #[test]
    fn a_pause_is_level() {
        let mut histogram = Histogram::default();
        histogram.add(0, 5);
        histogram.add(10_000, 5);
        assert_eq!(histogram.cumulative(), [(0, 0), (50, 5), (10_000, 5), (10_050, 10)]);
    }

    #[test]
    fn a_rate_is_counted_over_its_interval_and_a_pause_is_zero() {
        let mut histogram = Histogram::default();
        [0, 40, 120, 2_000].into_iter().for_each(|t| histogram.add(t, 10));
        let rate = |n: f64| n * 1000.0 / 400.0;
        let busy = [(0, 0.0), (0, rate(30.0)), (400, rate(30.0)), (400, 0.0)];
        let again = [(2_000, 0.0), (2_000, rate(10.0)), (2_400, rate(10.0)), (2_400, 0.0)];
        assert_eq!(histogram.per_second(400), [busy, again].concat());
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut histogram = Histogram::default();
        [i64::MIN, i64::MAX, 0].into_iter().for_each(|t| histogram.add(t, 1));
        assert_eq!(histogram.cumulative().last().map(|p| p.1), Some(3));
    }
}
