//! `cargo xtask runs`: the run directories, newest first.

use std::path::{Path, PathBuf};

use artifacts::RunDir;
use serde_json::{Value, json};

use crate::exit::{Outcome, Usage};
use crate::flags::Runs;
use crate::steps::StepCommand;
use crate::{console, project, request};

/// A step with `--run` as a path: it may be a name among the runs, `latest` included.
pub(crate) fn found(mut command: StepCommand) -> anyhow::Result<StepCommand> {
    if let Some(run) = &mut command.args.run {
        *run = path(run)?;
    }
    Ok(command)
}

/// The folder of a run that is given as a path or by its name.
pub(super) fn path(run: &Path) -> Result<PathBuf, Usage> {
    let known = [run.to_owned(), project::runs().join(run)];
    let there = known.into_iter().find(|path| path.join("run.json").exists());
    there.ok_or_else(|| Usage(format!("there is no run {}; cargo xtask runs lists them", run.display())))
}

/// One line per run: verdict, id, versions, stack, what was left out.
pub(crate) fn list(args: &Runs) -> anyhow::Result<Outcome> {
    let runs = request::all_runs().into_iter().map(|path| look(&path));
    let wanted = |run: &Value| args.name.as_ref().is_none_or(|name| run["stack"] == json!(name));
    let runs: Vec<Value> = runs.filter(wanted).collect();
    if args.json {
        return console::json(&runs);
    }
    if runs.is_empty() {
        console::say(&format!("no run in {}: begin one with: cargo xtask up", project::runs().display()));
        return Ok(Outcome::Done);
    }
    let columns = ["verdict", "id", "option", "from", "to", "stack", "without"];
    let row = |run: &Value| columns.iter().map(|column| cell(&run[*column])).collect();
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    console::table(&columns, &rows);
    for run in runs.iter().filter(|run| !run["error"].is_null()) {
        console::warn(&cell(&run["error"]));
    }
    Ok(Outcome::Done)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// What can be told of a run; `verdict` is `open`, `no verdict` and `corrupt` as well.
fn look(path: &Path) -> Value {
    let id = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let corrupt = |e: String| json!({"id": id, "path": path, "verdict": "corrupt", "error": e});
    let (run, info) = match RunDir::open(path).and_then(|run| Ok((run.run()?, run))) {
        Ok((info, run)) => (run, info),
        Err(e) => return corrupt(e.to_string()),
    };
    let verdict = match run.findings() {
        Ok(Some(findings)) => findings.verdict.to_string(),
        Ok(None) if run.is_sealed() => "no verdict".into(),
        Ok(None) => "open".into(),
        Err(e) => return corrupt(e.to_string()),
    };
    json!({
        "id": info.id, "path": path, "verdict": verdict, "option": info.option, "from": info.from, "to": info.to,
        "stack": info.stack.name, "without": info.safeguards.left_out, "opened_at": info.opened_at,
    })
}
