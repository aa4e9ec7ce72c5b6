//! How to do it again, how to check this report, and what each file is.

use artifacts::run::Run;
use serde::Serialize;

use crate::input::Input;
use crate::text::{clip, count, moment, quote};

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) again: String,
    pub(crate) recheck: Vec<Command>,
    pub(crate) seal: String,
    pub(crate) files: Vec<(&'static str, &'static str)>,
    pub(crate) footer: String,
}

/// A command and what it does.
#[derive(Debug, Serialize)]
pub(crate) struct Command {
    pub(crate) text: String,
    pub(crate) does: &'static str,
}

const FILES: [(&str, &str); 14] = [
    ("run.json", "what was asked for; no outcome"),
    ("events.jsonl", "what the tool did and saw, one line per event"),
    ("steps/", "raw output of commands and bodies of answers, one folder per step"),
    ("snapshots/", "database, slot, offset, connector and topics at five moments"),
    ("ledger.jsonl.zst", "what the data generator did, written before and after each commit"),
    ("consumed.jsonl.zst", "every event as read from Kafka"),
    ("schemas.json", "the schemas that Avro events were written with"),
    ("collected.json", "how far each partition was read, and the cut"),
    ("logs/", "one file per component"),
    ("SHA256SUMS", "seals all of the above"),
    ("findings.json", "derived: the checks and the counts"),
    ("violations.jsonl", "derived: every violation, one line each"),
    ("facts.idx", "derived, of large runs: where the next verdict begins"),
    ("report.html, report.md, junit.xml", "derived: this report"),
];

/// Builds the view.
pub(crate) fn view(input: &Input) -> View {
    let run = &input.run;
    let dir = format!("runs/{}", quote(&run.id));
    View {
        again: clip(&again(run), 2_000),
        recheck: vec![
            Command {
                text: format!("cargo xtask verify --run {dir}"),
                does: "decides again from the evidence; needs no running component",
            },
            Command {
                text: format!("cargo xtask report --run {dir}"),
                does: "writes this report again: same evidence, same bytes",
            },
            Command {
                text: format!("(cd {dir} && sha256sum --quiet -c SHA256SUMS)"),
                does: "finds every file of evidence that was changed or lost",
            },
        ],
        seal: match &input.seal {
            Ok(seal) => {
                format!("{} sealed; the SHA-256 of SHA256SUMS is {}.", count(seal.files, "file"), seal.sha256)
            }
            Err(why) => format!("No seal: {}.", clip(why, 300)),
        },
        files: FILES.to_vec(),
        footer: format!(
            "Run {} of {}, schema {}, tool {} at {}.",
            clip(&run.id, 120),
            moment(run.opened_at),
            clip(&run.schema, 20),
            clip(&run.tool.version, 40),
            clip(&run.tool.revision, 60)
        ),
    }
}

/// The command line that makes this run: everything that was asked for, defaults included, so
/// that it stays the same run when a default changes.
fn again(run: &Run) -> String {
    let w = &run.workload;
    let text = |value: &str| Some(value.to_owned());
    let unless = |value: &str, default: &str| (value != default).then(|| value.to_owned());
    let left_out = run.safeguards.left_out.join(",");
    let valued = [
        ("option", text(&run.option)),
        ("from", Some(run.from.to_string())),
        ("to", Some(run.to.to_string())),
        ("transfer", run.transfer.clone()),
        ("lsn-case", text(&run.lsn_case)),
        ("without", if run.as_written { None } else { unless(&left_out, "") }),
        ("changes", w.changes.map(|n| n.to_string())),
        ("duration", w.duration_s.map(|n| n.to_string())),
        ("rate", Some(w.rate.to_string())),
        ("clients", Some(w.clients.to_string())),
        ("tx-size", Some(w.tx_size.to_string())),
        ("mix", Some(format!("{}:{}:{}", w.mix.insert, w.mix.update, w.mix.delete))),
        ("key-skew", Some(w.key_skew.to_string())),
        ("row-size", Some(w.row_size.to_string())),
        ("copy-rows", unless(&w.copy_rows.to_string(), "0")),
        ("seed-rows", Some(w.seed_rows.to_string())),
        ("seed", Some(w.seed.to_string())),
        ("stack", text(&run.stack.kind)),
        ("name", unless(&run.stack.name, "lab")),
        ("kafka", unless(&run.kafka, "kraft")),
        ("format", unless(&run.format, "json")),
        ("offsets", unless(&run.offsets, "rebase")),
        ("mismatch-strategy", run.mismatch_strategy.clone()),
    ];
    let switches = [
        ("as-written", run.as_written),
        ("no-heartbeat", run.heartbeat_ms == 0),
        ("audit", run.audit),
        ("add-column", run.add_column),
        ("allow-repeats", run.allow_repeats),
    ];
    let valued = valued.into_iter().filter_map(|(flag, value)| Some(format!(" --{flag} {}", quote(&value?))));
    let switches = switches.into_iter().filter(|(_, on)| *on).map(|(flag, _)| format!(" --{flag}"));
    std::iter::once("cargo xtask upgrade".to_owned()).chain(valued).chain(switches).collect()
}
