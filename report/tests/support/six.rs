//! Six run directories, one for every kind of report, decided by the real checks but for the huge
//! one, which would take minutes.

use std::path::Path;

use artifacts::RunDir;
use artifacts::events::{EventKind, StepResult};

use super::sim::Dice;
use super::{Plan, Rehearsal, faults, sample, story};

/// Violations of the huge run.
pub const HUGE: u64 = 1_000_000;

/// Their names.
pub const NAMES: [&str; 6] = ["held", "loss", "repeats", "unknown", "failed-step", "huge"];

/// Writes one of them as `dir/NAME`.
pub fn build(name: &str, dir: &Path) -> RunDir {
    let plan = Plan { rebase: !matches!(name, "loss" | "huge"), ..Plan::default() };
    let mut rehearsal = story::rehearse(&plan);
    match name {
        "repeats" => repeat(&mut rehearsal),
        "unknown" => rehearsal.drain_again = None,
        "failed-step" => fail(&mut rehearsal),
        _ => {}
    }
    let run = rehearsal.write(&dir.join(name));
    if name == "loss" {
        log(&run);
    }
    match name {
        "huge" => sample::decide(&run, true, (0..HUGE).map(sample::violation)),
        // The tool does not get as far as the verdict.
        "failed-step" => {}
        _ => {
            report::verify(&run, &report::Options::default()).unwrap();
        }
    }
    run
}

/// What the components say meanwhile, with bytes that are no text.
fn log(run: &RunDir) {
    std::fs::create_dir_all(run.path("logs")).unwrap();
    let server = "[17890] Debezium Streaming LOG:  received replication command: START_REPLICATION SLOT \"debezium_slot\" \
                  LOGICAL 0/22353BE8\n";
    std::fs::write(run.path("logs/postgres-new.log"), server).unwrap();
    let ignored =
        b"Received offset commit request on 'LSN{0/22353BE8}', but ignoring it. LSN flushing is not \
                    allowed yet </style>\xff\n";
    std::fs::write(run.path("logs/connect.log"), ignored.repeat(2)).unwrap();
    if run.is_sealed() {
        run.write_text(artifacts::run_dir::SUMS, &artifacts::seal::sums(run.root()).unwrap()).unwrap();
    }
}

/// Some events come again, some changes are executed again.
fn repeat(rehearsal: &mut Rehearsal) {
    let (mut dice, mut used) = (Dice(7), Default::default());
    for fault in [faults::Fault::Repeat, faults::Fault::Execute].repeat(3) {
        faults::plant(rehearsal, fault, &mut dice, &mut used).unwrap();
    }
}

/// The restore fails; nothing comes after it.
fn fail(rehearsal: &mut Rehearsal) {
    let at = rehearsal.events.iter().position(|event| {
        event.step.as_deref() == Some("upgrade-database")
            && matches!(event.kind, EventKind::StepFinished { .. })
    });
    rehearsal.events.truncate(at.unwrap() + 1);
    let Some(EventKind::StepFinished { result, error, .. }) =
        rehearsal.events.last_mut().map(|e| &mut e.kind)
    else {
        unreachable!("the last event is the end of the step")
    };
    *result = StepResult::Failed;
    *error = Some("restoring the backup: exit code 1; pg_restore: error: could not execute query".into());
    for name in ["restored", "at-resume", "after"] {
        rehearsal.snapshots.remove(name);
    }
    (rehearsal.collected, rehearsal.drain_again, rehearsal.seal) = (None, None, false);
    rehearsal.write_rows = false;
}
