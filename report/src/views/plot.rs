//! The arithmetic of a drawing: scales, paths, ticks. Coordinates are strings with one decimal.

/// Maps a range of values to a range of coordinates; what lies outside is put on the border.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// `from..to` becomes `start..end`; an empty range is put in the middle.
    pub(crate) fn new((from, to): (f64, f64), (start, end): (f64, f64)) -> Self {
        Self { from, to, start, end }
    }

    /// The coordinate of a value.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let span = self.to - self.from;
        let part = if span > 0.0 { ((value - self.from) / span).clamp(0.0, 1.0) } else { 0.5 };
        self.start + (self.end - self.start) * part
    }
}

/// A coordinate as text.
pub(crate) fn px(value: f64) -> String {
    format!("{value:.1}")
}

/// A polyline.
pub(crate) fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut out = String::new();
    for (x, y) in points {
        out.push_str(if out.is_empty() { "M" } else { " L" });
        out.push_str(&format!("{x:.1} {y:.1}"));
    }
    out
}

/// A round interval such that at most `most` fit into `span`.
pub(crate) fn interval(span: f64, most: usize) -> f64 {
    let rough = (span / most.max(1) as f64).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let unit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|unit| unit * power >= rough).unwrap_or(10.0);
    unit * power
}

/// Seconds between marks of the time axis.
pub(crate) fn seconds(span_s: f64, most: usize) -> f64 {
    let rough = span_s / most.max(1) as f64;
    let steps =
        [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];
    steps.into_iter().find(|step| *step >= rough).unwrap_or_else(|| interval(span_s, most))
}

/// Every `n`th item so that at most `most` are left; the last one stays.
pub(crate) fn thin<T: Clone>(items: &[T], most: usize) -> Vec<T> {
    let stride = items.len().div_ceil(most.max(1)).max(1);
    let mut out: Vec<T> = items.iter().step_by(stride).cloned().collect();
    if stride > 1 && !(items.len() - 1).is_multiple_of(stride) {
        out.pop();
        out.extend(items.last().cloned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round() {
        assert_eq!([interval(10_231.0, 4), interval(7.0, 4)], [5_000.0, 2.0]);
        assert_eq!([seconds(78.0, 10), seconds(4.0, 10)], [10.0, 0.5]);
    }

    #[test]
    fn an_empty_range_has_a_middle() {
        assert_eq!(Scale::new((5.0, 5.0), (0.0, 10.0)).at(5.0), 5.0);
        assert_eq!(Scale::new((0.0, 1.0), (0.0, 10.0)).at(7.0), 10.0);
    }

    #[test]
    fn thinning_keeps_the_ends() {
        let items: Vec<u32> = (0..1000).collect();
        let thin = thin(&items, 200);
        assert!(thin.len() <= 200);
        assert_eq!((thin.first(), thin.last()), (Some(&0), Some(&999)));
    }
}
