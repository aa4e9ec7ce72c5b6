//! Changes over time, read once and kept small: what the ledger says was written and what the
//! topics say was delivered.

use std::collections::{BTreeMap, HashMap};

use artifacts::collected::Collected;
use artifacts::ledger::{self, Entry, Fate, Phase};
use artifacts::time::Time;
use artifacts::{RunDir, consumed};
use serde::Deserialize;

use crate::avro::{Decoder, Schemas};

/// The most points a curve has.
pub(crate) const MAX_POINTS: usize = 200;
const MAX_BUCKETS: usize = 190;
/// Intervals of a histogram are this long, or a power of two times that.
pub(crate) const FIRST_WIDTH_MS: i64 = 50;

/// Counts per interval. The intervals double until the whole curve fits.
#[derive(Debug)]
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
#[derive(Debug, Default)]
pub(crate) struct Curve {
    /// Changes over time.
    pub(crate) histogram: Histogram,
    /// The last moment of the before-phase, in milliseconds since 1970.
    pub(crate) last_before: Option<i64>,
    /// The first moment of the after-phase.
    pub(crate) first_after: Option<i64>,
}

impl Curve {
    fn add(&mut self, at_ms: i64, n: u64, phase: Phase) {
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

struct Pending {
    phase: Phase,
    changes: u64,
    unknown_since: Option<Time>,
}

/// Committed changes, at the moment of their acknowledgement.
///
/// # Errors
/// A sentence: there is no ledger, or it is corrupt.
pub(crate) fn written(dir: &RunDir) -> Result<Curve, String> {
    let path = dir.ledger();
    if !path.exists() {
        return Err("there is no ledger".into());
    }
    let mut curve = Curve::default();
    let mut pending: HashMap<String, Pending> = HashMap::new();
    for entry in ledger::Reader::open(&path).map_err(|e| e.to_string())? {
        match entry.map_err(|e| e.to_string())?.1 {
            Entry::Invoke { tx, phase, changes, .. } => {
                pending.insert(tx, Pending { phase, changes: changes.len() as u64, unknown_since: None });
            }
            Entry::Returned { tx, counts, .. } => {
                if let Some(p) = pending.get_mut(&tx) {
                    p.changes = counts.iter().map(|n| u64::from(*n)).sum();
                }
            }
            Entry::Ok { tx, t } => {
                if let Some(p) = pending.remove(&tx) {
                    curve.add(t.timestamp_millis(), p.changes, p.phase);
                }
            }
            Entry::Info { tx, t, .. } => {
                if let Some(p) = pending.get_mut(&tx) {
                    p.unknown_since = Some(t);
                }
            }
            Entry::Settled { tx, fate, .. } => {
                if let (Some(p), Fate::Ok) = (pending.remove(&tx), fate)
                    && let Some(t) = p.unknown_since
                {
                    curve.add(t.timestamp_millis(), p.changes, p.phase);
                }
            }
            Entry::Fail { tx, .. } => {
                pending.remove(&tx);
            }
            Entry::Header { .. } | Entry::Seed { .. } | Entry::Resumed { .. } => {}
        }
    }
    Ok(curve)
}

#[derive(Deserialize)]
struct Envelope {
    op: Option<ledger::Op>,
    payload: Option<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    op: Option<ledger::Op>,
}

/// Whether a value is the row of a snapshot, which is no change.
fn is_snapshot(value: &str) -> bool {
    let envelope = serde_json::from_str::<Envelope>(value).ok();
    let op = envelope.and_then(|e| e.op.or_else(|| e.payload.and_then(|inner| inner.op)));
    op == Some(ledger::Op::Read)
}

/// Change events of the captured tables, at the record's timestamp.
///
/// # Errors
/// A sentence: nothing was collected, or the file is corrupt.
pub(crate) fn delivered(dir: &RunDir, topics: &[String], cut: Option<&Collected>) -> Result<Curve, String> {
    let path = dir.path("consumed.jsonl.zst");
    if !path.exists() {
        return Err("no events were collected".into());
    }
    let schemas = Schemas::read(dir);
    let decoder = Decoder::new(&schemas);
    let mut curve = Curve::default();
    for record in consumed::Reader::open(&path).map_err(|e| e.to_string())? {
        let mut record = record.map_err(|e| e.to_string())?;
        if !topics.contains(&record.topic) {
            continue;
        }
        decoder.decode(&mut record)?;
        let (Some(value), Some(at_ms)) = (&record.value, record.timestamp_ms) else { continue };
        if is_snapshot(value.get()) {
            continue;
        }
        let cut = cut.and_then(|c| c.cut.get(&record.topic)?.get(&record.partition));
        let after = cut.is_some_and(|cut| record.offset >= *cut);
        curve.add(at_ms, 1, if after { Phase::After } else { Phase::Before });
    }
    Ok(curve)
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
    fn rows_of_a_snapshot_are_told_from_changes() {
        let seen =
            [r#"{"op":"r"}"#, r#"{"payload":{"op":"r"}}"#, r#"{"op":"c"}"#, r#"{"$base64":"AA"}"#, "1"];
        assert_eq!(seen.map(is_snapshot), [true, true, false, false, false]);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut histogram = Histogram::default();
        [i64::MIN, i64::MAX, 0].into_iter().for_each(|t| histogram.add(t, 1));
        assert_eq!(histogram.cumulative().last().map(|p| p.1), Some(3));
    }
}
