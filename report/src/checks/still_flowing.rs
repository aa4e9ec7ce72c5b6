//! `still-flowing`: changes could be made after the upgrade, and the last marker arrived.
//!
//! Whether connector and task were RUNNING meanwhile is said and does not count: they can be,
//! while everything is lost.

use artifacts::drain::{Drain, Settled};
use artifacts::findings::Evidence;
use artifacts::ledger::Phase;

use super::{Answer, Check, count, evidence};
use crate::verify::context::{Context, Doubt};
use crate::verify::violations::Violations;

const FILE: &str = "collected.json";
const REMEDY: &str = "cargo xtask status shows a failed task and cargo xtask logs connect why; a stale offset shows nothing: \
                      cargo xtask stop-connector, cargo xtask rebase-offsets, cargo xtask resume-connector";

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
                doubts.push(doubt(evidence.clone(), "rehearse again: the ledger is damaged"));
                (0, 0)
            }
        };
        let settled = match &cx.collected {
            Ok(collected) => collected.as_ref().and_then(|c| c.settled),
            Err(evidence) => {
                doubts.push(doubt(evidence.clone(), "cargo xtask collect"));
                None
            }
        };
        if cx.ledger.is_ok() && tried > 0 && made == 0 {
            let text = format!("no change could be made after the upgrade: none of {tried} was acknowledged");
            return broken(
                cx,
                tried,
                text,
                evidence("nothing acknowledged".into(), &cx.ledger_file, "after the cut"),
            );
        }
        if settled == Some(Settled::Idle) {
            let changes = count(made, "change");
            let text = format!(
                "the last marker did not arrive and nothing moves any more, after {changes} since the upgrade"
            );
            return broken(cx, made, text, marker(cx));
        }
        if doubts.is_empty() && tried == 0 {
            let text = "nobody tried to change anything after the upgrade".to_owned();
            let remedy = "rehearse with more changes: cargo xtask upgrade --changes 5000";
            doubts.push(doubt(evidence(text, &cx.ledger_file, "after the cut"), remedy));
        }
        doubts.extend(cx.unsettled().filter(|_| cx.collected.is_ok()));
        doubts.extend(unproven(cx, settled));
        if let Err(evidence) = &cx.looks {
            doubts.push(doubt(evidence.clone(), "rehearse again: events.jsonl is damaged"));
        }
        if doubts.is_empty() {
            let text = format!(
                "{} made after the upgrade, and the last marker arrived behind them",
                count(made, "change")
            );
            Answer::held(made, text).with([marker(cx), cx.looks()])
        } else {
            Answer::unknown(made, &doubts).with([cx.looks()])
        }
    }
}

fn broken(cx: &Context, compared: u64, text: String, what: Evidence) -> Answer {
    Answer::broken(compared, text, REMEDY).with([what, cx.looks()])
}

fn doubt(evidence: Evidence, remedy: &str) -> Doubt {
    Doubt { evidence, remedy: remedy.to_owned() }
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
    let again = "rehearse again: the evidence contradicts itself";
    match (&cx.drain, cx.topics.marker_found) {
        (Err(evidence), _) => Some(doubt(evidence.clone(), again)),
        (Ok(Some((_, drain))), Some(true)) => {
            let end = &cx.snapshot("after").ok()?.server.position;
            (drain.marker.system_identifier != end.system_identifier).then(|| {
                let mut evidence = marker(cx);
                evidence.text.push_str(&format!(", and the server at the end is at {end}"));
                doubt(evidence, again)
            })
        }
        (Ok(None), Some(true)) => None,
        (Ok(_), Some(false)) => {
            let mut evidence = marker(cx);
            evidence.text.push_str(", but consumed.jsonl.zst does not have it there");
            Some(doubt(evidence, again))
        }
        (Ok(_), None) => {
            let mut evidence = marker(cx);
            evidence.text.push_str(", but collected.json says that it arrived");
            Some(doubt(evidence, again))
        }
    }
}
