//! How to do it again, how to check this report, and what each file is.

use artifacts::run::Run;
use serde::Serialize;

use crate::input::Input;
use crate::text::{clip, count, moment};

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

const FILES: [(&str, &str); 12] = [
    ("run.json", "what was asked for; no outcome"),
    ("events.jsonl", "what the tool did and saw, one line per event"),
    ("steps/", "raw output of commands and bodies of answers, one folder per step"),
    ("snapshots/", "database, slot, offset, connector and topics at five moments"),
    ("ledger.jsonl.zst", "what the data generator did, written before and after each commit"),
    ("consumed.jsonl.zst", "every event as read from Kafka"),
    ("collected.json", "how far each partition was read, and the cut"),
    ("logs/", "one file per component"),
    ("SHA256SUMS", "seals all of the above"),
    ("findings.json", "derived: the checks and the counts"),
    ("violations.jsonl", "derived: every violation, one line each"),
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

/// The command line that makes this run.
fn again(run: &Run) -> String {
    let mut args: Vec<String> = vec!["cargo xtask upgrade".into()];
    let mut add = |flag: &str, value: String| args.push(format!("--{flag} {}", quote(&value)));
    add("option", run.option.clone());
    add("from", run.from.to_string());
    add("to", run.to.to_string());
    if let Some(transfer) = &run.transfer {
        add("transfer", transfer.clone());
    }
    add("lsn-case", run.lsn_case.clone());
    if !run.safeguards.left_out.is_empty() && !run.as_written {
        add("without", run.safeguards.left_out.join(","));
    }
    add("stack", run.stack.kind.clone());
    add("kafka", run.kafka.clone());
    add("format", run.format.clone());
    let w = &run.workload;
    if let Some(changes) = w.changes {
        add("changes", changes.to_string());
    }
    if let Some(seconds) = w.duration_s {
        add("duration", seconds.to_string());
    }
    add("rate", w.rate.to_string());
    add("clients", w.clients.to_string());
    add("seed", w.seed.to_string());
    if run.as_written {
        args.push("--as-written".into());
    }
    if run.allow_repeats {
        args.push("--allow-repeats".into());
    }
    args.join(" ")
}

/// An argument as a shell reads it back.
fn quote(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/=".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', r"'\''"))
    }
}
