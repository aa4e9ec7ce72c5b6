//! The result as a Markdown table.

use std::time::Duration;

use super::measure::Series;

/// A row: what was measured, and with what it is compared.
pub(super) struct Row {
    pub(super) what: &'static str,
    /// Of events, or of what `what` names.
    pub(super) amount: u64,
    pub(super) ours: Series,
    /// Its name and what it took.
    pub(super) peer: Option<(&'static str, Series)>,
    pub(super) note: String,
}

const HEAD: &str = "\
| what | number | median (range) | CPU | peak | compared with | median (range) | CPU | peak | ratio | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// Heading and rows.
pub(super) fn lines(rows: &[Row]) -> Vec<String> {
    HEAD.lines().map(str::to_owned).chain(rows.iter().map(row)).collect()
}

fn row(row: &Row) -> String {
    let Row { what, amount, ours, peer, note } = row;
    let compared = peer.as_ref().map_or_else(
        || " | | | | ".to_owned(),
        |(name, series)| {
            let ratio = ours.wall().as_secs_f64() / series.wall().as_secs_f64();
            format!("{name} | {} | {ratio:.2}", took(series))
        },
    );
    format!("| {what} | {amount} | {} | {compared} | {note} |", took(ours))
}

fn took(series: &Series) -> String {
    let [shortest, longest] = series.spread().map(seconds);
    let peak = series.peak_bytes() / 1_000_000;
    format!(
        "{} s ({shortest} to {longest}) | {} s | {peak} MB",
        seconds(series.wall()),
        seconds(series.cpu())
    )
}

/// With as many decimals as matter.
fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.2}") } else { format!("{seconds:.1}") }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Took;
    use super::*;

    #[test]
    fn every_line_has_as_many_cells_as_the_heading() {
        let series = |ms| {
            let time = Duration::from_millis(ms);
            let mut series = Series::default();
            series.add(Took { wall: time, cpu: time, peak_bytes: 50_000_000 });
            series
        };
        let row = |peer| Row { what: "verify", amount: 7, ours: series(500), peer, note: String::new() };
        let lines = lines(&[row(None), row(Some(("DuckDB", series(2_000))))]);
        assert!(lines.iter().all(|line| line.matches('|').count() == 12), "{lines:#?}");
        assert!(lines[3].contains("| 0.25 |") && lines[3].contains("0.50 s (0.50 to 0.50)"), "{}", lines[3]);
    }
}
