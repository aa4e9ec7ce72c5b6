//! The panels below the steps: changes, positions, WAL kept for the slot.

use artifacts::Lsn;
use artifacts::events::{Event, EventKind};
use artifacts::time::Time;
use serde::Serialize;

use super::plot::{self, Scale, px};
use super::timeline::{LEFT, RIGHT};
use crate::curves::{self, Curve, MAX_POINTS};
use crate::input::Input;
use crate::text::{bytes, duration, number};

const GAP: f64 = 34.0;
/// The shortest interval whose rate is drawn: a multiple of every shorter width of a histogram.
const RATE_MS: i64 = 8 * curves::FIRST_WIDTH_MS;

/// One panel.
#[derive(Debug, Serialize)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) top: String,
    pub(crate) bottom: String,
    pub(crate) height: String,
    pub(crate) title_y: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) labels: Vec<Label>,
    pub(crate) legend: Vec<Legend>,
    pub(crate) grid: Vec<Grid>,
    /// Where one history ends and another begins.
    pub(crate) breaks: Vec<String>,
}

/// A curve; `class` decides colour and dashes.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) d: String,
    pub(crate) class: &'static str,
}

/// Text in the panel.
#[derive(Debug, Serialize)]
pub(crate) struct Label {
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) text: String,
    pub(crate) anchor: &'static str,
}

/// What a line means.
#[derive(Debug, Serialize)]
pub(crate) struct Legend {
    pub(crate) x: String,
    pub(crate) x2: String,
    pub(crate) text_x: String,
    pub(crate) y: String,
    pub(crate) text_y: String,
    pub(crate) text: String,
    pub(crate) class: &'static str,
}

/// A horizontal line with its value.
#[derive(Debug, Serialize)]
pub(crate) struct Grid {
    pub(crate) y: String,
    pub(crate) text_y: String,
    pub(crate) label: String,
}

/// A look at the running components.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) at_ms: f64,
    pub(crate) server: &'a str,
    pub(crate) wal: Option<Lsn>,
    pub(crate) confirmed: Option<Lsn>,
    pub(crate) retained: Option<u64>,
}

fn samples(events: &[Event]) -> Vec<Sample<'_>> {
    events.iter().filter_map(sample).collect()
}

fn sample(event: &Event) -> Option<Sample<'_>> {
    match &event.kind {
        EventKind::Sample { server, wal_lsn, confirmed_flush_lsn, retained_bytes, .. } => Some(Sample {
            at_ms: event.at.timestamp_millis() as f64,
            server,
            wal: *wal_lsn,
            confirmed: *confirmed_flush_lsn,
            retained: *retained_bytes,
        }),
        _ => None,
    }
}

/// The last look up to a moment.
pub(crate) fn sample_at(events: &[Event], at: Time) -> Option<Sample<'_>> {
    events.iter().filter(|e| e.at <= at).filter_map(sample).next_back()
}

/// The panels one below the other, and where they end.
pub(crate) fn stack(input: &Input, x: Scale, top: f64) -> (Vec<Panel>, f64) {
    let samples = samples(input.events());
    let mut panels = Vec::new();
    let mut bottom = top;
    let mut place = |height: f64, draw: &dyn Fn(f64, f64) -> Option<Panel>| {
        if let Some(panel) = draw(bottom + GAP, bottom + GAP + height) {
            panels.push(panel);
            bottom += GAP + height;
        }
    };
    place(130.0, &|top, bottom| changes(input, x, top, bottom));
    place(64.0, &|top, bottom| rates(input, x, top, bottom));
    place(96.0, &|top, bottom| positions(&samples, x, top, bottom));
    place(64.0, &|top, bottom| retained(&samples, x, top, bottom));
    (panels, bottom)
}

fn panel(title: &'static str, top: f64, bottom: f64) -> Panel {
    Panel {
        title,
        top: px(top),
        bottom: px(bottom),
        height: px(bottom - top),
        title_y: px(top - 8.0),
        lines: Vec::new(),
        labels: Vec::new(),
        legend: Vec::new(),
        grid: Vec::new(),
        breaks: Vec::new(),
    }
}

fn legend(entries: &[(&'static str, String)], top: f64) -> Vec<Legend> {
    let mut x = LEFT + 8.0;
    let mut out = Vec::new();
    for (class, text) in entries {
        let width = 30.0 + text.chars().count() as f64 * 6.6 + 18.0;
        let (y, text_y) = (px(top - 12.0), px(top - 8.0));
        out.push(Legend {
            x: px(x),
            x2: px(x + 24.0),
            text_x: px(x + 30.0),
            y,
            text_y,
            text: text.clone(),
            class,
        });
        x += width;
    }
    out
}

fn grid(max: f64, y: Scale, label: impl Fn(f64) -> String) -> Vec<Grid> {
    let step = plot::interval(max, 3);
    let marks = (0..=6).map(|i| f64::from(i) * step).take_while(|v| *v <= max);
    marks.map(|v| Grid { y: px(y.at(v)), text_y: px(y.at(v) + 3.5), label: label(v) }).collect()
}

fn changes(input: &Input, x: Scale, top: f64, bottom: f64) -> Option<Panel> {
    let curves = [("written", "written", &input.written), ("delivered", "delivered", &input.delivered)];
    let seen: Vec<(&'static str, &str, &Curve)> =
        curves.iter().filter_map(|(class, name, c)| Some((*class, *name, c.as_ref().ok()?))).collect();
    let max = seen.iter().map(|(.., c)| c.histogram.total).max().filter(|max| *max > 0)? as f64;
    let y = Scale::new((0.0, max * 1.04), (bottom, top));
    let mut panel = panel("changes, in all", top, bottom);
    let names: Vec<(&'static str, String)> = seen
        .iter()
        .map(|(class, name, c)| (*class, format!("{name} {}", number(c.histogram.total))))
        .collect();
    panel.legend = legend(&names, top);
    panel.grid = grid(max, y, |v| number(v as u64));
    for (class, _, curve) in seen {
        let points = curve.histogram.cumulative();
        let drawn = points.iter().map(|(t, n)| (x.at(*t as f64), y.at(*n as f64)));
        let last = points.last().map(|(_, n)| (RIGHT, y.at(*n as f64)));
        panel.lines.push(Line { d: plot::path(drawn.chain(last)), class });
    }
    downtime(input, x, bottom, &mut panel);
    Some(panel)
}

/// Changes per second, over intervals of the same width for both.
fn rates(input: &Input, x: Scale, top: f64, bottom: f64) -> Option<Panel> {
    let curves = [("written", &input.written), ("delivered", &input.delivered)];
    let seen: Vec<(&'static str, &Curve)> =
        curves.into_iter().filter_map(|(class, c)| Some((class, c.as_ref().ok()?))).collect();
    let width_ms = seen.iter().map(|(_, c)| c.histogram.width_ms()).max()?.max(RATE_MS);
    let rates = seen.iter().map(|(class, c)| (*class, c.histogram.per_second(width_ms)));
    let rates: Vec<(&'static str, Vec<(i64, f64)>)> = rates.collect();
    let max = rates.iter().flat_map(|(_, points)| points).map(|(_, n)| *n).fold(0.0, f64::max);
    if max <= 0.0 {
        return None;
    }
    let y = Scale::new((0.0, max * 1.15), (bottom, top));
    let mut panel = panel("per second", top, bottom);
    let every = format!("over {} each", duration(width_ms.unsigned_abs()));
    panel.legend =
        legend(&[("written", "written".into()), ("delivered", format!("delivered; {every}"))], top);
    panel.grid = vec![Grid { y: px(y.at(max)), text_y: px(y.at(max) + 3.5), label: number(max as u64) }];
    for (class, points) in rates {
        let drawn = points.iter().map(|(t, n)| (x.at(*t as f64), y.at(*n)));
        panel.lines.push(Line { d: plot::path(drawn), class });
    }
    Some(panel)
}

/// From the last event before the cut to the first one after it, as a bracket.
fn downtime(input: &Input, x: Scale, bottom: f64, panel: &mut Panel) {
    let Ok(curve) = &input.delivered else { return };
    let Some(from) = curve.last_before.map(|from| x.at(from as f64)) else { return };
    let (to, text) = match (curve.first_after, curve.gap_ms()) {
        (None, _) if input.events_never_came_back() => {
            (RIGHT - 6.0, "event downtime: no event of a change after the upgrade".to_owned())
        }
        (Some(to), Some(gap)) => (x.at(to as f64), format!("event downtime {}", duration(gap))),
        _ => return,
    };
    let y = bottom - 12.0;
    let ends = [(from, y - 4.0), (from, y + 4.0), (from, y), (to, y), (to, y - 4.0), (to, y + 4.0)];
    panel.lines.push(Line { d: plot::path(ends), class: "downtime" });
    panel.labels.push(Label { x: px(from + 6.0), y: px(y - 5.0), text, anchor: "start" });
}

/// Each server has its own scale: positions of two histories do not share one.
fn positions(samples: &[Sample<'_>], x: Scale, top: f64, bottom: f64) -> Option<Panel> {
    let mut panel = panel("WAL positions", top, bottom);
    let mut last_x = None;
    for server in ["old", "new"] {
        let of_server: Vec<Sample<'_>> = samples.iter().filter(|s| s.server == server).copied().collect();
        let lsns = || of_server.iter().flat_map(|s| [s.wal, s.confirmed]).flatten();
        let (Some(min), Some(max)) = (lsns().min(), lsns().max()) else { continue };
        let first_x = of_server.first().map_or(LEFT, |s| x.at(s.at_ms));
        if let Some(last_x) = last_x {
            panel.breaks.push(px((last_x + first_x) / 2.0));
        }
        last_x = of_server.last().map(|s| x.at(s.at_ms));
        let y = Scale::new((min.0 as f64, max.0 as f64), (bottom - 6.0, top + 20.0));
        let thin = plot::thin(&of_server, MAX_POINTS);
        for (class, get) in
            [("wal", (|s| s.wal) as fn(&Sample<'_>) -> Option<Lsn>), ("confirmed", |s| s.confirmed)]
        {
            let points = thin.iter().filter_map(|s| Some((x.at(s.at_ms), y.at(get(s)?.0 as f64))));
            panel.lines.push(Line { d: plot::path(points), class });
        }
        let middle = (first_x + last_x.unwrap_or(first_x)) / 2.0;
        panel.labels.push(Label {
            x: px(middle.clamp(LEFT + 130.0, RIGHT - 130.0)),
            y: px(top + 12.0),
            text: format!("{server} server: {min} to {max}"),
            anchor: "middle",
        });
    }
    last_x?;
    panel.lines.retain(|line| !line.d.is_empty());
    let names = [
        ("wal", "written (WAL)".to_owned()),
        ("confirmed", "confirmed by the slot; each server on its own scale".to_owned()),
    ];
    panel.legend = legend(&names, top);
    Some(panel)
}

fn retained(samples: &[Sample<'_>], x: Scale, top: f64, bottom: f64) -> Option<Panel> {
    let max = samples.iter().filter_map(|s| s.retained).max()?;
    let y = Scale::new((0.0, max.max(1) as f64 * 1.25), (bottom, top));
    let mut panel = panel("WAL kept for slot", top, bottom);
    panel.legend = legend(&[("retained", format!("at most {}", bytes(max)))], top);
    let at_max = y.at(max as f64);
    panel.grid = vec![Grid { y: px(at_max), text_y: px(at_max + 3.5), label: bytes(max) }];
    for server in ["old", "new"] {
        let of_server: Vec<Sample<'_>> = samples.iter().filter(|s| s.server == server).copied().collect();
        let thin = plot::thin(&of_server, MAX_POINTS);
        let drawn = thin.iter().filter_map(|s| Some((x.at(s.at_ms), y.at(s.retained? as f64))));
        panel.lines.push(Line { d: plot::path(drawn), class: "retained" });
    }
    panel.lines.retain(|line| !line.d.is_empty());
    Some(panel)
}
