//! `nothing-missing`: every committed change and every seed row is in the topics.
//!
//! What stays unknown is all-or-none: a transaction of which a part was delivered was committed,
//! and then the rest is missing.

use std::collections::{BTreeMap, HashMap};

use artifacts::findings::{Violation, ViolationKind};
use artifacts::ledger::{Op, Phase};

use super::same_position::SamePosition;
use super::stage::Stage;
use super::{Answer, Check, Found, count};
use crate::verify::audit::audit;
use crate::verify::context::Context;
use crate::verify::history::{KeyHistory, Wanted};
use crate::verify::remedy::{self, FROM_THE_NEW_SLOT, FROM_THE_OLD_SLOT};
use crate::verify::violations::{Violations, of_change};

const NAME: &str = "nothing-missing";
const OLD_SLOT: &str = "what was committed before the cut is in the old server's slot";
const NEW_SLOT: &str = "what was committed after the cut is in the new server's slot";
const ADD: &str =
    "add the table or operation to publication and connector; what has passed comes with a new snapshot only";
const CARRY: &str = "a writer committed behind the copy: keep the old server, fence every writer out, compare the tables, copy again";
const SNAPSHOT: &str = "no stream brings it back; a new snapshot brings the rows that are there (stop the connector, DELETE its \
                        offsets, resume with snapshot.mode initial), not deletions and not versions in between";
const LOOK: &str = "look with pg_logical_slot_peek_binary_changes before anything advances the slot";

/// See the module.
#[derive(Default)]
pub(super) struct NothingMissing {
    found: Found,
    seed_rows: u64,
    /// Tombstones that are missing behind deletes that arrived.
    tombstones: u64,
    /// Changes of unknown fate that a later version proves.
    proven: u64,
    stages: BTreeMap<(Stage, Phase), u64>,
    unknown: HashMap<u64, Unknown>,
    same_position: SamePosition,
}

/// A transaction of unknown fate.
#[derive(Default)]
struct Unknown {
    committed: bool,
    undelivered: Vec<(Stage, Violation)>,
}

impl Check for NothingMissing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key(&mut self, cx: &Context, history: &KeyHistory, out: &mut Violations) {
        self.same_position.key(cx, history);
        for wanted in &history.expected {
            self.seed_rows += u64::from(wanted.fact.op == Op::Read);
            self.found.compared += u64::from(wanted.required);
            self.proven += u64::from(wanted.required && !wanted.fact.committed);
            let line = wanted.fact.line;
            let unknown = !wanted.fact.committed
                && cx.ledger.as_ref().is_ok_and(|ledger| ledger.unknown.contains_key(&line));
            if unknown {
                self.unknown.entry(line).or_default().committed |=
                    wanted.required || wanted.delivered.is_some() || wanted.tombstone.is_some();
            }
            let Some((stage, violation)) = missing(cx, history, wanted) else { continue };
            if wanted.required || violation.op == Some(Op::Tombstone) {
                self.same_position.missing(cx, &history.table, &wanted.fact, stage);
                self.add(cx, out, stage, &violation, (line, wanted.fact.committed));
            } else if unknown {
                self.unknown.entry(line).or_default().undelivered.push((stage, violation));
            }
        }
    }

    fn finish(&mut self, cx: &Context, out: &mut Violations) -> Answer {
        let mut unknown: Vec<_> = std::mem::take(&mut self.unknown).into_iter().collect();
        unknown.sort_unstable_by_key(|(line, _)| *line);
        for (line, transaction) in unknown.into_iter().filter(|(_, t)| t.committed) {
            for (stage, violation) in &transaction.undelivered {
                self.add(cx, out, *stage, violation, (line, false));
            }
        }
        self.answer(cx)
    }
}

impl NothingMissing {
    /// `of`: the line of the transaction, and whether it is known to be committed.
    fn add(
        &mut self,
        cx: &Context,
        out: &mut Violations,
        stage: Stage,
        violation: &Violation,
        of: (u64, bool),
    ) {
        let (line, committed) = of;
        *self.stages.entry((stage, violation.phase.unwrap_or(Phase::Before))).or_default() += 1;
        self.tombstones += u64::from(violation.op == Some(Op::Tombstone));
        out.missing(violation, stage != Stage::NotYet, committed);
        self.found.name(violation, (&cx.ledger_file, format!("line {line}")));
    }

    fn answer(&mut self, cx: &Context) -> Answer {
        let compared = self.found.compared;
        let mut stages: BTreeMap<Stage, u64> = BTreeMap::new();
        self.stages.iter().for_each(|((stage, _), n)| *stages.entry(*stage).or_default() += n);
        let not_yet = stages.get(&Stage::NotYet).copied().unwrap_or(0);
        let stages =
            stages.iter().map(|(stage, n)| format!("{n} {}", stage.name().unwrap_or("of unknown stage")));
        let stages: Vec<String> = stages.collect();
        let mut doubts = cx.doubts();
        if not_yet > 0 {
            doubts.extend(cx.unsettled());
        }
        if not_yet > 0 && not_yet == self.found.broken() {
            let named = self.found.named();
            return Answer::unknown(compared, &doubts).with(named);
        }
        let changes = match self.proven {
            0 => count(compared - self.seed_rows, "committed change"),
            n => format!(
                "{} ({n} of unknown fate among them, proven by later changes)",
                count(compared - self.seed_rows, "committed change")
            ),
        };
        let held = format!("{changes} and {} are in the topics", count(self.seed_rows, "seed row"));
        let lost = self.found.broken() - self.tombstones;
        let lost = match self.tombstones {
            0 => lost.to_string(),
            n => format!("{} and {}", count(lost, "change"), count(n, "tombstone")),
        };
        let broken = format!(
            "of {changes} and {}, {lost} are in no topic: {}",
            count(self.seed_rows, "seed row"),
            stages.join(", ")
        );
        let answer = self.found.answer(cx, held, broken, &self.remedy(cx), &doubts);
        let answer = answer.with(audit(cx).and_then(Result::ok));
        if self.found.broken() > 0 {
            answer.with(self.same_position.evidence(cx)).with([cx.looks()])
        } else {
            answer
        }
    }

    /// What helps depends on where the changes still are: before the cut in the old server's slot,
    /// after it in the new one's. The old server comes first, as the new slot must not move meanwhile.
    fn remedy(&self, cx: &Context) -> String {
        let there = |stage, phase| self.stages.contains_key(&(stage, phase));
        let either = |stage| there(stage, Phase::Before) || there(stage, Phase::After);
        let clauses = [
            (there(Stage::Recoverable, Phase::Before), OLD_SLOT, FROM_THE_OLD_SLOT),
            (there(Stage::Recoverable, Phase::After), NEW_SLOT, FROM_THE_NEW_SLOT),
            (either(Stage::DroppedByConfig), "what configuration left out", ADD),
            (either(Stage::LostByCopy), "what the copy lacks", CARRY),
            (either(Stage::Gone), "what no slot holds", SNAPSHOT),
            (either(Stage::NotObserved), "what nobody looked for", LOOK),
        ];
        let clauses = clauses.into_iter().filter(|(there, ..)| *there);
        let real: Vec<String> = clauses.map(|(_, what, real)| format!("{what}: {real}")).collect();
        remedy::rehearse_or(&cx.run, &real.join("; "))
    }
}

/// The violation, if nothing delivered the expectation or its tombstone. A missing tombstone is
/// named only when the delete itself arrived.
fn missing(cx: &Context, history: &KeyHistory, wanted: &Wanted) -> Option<(Stage, Violation)> {
    let arrived = wanted.delivered.is_some();
    let no_tombstone = arrived && wanted.fact.op == Op::Delete && wanted.tombstone.is_none();
    let tombstones = || cx.setting(Phase::Before, "tombstones.on.delete") != Some("false");
    if arrived && !(no_tombstone && tombstones()) {
        return None;
    }
    let mut violation = of_change(history, wanted, ViolationKind::Missing, NAME);
    let stage = if no_tombstone {
        violation.op = Some(Op::Tombstone);
        // It follows its delete at once: when that arrived, the slot holds nothing more of it.
        if cx.conclusive() { Stage::Gone } else { Stage::NotYet }
    } else {
        Stage::of(cx, history, wanted)
    };
    violation.stage = stage.name().map(str::to_owned);
    Some((stage, violation))
}
