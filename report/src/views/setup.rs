//! What was done: procedure, versions, safeguards, workload.

use artifacts::run::{Build, Run};
use serde::Serialize;

use super::Limits;
use super::spans::{Span, provisioning, spans};
use crate::input::Input;
use crate::text::{clip, count, duration, moment};

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) headline: String,
    pub(crate) as_written: bool,
    pub(crate) kept: Vec<Safeguard>,
    pub(crate) left_out: Vec<Safeguard>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) versions: Vec<Pair>,
    /// The files that programs were taken from.
    pub(crate) builds: Vec<Pair>,
}

/// A safeguard and what it is for.
#[derive(Debug, Serialize)]
pub(crate) struct Safeguard {
    pub(crate) name: String,
    pub(crate) purpose: &'static str,
}

/// A name and its value.
#[derive(Debug, Serialize)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What each safeguard adds to the written procedure.
const PURPOSES: [(&str, &str); 8] = [
    ("writers-first", "the workload stops before the connector does"),
    ("fence", "nobody can commit on the old server any more, not even a forgotten session"),
    ("drain", "proof that everything committed before the cut is in Kafka"),
    ("stop-connector", "the connector is stopped, not paused: it lets go of the slot"),
    ("pg-upgrade", "the files are converted by pg_upgrade, not started as they are"),
    ("keep-publication", "the publication that the restore brought is kept, not created a second time"),
    ("repoint-connector", "the connector reads from the new server"),
    ("rebase-offsets", "the stored offset is replaced by a position of the new server"),
];

/// Builds the view.
pub(crate) fn view(input: &Input, limits: Limits) -> View {
    let run = &input.run;
    let safeguards = |names: &[String]| {
        let one = |name: &String| Safeguard { name: clip(name, 60), purpose: purpose(name) };
        names.iter().take(20).map(one).collect()
    };
    View {
        headline: headline(input),
        as_written: run.as_written,
        kept: safeguards(&run.safeguards.kept),
        left_out: safeguards(&run.safeguards.left_out),
        pairs: pairs(input),
        versions: run
            .versions
            .iter()
            .take(limits.rows)
            .map(|(name, value)| Pair { name: clip(name, 80), value: clip(value, 160) })
            .collect(),
        builds: run
            .builds
            .iter()
            .flat_map(|(component, builds)| builds.iter().map(move |build| (component, build)))
            .take(limits.rows)
            .map(|(component, Build { package, sha256, .. })| Pair {
                name: clip(component, 80),
                value: format!("{}, SHA-256 {}", clip(package, 160), clip(sha256, 64)),
            })
            .collect(),
    }
}

fn purpose(name: &str) -> &'static str {
    PURPOSES.iter().find(|(n, _)| *n == name).map_or("", |(_, text)| text)
}

/// `PostgreSQL 15.18 to 16.14, option b, on a native stack`
fn headline(input: &Input) -> String {
    let run = &input.run;
    let version = |name: &str, major: u32| {
        input.snapshot(name).map_or_else(|| major.to_string(), |s| clip(&s.server.version, 40))
    };
    let to = ["after", "at-resume", "restored"]
        .iter()
        .filter_map(|name| input.snapshot(name))
        .find(|s| s.server.version_num / 10_000 == run.to)
        .map_or_else(|| run.to.to_string(), |s| clip(&s.server.version, 40));
    format!(
        "PostgreSQL {} to {to}, option {}, {} stack",
        version("before", run.from),
        clip(&run.option, 20),
        clip(&run.stack.kind, 20)
    )
}

fn option(run: &Run) -> String {
    match run.option.as_str() {
        "a" => format!(
            "a: pg_upgrade in the same place{}",
            match &run.transfer {
                Some(how) => format!(", files by {}", clip(how, 20)),
                None => String::new(),
            }
        ),
        "b" => "b: a new server; pg_dump, pg_restore".into(),
        other => clip(other, 40),
    }
}

fn lsn_case(run: &Run) -> String {
    match run.lsn_case.as_str() {
        "ahead" => "ahead: the old server's WAL is far past any position of the new one".into(),
        "behind" => "behind: the new server's WAL is already past the stored offset".into(),
        "overtaken" => "overtaken: the new server's WAL passes the stored offset after the upgrade".into(),
        other => clip(other, 40),
    }
}

fn workload(run: &Run) -> Vec<String> {
    let w = &run.workload;
    let amount = match (w.changes, w.duration_s) {
        (Some(n), _) => format!("{} per phase", count(n, "change")),
        (None, Some(s)) => format!("{s} s per phase"),
        (None, None) => "until stopped".into(),
    };
    let rate =
        if w.rate > 0.0 { format!("{} changes per second", w.rate) } else { "as fast as it goes".into() };
    vec![
        format!("{amount}, {rate}"),
        format!(
            "{} at a time, at most {} per transaction",
            count(w.clients.into(), "client"),
            count(w.tx_size.into(), "change")
        ),
        format!("insert : update : delete = {} : {} : {}", w.mix.insert, w.mix.update, w.mix.delete),
        format!("{} per table beforehand, seed {}", count(w.seed_rows, "row"), w.seed),
    ]
}

fn pairs(input: &Input) -> Vec<Pair> {
    let run = &input.run;
    let heartbeat = match run.heartbeat_ms {
        0 => "none".into(),
        ms => duration(ms),
    };
    let kafka = match run.kafka.as_str() {
        "kraft" => "KRaft".into(),
        "zookeeper" => "ZooKeeper".into(),
        other => clip(other, 20),
    };
    let dirty = if run.tool.dirty { " with uncommitted changes" } else { "" };
    let revision = clip(&run.tool.revision, 60);
    let spans = spans(input.events());
    let mut pairs = vec![
        ("procedure", option(run)),
        ("LSN case", lsn_case(run)),
        ("workload", workload(run).join("; ")),
        ("started", moment(run.opened_at)),
        ("rehearsed for", took(&spans)),
        ("before that", format!("{} to build, install and start", duration(provisioning(&spans).ms))),
        (
            "stack",
            format!("{} ({}), Kafka with {}", clip(&run.stack.name, 60), clip(&run.stack.kind, 20), kafka),
        ),
        ("events as", clip(&run.format, 20)),
        ("heartbeat", heartbeat),
        ("connector", clip(&run.names.connector, 120)),
        ("slot", clip(&run.names.slot, 120)),
        ("publication", clip(&run.names.publication, 120)),
        ("topics", clip(&run.names.topics.join(", "), 400)),
        ("tool", format!("{} at {revision}{dirty}", clip(&run.tool.version, 40))),
    ];
    if !run.machine.is_empty() {
        pairs.push(("machine", clip(&run.machine.join(", "), 200)));
    }
    if run.allow_repeats {
        pairs.push(("repeats", "declared acceptable".into()));
    }
    if run.add_column {
        pairs.push((
            "schema change",
            "a captured table got a column before anything wrote to the new server".into(),
        ));
    }
    if run.audit {
        pairs.push(("audit", "triggers count the changes a second time".into()));
    }
    pairs.into_iter().map(|(name, value)| Pair { name: name.into(), value }).collect()
}

/// `20.1 s in 22 steps`: what the steps took, without building and installing.
fn took(spans: &[Span<'_>]) -> String {
    let ended = spans.iter().filter_map(|span| span.end);
    let (n, ms) = ended.fold((0, 0_u64), |(n, ms), end| (n + 1, ms.saturating_add(end.ms)));
    match n {
        0 => "no step has finished".into(),
        n => format!("{} in {}", duration(ms.saturating_sub(provisioning(spans).ms)), count(n, "step")),
    }
}
