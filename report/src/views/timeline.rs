//! The timeline: steps as bands, and below them what was written and delivered, the positions and
//! the WAL kept for the slot, all over the same time.

use artifacts::time::Time;
use serde::Serialize;

use super::panels::{self, Panel};
use super::plot::{self, Scale, px};
use super::spans::{Span, spans};
use crate::curves::Curve;
use crate::input::Input;
use crate::text::{bytes, clip, duration, moment, number};

/// Width of the drawing.
pub(crate) const WIDTH: f64 = 1080.0;
/// Where the plots begin: left of it are the names.
pub(crate) const LEFT: f64 = 176.0;
/// Where the plots end.
pub(crate) const RIGHT: f64 = WIDTH - 14.0;
const BAND_HEIGHT: f64 = 17.0;
const TOP: f64 = 34.0;
const MAX_BANDS: usize = 60;

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) unobserved: Option<String>,
    pub(crate) width: String,
    pub(crate) height: String,
    /// Edges of the plots, and where names end.
    pub(crate) left: String,
    pub(crate) right: String,
    pub(crate) plot_width: String,
    pub(crate) names_x: String,
    /// The drawing in words.
    pub(crate) description: String,
    pub(crate) notes: Vec<String>,
    pub(crate) bands: Vec<Band>,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) grid_top: String,
    pub(crate) grid_bottom: String,
    pub(crate) grid_height: String,
    pub(crate) axis_y: String,
    pub(crate) pause: Option<Pause>,
    pub(crate) cut: Option<Tick>,
    pub(crate) panels: Vec<Panel>,
    pub(crate) table: Vec<Row>,
}

/// A step.
#[derive(Debug, Serialize)]
pub(crate) struct Band {
    pub(crate) name: String,
    pub(crate) class: &'static str,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) width: String,
    pub(crate) text_y: String,
    pub(crate) duration: String,
    pub(crate) duration_x: String,
    pub(crate) anchor: &'static str,
}

/// A moment.
#[derive(Debug, Serialize)]
pub(crate) struct Tick {
    pub(crate) x: String,
    pub(crate) label: String,
}

/// The time without writes.
#[derive(Debug, Serialize)]
pub(crate) struct Pause {
    pub(crate) x: String,
    pub(crate) width: String,
    pub(crate) text_x: String,
    pub(crate) label: String,
}

/// The state when a step ended.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) at: String,
    pub(crate) step: String,
    pub(crate) duration: String,
    pub(crate) written: String,
    pub(crate) delivered: String,
    pub(crate) wal: String,
    pub(crate) confirmed: String,
    pub(crate) retained: String,
}

/// Builds the view.
pub(crate) fn view(input: &Input) -> View {
    let all = spans(input.events());
    let shown = drawn(&all);
    let range = shown.iter().map(|s| s.start).min().zip(shown.iter().map(end).max());
    let Some((start, stop)) = range.filter(|(start, stop)| start < stop) else {
        let why = match &input.events {
            Err(why) => clip(why, 400),
            Ok(_) => "no step has ended yet".into(),
        };
        return View { unobserved: Some(why), ..empty() };
    };
    let (from, to) = (start.timestamp_millis() as f64, stop.timestamp_millis() as f64);
    let x = Scale::new((from, to), (LEFT, RIGHT));
    let grid_bottom_of_bands = TOP + BAND_HEIGHT * shown.len() as f64 + 6.0;
    let (panels, bottom) = panels::stack(input, x, grid_bottom_of_bands);
    View {
        unobserved: None,
        width: px(WIDTH),
        height: px(bottom + 24.0),
        left: px(LEFT),
        right: px(RIGHT),
        plot_width: px(RIGHT - LEFT),
        names_x: px(LEFT - 10.0),
        description: describe(input, start, stop),
        notes: notes(input, &all, &shown),
        bands: shown.iter().enumerate().map(|(i, s)| band(i, s, x)).collect(),
        ticks: ticks(from, to, x),
        grid_top: px(TOP - 4.0),
        grid_bottom: px(bottom),
        grid_height: px(bottom - TOP + 4.0),
        axis_y: px(bottom + 14.0),
        pause: pause(input, x),
        cut: cut(&shown).map(|t| Tick { x: px(x.at(t.timestamp_millis() as f64)), label: "cut".into() }),
        panels,
        table: shown.iter().map(|s| row(input, s, start)).collect(),
    }
}

fn empty() -> View {
    View {
        unobserved: None,
        width: px(WIDTH),
        height: px(0.0),
        left: px(LEFT),
        right: px(RIGHT),
        plot_width: px(RIGHT - LEFT),
        names_x: px(LEFT - 10.0),
        description: String::new(),
        notes: Vec::new(),
        bands: Vec::new(),
        ticks: Vec::new(),
        grid_top: px(0.0),
        grid_bottom: px(0.0),
        grid_height: px(0.0),
        axis_y: px(0.0),
        pause: None,
        cut: None,
        panels: Vec::new(),
        table: Vec::new(),
    }
}

fn end(span: &&Span<'_>) -> Time {
    span.end.map_or(span.start, |e| e.at)
}

/// The steps to draw: without `up`, whose length says how warm a cache was and would squeeze the
/// rest, and without those that only read the evidence.
fn drawn<'a, 'b>(all: &'a [Span<'b>]) -> Vec<&'a Span<'b>> {
    let outside = |s: &&Span<'_>| !matches!(s.name, "up" | "verify" | "report") && s.result() != "skipped";
    all.iter().filter(outside).take(MAX_BANDS).collect()
}

fn notes(input: &Input, all: &[Span<'_>], shown: &[&Span<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(end) = all.iter().find(|s| s.name == "up").and_then(|s| s.end) {
        notes.push(format!("Not drawn: up, {} before.", duration(end.ms)));
    }
    if shown.len() == MAX_BANDS {
        notes.push(format!("The first {MAX_BANDS} steps are drawn."));
    }
    for (name, curve) in [("written", &input.written), ("delivered", &input.delivered)] {
        if let Err(why) = curve {
            notes.push(format!("Changes {name}: not observed, {}.", clip(why, 300)));
        }
    }
    notes
}

fn band(i: usize, span: &Span<'_>, x: Scale) -> Band {
    let (from, to) = (x.at(span.start.timestamp_millis() as f64), x.at(end(&span).timestamp_millis() as f64));
    let y = TOP + BAND_HEIGHT * i as f64;
    let late = to > RIGHT - 70.0;
    Band {
        name: clip(span.name, 26),
        class: span.result(),
        x: px(from),
        y: px(y + 3.0),
        width: px((to - from).max(1.5)),
        text_y: px(y + 12.5),
        duration: span.end.map_or("unfinished".into(), |e| duration(e.ms)),
        duration_x: px(if late { from - 5.0 } else { to + 5.0 }),
        anchor: if late { "end" } else { "start" },
    }
}

fn ticks(from: f64, to: f64, x: Scale) -> Vec<Tick> {
    let span = (to - from) / 1000.0;
    let step = plot::seconds(span, 12);
    let label = |s: f64| match s {
        s if step < 1.0 => format!("{s:.1} s"),
        s if span < 180.0 => format!("{s:.0} s"),
        s => format!("{}:{:02}", s as u64 / 60, s as u64 % 60),
    };
    let marks = (0..=20).map(|i| f64::from(i) * step).take_while(|s| *s <= span);
    marks.map(|s| Tick { x: px(x.at(from + s * 1000.0)), label: label(s) }).collect()
}

fn pause(input: &Input, x: Scale) -> Option<Pause> {
    let curve = input.written.as_ref().ok()?;
    let (from, to) = (x.at(curve.last_before? as f64), x.at(curve.first_after? as f64));
    let gap = curve.gap_ms()?;
    Some(Pause {
        x: px(from),
        width: px(to - from),
        text_x: px(from + 4.0),
        label: format!("write downtime {}", duration(gap)),
    })
}

/// The end of the drain, or of the stop when it was left out.
fn cut(shown: &[&Span<'_>]) -> Option<Time> {
    let end_of = |name: &str| shown.iter().find(|s| s.name == name)?.end.map(|e| e.at);
    end_of("drain").or_else(|| end_of("stop-connector"))
}

fn describe(input: &Input, start: Time, stop: Time) -> String {
    let total = |curve: &Result<Curve, String>| match curve {
        Ok(curve) => number(curve.histogram.total),
        Err(_) => "an unknown number of".into(),
    };
    let ms = (stop - start).num_milliseconds().max(0) as u64;
    format!(
        "From {} on, {} long. {} changes written, {} delivered. The table below has the same data.",
        moment(start),
        duration(ms),
        total(&input.written),
        total(&input.delivered)
    )
}

fn row(input: &Input, span: &Span<'_>, start: Time) -> Row {
    let at = end(&span);
    let until = |curve: &Result<Curve, String>| match curve {
        Ok(curve) => number(curve.histogram.until(at.timestamp_millis())),
        Err(_) => "–".into(),
    };
    let sample = panels::sample_at(input.events(), at);
    let lsn = |l: Option<artifacts::Lsn>| l.map_or("–".into(), |l| l.to_string());
    Row {
        at: format!("{:.1} s", (at - start).num_milliseconds() as f64 / 1000.0),
        step: clip(span.name, 60),
        duration: span.end.map_or("unfinished".into(), |e| duration(e.ms)),
        written: until(&input.written),
        delivered: until(&input.delivered),
        wal: lsn(sample.and_then(|s| s.wal)),
        confirmed: lsn(sample.and_then(|s| s.confirmed)),
        retained: sample.and_then(|s| s.retained).map_or("–".into(), bytes),
    }
}
