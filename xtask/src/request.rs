//! From flags to `run.json`: defaults, what cannot be, and what contradicts an open run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use artifacts::run::{Mix, Names, Run, Safeguards, StackName, Workload};
use artifacts::{RunDir, SCHEMA, row, time};
use stack::Stack;

use crate::exit::Usage;
use crate::flags::{Format, Kafka, LsnCase, Offsets, RehearsalArgs, Transfer, UpgradeOption, WorkloadArgs};
use crate::{machine, project, steps};

const MAJORS: [u32; 4] = [15, 16, 17, 18];
const DEFAULT_CHANGES: u64 = 5000;
/// In the stack's folder.
const CURRENT: &str = "current-run";

/// What is asked for, with the defaults filled in.
pub(crate) fn new_run(args: &RehearsalArgs, stack: &Stack) -> anyhow::Result<Run> {
    let [from, to] = majors(args.from, args.to)?;
    let option = flag(args.option.unwrap_or(UpgradeOption::B));
    Ok(Run {
        schema: SCHEMA.into(),
        id: String::new(),
        tool: project::tool(),
        opened_at: time::now(),
        safeguards: safeguards(args, &option)?,
        option,
        from,
        to,
        transfer: transfer(args)?,
        lsn_case: flag(lsn_case(args)?),
        stack: StackName { name: stack.name().into(), kind: stack.kind().to_string() },
        kafka: flag(args.kafka.unwrap_or(Kafka::Kraft)),
        format: flag(args.format.unwrap_or(Format::Json)),
        names: names(1),
        as_written: args.as_written,
        heartbeat_ms: if args.no_heartbeat { 0 } else { 1000 },
        offsets: if args.offsets == Some(Offsets::Reset) { "reset" } else { "rebase" }.into(),
        mismatch_strategy: args.mismatch_strategy.map(flag),
        audit: args.audit,
        add_column: args.add_column,
        allow_repeats: args.allow_repeats,
        workload: workload(&args.workload)?,
        versions: BTreeMap::new(),
        builds: BTreeMap::new(),
        machine: machine::describe(),
    })
}

/// Major versions before and after.
///
/// # Errors
/// [`Usage`]: one that is not among those that can be had; not upwards.
pub(crate) fn majors(from: Option<u32>, to: Option<u32>) -> anyhow::Result<[u32; 2]> {
    let (from, to) = (from.unwrap_or(15), to.unwrap_or(16));
    for major in [from, to] {
        if !MAJORS.contains(&major) {
            return Err(Usage(format!("PostgreSQL {major} is not among {MAJORS:?}")).into());
        }
    }
    if to <= from {
        let text = format!(
            "--from {from} --to {to}: the target must be newer than the source, pg_upgrade and pg_restore only go upwards"
        );
        return Err(Usage(text).into());
    }
    Ok([from, to])
}

/// Names as in the original README. Later rehearsals on a warm Kafka get a topic prefix and a
/// connector of their own: Connect keeps the offsets of a connector by its name.
pub(crate) fn names(generation: u64) -> Names {
    let suffix = if generation <= 1 { String::new() } else { generation.to_string() };
    let prefix = format!("cdc{suffix}");
    Names {
        database: "testdb".into(),
        topics: row::tables().keys().map(|table| format!("{prefix}.{table}")).collect(),
        prefix,
        connector: format!("postgres-cdc-connector{suffix}"),
        slot: "debezium_slot".into(),
        publication: "debezium_publication".into(),
    }
}

/// `copy` or `link` for option a; option b moves no files.
fn transfer(args: &RehearsalArgs) -> anyhow::Result<Option<String>> {
    match (args.option, args.transfer) {
        (Some(UpgradeOption::A), how) => Ok(Some(flag(how.unwrap_or(Transfer::Copy)))),
        (_, None) => Ok(None),
        (_, Some(how)) => {
            let text = format!("--transfer {} is for --option a: option b moves no files", flag(how));
            Err(Usage(text).into())
        }
    }
}

/// pg_upgrade puts the new server's WAL behind the end of the old one's: in place, the new server is
/// always past the stored offset.
fn lsn_case(args: &RehearsalArgs) -> anyhow::Result<LsnCase> {
    match (args.option, args.lsn_case) {
        (Some(UpgradeOption::A), None | Some(LsnCase::Behind)) => Ok(LsnCase::Behind),
        (Some(UpgradeOption::A), Some(case)) => {
            let text = format!(
                "--lsn-case {} cannot be with --option a: pg_upgrade begins the new WAL behind the end of the old one",
                flag(case)
            );
            Err(Usage(text).into())
        }
        (_, case) => Ok(case.unwrap_or(LsnCase::Ahead)),
    }
}

/// What is left out; `--offsets keep` is another word for one of them.
fn without(args: &RehearsalArgs) -> Vec<String> {
    let mut without = args.without.clone();
    without.extend((args.offsets == Some(Offsets::Keep)).then(|| "rebase-offsets".to_owned()));
    without
}

/// The word of a flag's value.
fn flag(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Those of the option, kept or left out; the written procedure has none.
fn safeguards(args: &RehearsalArgs, option: &str) -> anyhow::Result<Safeguards> {
    let (without, known) = (without(args), steps::safeguards());
    let of_the_other = if option == "a" { "repoint-connector" } else { "pg-upgrade" };
    if let Some(name) = without.iter().find(|name| !known.contains(&name.as_str())) {
        let text = format!("--without {name}: the safeguards that can be left out are {}", known.join(", "));
        return Err(Usage(text).into());
    }
    if without.iter().any(|name| name == of_the_other) {
        return Err(Usage(format!("--without {of_the_other}: option {option} has no such step")).into());
    }
    if args.as_written && !without.is_empty() {
        let text = "--as-written leaves every safeguard out: leave out --without and --offsets";
        return Err(Usage(text.into()).into());
    }
    let all = known.into_iter().filter(|name| *name != of_the_other).map(str::to_owned);
    let (left_out, kept) = all.partition(|name| args.as_written || without.contains(name));
    Ok(Safeguards { kept, left_out })
}

fn workload(args: &WorkloadArgs) -> anyhow::Result<Workload> {
    let (clients, tx_size) = (args.clients.unwrap_or(4), args.tx_size.unwrap_or(4));
    let rate = args.rate.unwrap_or(1000.0);
    let fine = |x: f64| x.is_finite() && x >= 0.0;
    if !(1..=64).contains(&clients) || !(1..=1000).contains(&tx_size) {
        return Err(Usage(format!(
            "--clients {clients} --tx-size {tx_size}: 1 to 64 clients, 1 to 1000 changes per transaction"
        ))
        .into());
    }
    let copy_rows = args.copy_rows.unwrap_or(0);
    if copy_rows > 10_000 {
        return Err(Usage(format!("--copy-rows {copy_rows}: at most 10000")).into());
    }
    if !fine(rate) || !fine(args.duration.unwrap_or(0.0)) || !fine(args.key_skew.unwrap_or(0.0)) {
        return Err(Usage("--rate, --duration and --key-skew are numbers from 0 up".into()).into());
    }
    Ok(Workload {
        seed: args.seed.unwrap_or(1),
        changes: args.changes.or(if args.duration.is_some() { None } else { Some(DEFAULT_CHANGES) }),
        rate,
        duration_s: args.duration,
        clients,
        tx_size,
        mix: mix(args.mix.as_deref().unwrap_or("60:30:10"))?,
        key_skew: args.key_skew.unwrap_or(0.0),
        row_size: args.row_size.unwrap_or(200),
        copy_rows,
        seed_rows: args.seed_rows.unwrap_or(200),
    })
}

fn mix(text: &str) -> anyhow::Result<Mix> {
    let weights: Option<Vec<u32>> = text.split(':').map(|w| w.parse().ok()).collect();
    match weights.as_deref() {
        Some(&[insert, update, delete]) if u64::from(insert) + u64::from(update) + u64::from(delete) > 0 => {
            Ok(Mix { insert, update, delete })
        }
        _ => Err(Usage(format!("--mix {text}: three weights such as 60:30:10, not all zero")).into()),
    }
}

/// Makes the run directory and its `run.json`.
pub(crate) fn open(info: &mut Run) -> anyhow::Result<RunDir> {
    let mut suffix = format!("{}-{}-{}", info.option, info.from, info.to);
    if info.as_written {
        suffix.push_str("-as-written");
    }
    for name in info.safeguards.left_out.iter().filter(|_| !info.as_written) {
        suffix.push_str(&format!("-no-{name}"));
    }
    let run = RunDir::create(&project::runs(), info.opened_at, &suffix)?;
    info.id = run.id();
    run.write("run.json", info)?;
    Ok(run)
}

/// Paths of all run directories, newest first; whether they can be read is another question.
pub(crate) fn all_runs() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(project::runs()) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| !p.is_symlink() && p.join("run.json").exists())
        .collect();
    paths.sort();
    paths.reverse();
    paths
}

/// The newest run of the stack of that name.
///
/// # Errors
/// There is none, or it cannot be read.
pub(crate) fn newest(stack: &str) -> anyhow::Result<RunDir> {
    for path in all_runs() {
        let run = RunDir::open(&path)?;
        if run.run()?.stack.name == stack {
            return Ok(run);
        }
    }
    Err(Usage(format!("there is no run of the stack '{stack}': begin one with: cargo xtask up")).into())
}

/// The run whose databases a stack holds; none before the first `up`.
pub(crate) fn current(stack: &Stack) -> Option<PathBuf> {
    let text = std::fs::read_to_string(stack.state_dir().join(CURRENT)).ok()?;
    Some(PathBuf::from(text.trim_end()))
}

/// Remembers whose databases the stack holds.
pub(crate) fn set_current(stack: &Stack, run: &RunDir) -> anyhow::Result<()> {
    let path = stack.state_dir().join(CURRENT);
    std::fs::write(&path, format!("{}\n", run.root().display()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Options named once are kept in run.json; a step refuses to contradict them.
pub(crate) fn contradictions(info: &Run, args: &RehearsalArgs) -> anyhow::Result<()> {
    let (w, kept) = (&args.workload, &info.workload);
    let text = |v: &dyn ToString| v.to_string();
    let or_none = |v: Option<String>| v.unwrap_or_else(|| "none".into());
    let switch = |asked: bool| asked.then(|| "given".to_owned());
    let switched = |on: bool| if on { "given" } else { "not given" }.to_owned();
    let set = |list: &[String]| {
        list.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
    };
    let Mix { insert, update, delete } = kept.mix;
    let given = [
        ("--option", args.option.map(flag), info.option.clone()),
        ("--transfer", args.transfer.map(flag), or_none(info.transfer.clone())),
        ("--from", args.from.map(|v| text(&v)), text(&info.from)),
        ("--to", args.to.map(|v| text(&v)), text(&info.to)),
        ("--lsn-case", args.lsn_case.map(flag), info.lsn_case.clone()),
        ("--kafka", args.kafka.map(flag), info.kafka.clone()),
        ("--format", args.format.map(flag), info.format.clone()),
        ("--changes", w.changes.map(|v| text(&v)), or_none(kept.changes.map(|v| text(&v)))),
        ("--rate", w.rate.map(|v| text(&v)), text(&kept.rate)),
        ("--duration", w.duration.map(|v| text(&v)), or_none(kept.duration_s.map(|v| text(&v)))),
        ("--clients", w.clients.map(|v| text(&v)), text(&kept.clients)),
        ("--tx-size", w.tx_size.map(|v| text(&v)), text(&kept.tx_size)),
        ("--mix", w.mix.clone(), format!("{insert}:{update}:{delete}")),
        ("--key-skew", w.key_skew.map(|v| text(&v)), text(&kept.key_skew)),
        ("--row-size", w.row_size.map(|v| text(&v)), text(&kept.row_size)),
        ("--copy-rows", w.copy_rows.map(|v| text(&v)), text(&kept.copy_rows)),
        ("--seed", w.seed.map(|v| text(&v)), text(&kept.seed)),
        ("--seed-rows", w.seed_rows.map(|v| text(&v)), text(&kept.seed_rows)),
        (
            "--offsets",
            args.offsets.map(flag),
            if info.keeps("rebase-offsets") { info.offsets.clone() } else { "keep".into() },
        ),
        ("--mismatch-strategy", args.mismatch_strategy.map(flag), or_none(info.mismatch_strategy.clone())),
        ("--without", (!args.without.is_empty()).then(|| set(&args.without)), set(&info.safeguards.left_out)),
        ("--as-written", switch(args.as_written), switched(info.as_written)),
        ("--no-heartbeat", switch(args.no_heartbeat), switched(info.heartbeat_ms == 0)),
        ("--audit", switch(args.audit), switched(info.audit)),
        ("--add-column", switch(args.add_column), switched(info.add_column)),
        ("--allow-repeats", switch(args.allow_repeats), switched(info.allow_repeats)),
    ];
    for (flag, asked, kept) in given {
        if let Some(asked) = asked.filter(|asked| *asked != kept) {
            let text = format!(
                "{flag} {asked} contradicts run {} ({kept}): leave it out, or begin a new run with: cargo xtask up",
                info.id
            );
            return Err(Usage(text).into());
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run as it is asked for, with safeguards left out.
    pub(crate) fn run(without: &[&str]) -> Run {
        let without = without.iter().map(|name| (*name).to_owned()).collect();
        new_run(&RehearsalArgs { without, ..Default::default() }, &stack()).unwrap()
    }

    fn stack() -> Stack {
        let name = "test-of-requests".to_owned();
        let options =
            stack::Options { name, kind: stack::Kind::Native, install: false, standard_ports: false };
        Stack::open(options).unwrap()
    }

    #[test]
    fn downwards_is_refused() {
        let args = RehearsalArgs { from: Some(16), to: Some(15), ..Default::default() };
        let error = new_run(&args, &stack()).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains("must be newer"), "{error}");
    }

    #[test]
    fn in_place_the_wal_of_the_new_server_is_always_past_the_old_one() {
        let mut args = RehearsalArgs { option: Some(UpgradeOption::A), ..Default::default() };
        let info = new_run(&args, &stack()).unwrap();
        assert_eq!((&*info.lsn_case, info.transfer.as_deref()), ("behind", Some("copy")));
        args.lsn_case = Some(LsnCase::Ahead);
        assert!(new_run(&args, &stack()).unwrap_err().to_string().contains("--lsn-case ahead cannot be"));
        let args = RehearsalArgs { transfer: Some(Transfer::Link), ..Default::default() };
        assert!(new_run(&args, &stack()).unwrap_err().to_string().contains("is for --option a"));
    }

    #[test]
    fn a_step_may_repeat_but_not_contradict() {
        let mut args = RehearsalArgs { from: Some(15), ..Default::default() };
        let info = new_run(&args, &stack()).unwrap();
        contradictions(&info, &args).unwrap();
        args.workload.changes = Some(7);
        assert!(contradictions(&info, &args).unwrap_err().to_string().contains("--changes 7 contradicts"));
    }

    #[test]
    fn a_mix_needs_three_weights() {
        assert!(mix("1:2").is_err() && mix("0:0:0").is_err() && mix("a:b:c").is_err());
        assert_eq!(mix("1:0:2").unwrap(), Mix { insert: 1, update: 0, delete: 2 });
    }
}
