//! Every step: what was run in a form that can be pasted, what it waited for, how long it took.

use std::collections::BTreeSet;

use artifacts::events::{Event, EventKind};
use serde::Serialize;

use super::Limits;
use super::spans::{End, Span, provisioning, spans};
use crate::input::Input;
use crate::text::{clip, count, duration, link, slug};

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) unobserved: Option<String>,
    /// Where the time went, in a sentence.
    pub(crate) total: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) more: Option<String>,
}

/// One attempt of a step.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) id: String,
    /// `07`
    pub(crate) no: String,
    pub(crate) name: String,
    pub(crate) attempt: Option<String>,
    pub(crate) result: &'static str,
    pub(crate) open: bool,
    pub(crate) duration: String,
    pub(crate) waited: String,
    /// Percent of the longest step other than `up`: waiting, and the tool's own time.
    pub(crate) waited_share: String,
    pub(crate) own_share: String,
    pub(crate) error: Option<String>,
    pub(crate) summary: String,
    pub(crate) items: Vec<Item>,
    pub(crate) more: Option<String>,
}

/// Something that happened in a step.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    /// `command`, `request`, `query`, `wait`, `note`
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    /// Exit code, status, what was last seen.
    pub(crate) outcome: String,
    pub(crate) bad: bool,
    pub(crate) duration: String,
    pub(crate) out: Option<String>,
    pub(crate) href: Option<String>,
}

/// Builds the view.
pub(crate) fn view(input: &Input, limits: Limits) -> View {
    let all = spans(input.events());
    let rest = all.iter().filter(|s| s.name != "up").filter_map(|s| s.end.map(|e| e.ms));
    let longest = rest.max().unwrap_or(0).max(1);
    let mut ids = BTreeSet::new();
    let steps: Vec<Step> =
        all.iter().take(limits.steps).map(|s| step(s, longest, &mut ids, limits)).collect();
    let hidden = all.len() - steps.len();
    View {
        unobserved: match &input.events {
            Err(why) => Some(clip(why, 600)),
            Ok(_) if all.is_empty() => Some("events.jsonl names no step".into()),
            Ok(_) => None,
        },
        total: total(&all),
        steps,
        more: (hidden > 0).then(|| format!("{} more in events.jsonl", count(hidden as u64, "step"))),
    }
}

/// `24 steps took 58.2 s: 55.1 s waiting for components, 3.1 s the tool's own time.` What `up` did
/// before anything was rehearsed is told apart.
fn total(spans: &[Span<'_>]) -> String {
    let ends = || spans.iter().filter_map(|s| s.end);
    let sum = |of: fn(End<'_>) -> u64| ends().map(of).fold(0, u64::saturating_add);
    let before = provisioning(spans);
    let all = sum(|end| end.ms).saturating_sub(before.ms);
    let waited = sum(|end| end.waited_ms.min(end.ms)).saturating_sub(before.waited_ms).min(all);
    let text = format!(
        "{} took {}: {} waiting for components, {} the tool's own time.",
        count(spans.len() as u64, "step"),
        duration(all),
        duration(waited),
        duration(all - waited)
    );
    match before.ms {
        0 => text,
        ms => format!("{text} Before that, up took {} to build, install and start.", duration(ms)),
    }
}

fn step(span: &Span<'_>, longest: u64, ids: &mut BTreeSet<String>, limits: Limits) -> Step {
    let mut id = slug(span.name);
    while !ids.insert(id.clone()) {
        id = format!("{id}-again");
    }
    let (ms, waited) = span.end.map_or((0, 0), |e| (e.ms, e.waited_ms.min(e.ms)));
    let full = ms.max(longest);
    let share = |part: u64| format!("{:.1}%", part as f64 * 100.0 / full as f64);
    let items: Vec<Item> =
        shown(&span.events, limits.items).into_iter().filter_map(|e| item(e, limits)).collect();
    let told = span.events.iter().filter(|e| kind(e).is_some()).count();
    let hidden = told - items.len();
    Step {
        id,
        no: span.no.map_or(String::new(), |n| format!("{n:02}")),
        name: clip(span.name, 60),
        attempt: (span.attempt > 1).then(|| format!("attempt {}", span.attempt)),
        result: span.result(),
        open: matches!(span.result(), "failed" | "interrupted" | "unfinished"),
        duration: span.end.map_or("never ended".into(), |_| duration(ms)),
        waited: duration(waited),
        waited_share: share(waited),
        own_share: share(ms - waited),
        error: span.end.and_then(|e| e.error).map(|e| clip(e, limits.chars.max(200))),
        summary: summary(&span.events),
        items,
        more: (hidden > 0).then(|| format!("{hidden} more in events.jsonl")),
    }
}

fn kind(event: &Event) -> Option<&'static str> {
    match event.kind {
        EventKind::Command { .. } => Some("command"),
        EventKind::Http { .. } => Some("request"),
        EventKind::Sql { .. } => Some("query"),
        EventKind::Wait { .. } => Some("wait"),
        EventKind::Note { .. } => Some("note"),
        _ => None,
    }
}

/// The first `most` events of each kind.
fn shown<'a>(events: &[&'a Event], most: usize) -> Vec<&'a Event> {
    let mut seen: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    let mut keep = |event: &&&Event| {
        kind(event).is_some_and(|kind| {
            let n = seen.entry(kind).or_default();
            *n += 1;
            *n <= most
        })
    };
    events.iter().filter(|e| keep(e)).copied().collect()
}

/// `2 commands, 14 requests, 1 wait`
fn summary(events: &[&Event]) -> String {
    let kinds = [("command", "command"), ("request", "request"), ("query", "statement"), ("wait", "wait")];
    let parts: Vec<String> = kinds
        .iter()
        .filter_map(|(k, word)| {
            let n = events.iter().filter(|e| kind(e) == Some(k)).count() as u64;
            (n > 0).then(|| count(n, word))
        })
        .collect();
    parts.join(", ")
}

fn item(event: &Event, limits: Limits) -> Option<Item> {
    let cut = |text: &str| clip(text, limits.chars);
    let with_out = |mut item: Item, out: &Option<String>| {
        item.out = out.as_ref().map(|o| clip(o, limits.chars.min(200)));
        item.href = out.as_deref().and_then(link);
        item
    };
    let new = |kind, text: String, outcome: String, bad, ms: u64| Item {
        kind,
        text,
        outcome,
        bad,
        duration: duration(ms),
        out: None,
        href: None,
    };
    Some(match &event.kind {
        EventKind::Command { paste, exit, ms, out } => {
            let outcome = exit.map_or("ended by a signal".into(), |code| format!("exit {code}"));
            with_out(new("command", cut(paste), outcome, *exit != Some(0), *ms), out)
        }
        EventKind::Http { method, url, status, ms, out } => {
            let outcome = status.map_or("no answer".into(), |code| code.to_string());
            let bad = status.is_none_or(|code| code >= 400);
            with_out(new("request", cut(&format!("{method} {url}")), outcome, bad, *ms), out)
        }
        EventKind::Sql { server, statement, ms } => {
            new("query", cut(statement), format!("{} server", clip(server, 20)), false, *ms)
        }
        EventKind::Wait { what, last, met, ms } => {
            let outcome =
                if *met { "came true".into() } else { format!("not met; last seen: {}", cut(last)) };
            new("wait", cut(what), outcome, !*met, *ms)
        }
        EventKind::Note { text } => {
            Item { duration: String::new(), ..new("note", cut(text), String::new(), false, 0) }
        }
        _ => return None,
    })
}
