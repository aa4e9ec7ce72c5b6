//! `still-flowing`: changes could be made after the upgrade, and the last marker arrived.
//!
//! Whether connector and task were RUNNING meanwhile is said and does not count: they can be,
//! while everything is lost. A component that died in the meantime explains that nothing flows; then
//! nothing is known about the upgrade.

use artifacts::drain::{Drain, Settled};
use artifacts::findings::Evidence;
use artifacts::ledger::Phase;

use serde_json::Value;

use super::{Answer, Check, count, evidence};
use crate::text;
use crate::verify::context::{Context, Doubt};
use crate::verify::course::Failed;
use crate::verify::remedy::{self, FROM_THE_NEW_SLOT};
use crate::verify::violations::Violations;

const FILE: &str = "collected.json";

/// See the module.
pub(super) struct StillFlowing;

impl Check for StillFlowing {
    fn name(&self) -> &'static str {
        "still-flowing"
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        let mut doubts = Vec::new();
        let (tried, made) = match &cx.ledger {
            Ok(ledger) => {
                let tried = ledger.tried.get(&Phase::After).copied().unwrap_or(0);
                (tried, ledger.acknowledged_in(Phase::After))
            }
            Err(evidence) => {
                doubts.push(doubt(cx, evidence.clone()));
                (0, 0)
            }
        };
        let settled = match &cx.collected {
            Ok(collected) => collected.as_ref().and_then(|c| c.settled),
            Err(evidence) => {
                doubts.push(doubt(cx, evidence.clone()));
                None
            }
        };
        let none_made = cx.ledger.is_ok() && tried > 0 && made == 0;
        match cx.death_after() {
            Some(evidence) if none_made || settled != Some(Settled::Marker) => {
                doubts.insert(0, doubt(cx, evidence))
            }
            None if none_made => return refused(cx, tried),
            None if tried == 0 && doubts.is_empty() && ended_early(cx).is_some() => return never_begun(cx),
            None if settled == Some(Settled::Idle) => return stands_still(cx, made),
            _ => {}
        }
        if doubts.is_empty() && tried == 0 {
            doubts.push(cx.nothing_tried().unwrap_or_else(|| untried(cx)));
        }
        doubts.extend(cx.unsettled().filter(|_| cx.collected.is_ok()));
        doubts.extend(unproven(cx, settled));
        if let Err(evidence) = &cx.course {
            doubts.push(doubt(cx, evidence.clone()));
        }
        doubts.dedup();
        if doubts.is_empty() {
            let changes = count(made, "change");
            let text = format!("{changes} made after the upgrade, and the last marker arrived behind them");
            Answer::held(made, text).with([marker(cx), cx.looks()])
        } else {
            Answer::unknown(made, &doubts).with([cx.looks()])
        }
    }
}

fn doubt(cx: &Context, evidence: Evidence) -> Doubt {
    Doubt { evidence, remedy: remedy::rehearse(&cx.run) }
}

fn untried(cx: &Context) -> Doubt {
    let text = "nobody tried to change anything after the upgrade".to_owned();
    let remedy = format!("rehearse with more changes: {} --changes 5000", remedy::command(&cx.run));
    Doubt { evidence: evidence(text, &cx.ledger_file, "after the cut"), remedy }
}

fn refused(cx: &Context, tried: u64) -> Answer {
    let text = format!("no change could be made after the upgrade: none of {tried} was acknowledged");
    let what = evidence("nothing acknowledged".into(), &cx.ledger_file, "after the cut");
    let real = "the ledger has the server's answers: make what they ask for, writers lose nothing meanwhile";
    Answer::broken(tried, text, &remedy::rehearse_or(&cx.run, real)).with([what, cx.looks()])
}

/// The step at which a procedure without all its safeguards came to its end. With all of them a step
/// that fails says nothing about the upgrade.
fn ended_early(cx: &Context) -> Option<&Failed> {
    let failed = cx.course.as_ref().ok()?.failed.first()?;
    (!cx.run.safeguards.left_out.is_empty() && failed.died.is_none()).then_some(failed)
}

fn never_begun(cx: &Context) -> Answer {
    let failed = ended_early(cx).map(Failed::evidence);
    let why = failed.as_ref().map(|evidence| evidence.text.clone()).unwrap_or_default();
    let text = format!("no change could be made after the upgrade: {why}");
    let real = match cx.stale() {
        Some(_) => FROM_THE_NEW_SLOT,
        None => "go back to the old server while nothing has been written to the new one",
    };
    Answer::broken(0, text, &remedy::rehearse_or(&cx.run, real)).with(failed).with([cx.looks()])
}

fn stands_still(cx: &Context, made: u64) -> Answer {
    let failure = failure(cx);
    let stale = cx.stale().is_some();
    let changes = count(made, "change");
    let mut text = format!(
        "the last marker did not arrive and nothing moves any more, after {changes} since the upgrade"
    );
    if let Some(evidence) = &failure {
        text.push_str(&format!("; {}", evidence.text));
    }
    let real = match failure {
        _ if stale => FROM_THE_NEW_SLOT,
        Some(_) => "the message of the task names the cause; cargo xtask logs connect has the rest",
        None => {
            "cargo xtask status and cargo xtask replication show what stands still; nothing is lost while the slot holds it"
        }
    };
    let remedy = remedy::rehearse_or(&cx.run, real);
    Answer::broken(made, text, &remedy).with([marker(cx)]).with(failure).with([cx.looks()])
}

/// Why the task, or the connector, has FAILED at the end; none when it has not.
fn failure(cx: &Context) -> Option<Evidence> {
    let status = &cx.snapshot("after").ok()?.connector.as_ref()?.status;
    let failed = |at: &str| {
        let part = status.pointer(at)?;
        let failed = part.get("state").and_then(Value::as_str) == Some("FAILED");
        failed.then(|| part.get("trace").and_then(Value::as_str).unwrap_or("it left no trace"))
    };
    let (what, at, trace) = match (failed("/tasks/0"), failed("/connector")) {
        (Some(trace), _) => ("task", "/connector/status/tasks/0/trace", trace),
        (None, Some(trace)) => ("connector", "/connector/status/connector/trace", trace),
        (None, None) => return None,
    };
    let text = format!("the {what} has FAILED: {}", text::root_cause(trace));
    Some(evidence(text, "snapshots/after.json", at))
}

/// Where the marker was put and where it arrived.
fn marker(cx: &Context) -> Evidence {
    match &cx.drain {
        Ok(Some((file, drain))) => {
            let Drain { nonce, marker, .. } = drain;
            let arrived =
                drain.arrived.as_ref().map_or("did not arrive".to_owned(), |(topic, partition, offset)| {
                    format!("arrived in {topic} partition {partition} offset {offset}")
                });
            evidence(format!("the marker {nonce} at {marker} {arrived}"), file, "/arrived")
        }
        Ok(None) => evidence("drain-again left no drain.json".to_owned(), FILE, "/settled"),
        Err(evidence) => evidence.clone(),
    }
}

/// `collected.json` says that the marker arrived: the drain and the topics must agree.
fn unproven(cx: &Context, settled: Option<Settled>) -> Option<Doubt> {
    if settled != Some(Settled::Marker) {
        return None;
    }
    match (&cx.drain, cx.topics.marker_found) {
        (Err(evidence), _) => Some(doubt(cx, evidence.clone())),
        (Ok(Some((_, drain))), Some(true)) => {
            let end = &cx.snapshot("after").ok()?.server.position;
            (drain.marker.system_identifier != end.system_identifier).then(|| {
                let mut evidence = marker(cx);
                evidence.text.push_str(&format!(", and the server at the end is at {end}"));
                doubt(cx, evidence)
            })
        }
        (Ok(None), Some(true)) => None,
        (Ok(_), Some(false)) => {
            let mut evidence = marker(cx);
            evidence.text.push_str(", but consumed.jsonl.zst does not have it there");
            Some(doubt(cx, evidence))
        }
        (Ok(_), None) => {
            let mut evidence = marker(cx);
            evidence.text.push_str(", but collected.json says that it arrived");
            Some(doubt(cx, evidence))
        }
    }
}
