//! The data generator as a process of the stack.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use artifacts::events::EventKind;
use artifacts::ledger::Phase;
use artifacts::run::{Run, Workload};
use artifacts::snapshot::Role;
use stack::observe::Observer;
use xshell::{Shell, cmd};

use crate::cx::{Cx, Who};
use crate::{console, project};

/// Name of the process in the stack.
pub(crate) const SERVICE: &str = "data-generator";

/// `PG_CDC_GENERATOR`; empty is as good as not there.
fn named() -> Option<PathBuf> {
    std::env::var_os("PG_CDC_GENERATOR").filter(|name| !name.is_empty()).map(PathBuf::from)
}

/// The generator: the one that was named, else the program beside this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    if let Some(program) = named() {
        return Ok(program);
    }
    let xtask = std::env::current_exe().context("cannot find this program")?;
    Ok(xtask.with_file_name(SERVICE))
}

/// Builds the generator, which `cargo xtask` alone does not. Done by `up`, so that a broken build is
/// told before anything is started; a generator that was named is taken as it is. Built together with
/// this program: alone, its dependencies would get other features and be built once more.
pub(crate) fn build(observer: &dyn Observer) -> anyhow::Result<()> {
    if named().is_none() {
        if !program()?.exists() {
            console::say("building the data generator ...");
        }
        let start = Instant::now();
        let sh = Shell::new()?;
        sh.change_dir(project::root());
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let built = cmd!(sh, "{cargo} build --quiet --package xtask --package data-generator").quiet().run();
        let what = "cargo build --package xtask --package data-generator".to_owned();
        let (ms, met) = (start.elapsed().as_millis() as u64, built.is_ok());
        let last = if met { "built" } else { "failed" }.to_owned();
        observer.event(EventKind::Wait { what, last, met, ms }, None);
        built.context("cannot build the data generator")?;
    }
    let program = program()?;
    let by_name = named().map_or("", |_| ", which PG_CDC_GENERATOR names,");
    anyhow::ensure!(program.is_file(), "the data generator {}{by_name} is not there", program.display());
    Ok(())
}

/// The workload as options of the generator.
pub(crate) fn options(workload: &Workload) -> Vec<String> {
    let mix = workload.mix;
    let mut options = vec![
        format!("--rate={}", workload.rate),
        format!("--clients={}", workload.clients),
        format!("--tx-size={}", workload.tx_size),
        format!("--mix={}:{}:{}", mix.insert, mix.update, mix.delete),
        format!("--key-skew={}", workload.key_skew),
        format!("--row-size={}", workload.row_size),
        format!("--copy-rows={}", workload.copy_rows),
        format!("--seed={}", workload.seed),
    ];
    options.extend(workload.changes.map(|n| format!("--changes={n}")));
    options.extend(workload.duration_s.map(|s| format!("--duration={s}")));
    options
}

/// Whether the workload has no end of its own: without `writers-first` it outlives the connector.
pub(crate) fn goes_on(info: &Run, phase: Phase) -> bool {
    phase == Phase::Before && !info.keeps("writers-first") && info.workload.changes != Some(0)
}

/// Starts it against one of the databases; its password travels in the environment.
pub(crate) async fn start(cx: &mut Cx, role: Role, phase: Phase) -> anyhow::Result<()> {
    let program = program()?;
    let summary = cx.run.path(cx.folder("summary.json"));
    std::fs::create_dir_all(summary.parent().unwrap_or(cx.run.root()))?;
    if summary.exists() {
        std::fs::remove_file(&summary).with_context(|| format!("cannot replace {}", summary.display()))?;
    }
    let ledger = cx.run.path("ledger.jsonl");
    let info = cx.info.clone();
    let login = cx.login(role, Who::Writer)?;
    let mut args = vec![
        format!("--host={}", login.host),
        format!("--port={}", login.port),
        format!("--user={}", login.user),
        format!("--database={}", info.names.database),
        format!("--ledger={}", ledger.display()),
        format!("--phase={phase}"),
        format!("--summary={}", summary.display()),
    ];
    let mut workload = info.workload.clone();
    if goes_on(&info, phase) {
        (workload.changes, workload.duration_s) = (None, None);
    }
    args.extend(options(&workload));
    let env = [("PGPASSWORD".to_owned(), login.password)];
    cx.stack()?.spawn(SERVICE, &program, &args, &env).await?;
    cx.note(&format!("{} {}", program.display(), args.join(" ")));
    Ok(())
}
