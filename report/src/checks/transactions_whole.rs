//! `transactions-whole`: of every transaction the topics hold as many events of each table as Debezium's END event
//! counts.
//!
//! It is asked where the connector writes them (`provide.transaction.metadata`), and needs no ledger:
//! Debezium counts what it hands to its producer, so that a difference arose behind it. Which transaction
//! an event belongs to is held against the ledger by `nothing-altered`. An event that was delivered
//! twice counts once.

use artifacts::findings::Evidence;
use artifacts::ledger::Phase;

use super::{Answer, Check, count, evidence};
use crate::verify::context::{Context, Doubt};
use crate::verify::deliver::TRANSACTION;
use crate::verify::remedy;
use crate::verify::transactions::Difference;
use crate::verify::violations::Violations;

const NAME: &str = "transactions-whole";
/// The connector's setting.
const SETTING: &str = "provide.transaction.metadata";
const REAL: &str = "consumers that wait for whole transactions wait for ever or apply a part; nothing-missing and \
                    nothing-invented name the changes";

/// See the module.
pub(super) struct TransactionsWhole;

impl Check for TransactionsWhole {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_asked(&self, cx: &Context) -> bool {
        cx.topics.transactions.ends > 0 || counted(cx).contains(&true)
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        let found = &cx.topics.transactions;
        let mut doubts = cx.doubts();
        if counted(cx) != [true, true] {
            let text = format!("{SETTING} was not seen to be true both before the cut and after it");
            let evidence = evidence(text, "snapshots/after.json", "/connector/config");
            doubts.push(Doubt { evidence, remedy: remedy::rehearse(&cx.run) });
        }
        let broken = if found.ends == 0 && found.events > 0 {
            format!("{SETTING} is true, and no END event is in {}", topic(cx))
        } else if found.differing > 0 {
            let differing = count(found.differing, "transaction");
            format!("{differing}, by table, of which END events count other than the topics hold")
        } else {
            let once = if found.counted == found.events { "" } else { ", what came twice counted once" };
            let held = format!(
                "{} count {}, and the topics hold as many of each transaction and table{once}",
                count(found.ends, "END event"),
                count(found.counted, "event")
            );
            return match doubts.as_slice() {
                [] => Answer::held(found.events, held).with([cx.basis()]),
                doubts => Answer::unknown(found.events, doubts),
            };
        };
        let named = found.named.iter().map(|of| named(cx, of));
        // Debezium counts from where it came back, also of what it had delivered of the transaction before.
        let more = found.named.iter().all(|of| of.held > of.counted.unwrap_or(0));
        let all_named = found.differing == found.named.len() as u64;
        if cx.run.allow_repeats && found.ends > 0 && more && all_named && doubts.is_empty() {
            let held = format!(
                "the topics hold every event that {} count, and more of {}, by table, as after a connector came back \
                 in the middle of them: tolerated by --allow-repeats",
                count(found.ends, "END event"),
                count(found.differing, "transaction")
            );
            return Answer::held(found.events, held).with(named).with([cx.basis()]);
        }
        // A connector that comes back in the middle of a transaction may count from there.
        let death = cx.course.as_ref().ok().and_then(|course| course.death());
        let death = death.map(|evidence| Doubt { evidence, remedy: remedy::rehearse(&cx.run) });
        if death.is_some() || !cx.conclusive() || counted(cx) != [true, true] {
            let mut open: Vec<Doubt> = death.into_iter().chain(cx.unsettled()).collect();
            open.append(&mut doubts);
            return Answer::unknown(found.events, &open).with(named);
        }
        let doubts = doubts.iter().map(|doubt| doubt.evidence.clone());
        Answer::broken(found.events, broken, &remedy::rehearse_or(&cx.run, REAL)).with(named).with(doubts)
    }
}

/// Whether the connector counts, before and after the cut.
fn counted(cx: &Context) -> [bool; 2] {
    [Phase::Before, Phase::After].map(|phase| cx.setting(phase, SETTING) == Some("true"))
}

fn topic(cx: &Context) -> String {
    format!("{}.{TRANSACTION}", cx.run.names.prefix)
}

fn named(cx: &Context, difference: &Difference) -> Evidence {
    let Difference { table, xid, counted, held, offset } = difference;
    let held = format!("the topic holds {held}");
    let text = match counted {
        Some(n) => {
            format!("{table}: of transaction {xid} the END event counts {}, {held}", count(*n, "event"))
        }
        None => format!("{table}: of transaction {xid} no END event counts an event, {held}"),
    };
    let at = offset.map(|offset| format!("topic {} offset {offset}", topic(cx)));
    Evidence { text, file: Some("consumed.jsonl.zst".into()), at }
}
