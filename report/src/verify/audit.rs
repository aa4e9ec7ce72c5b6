//! The second witness: triggers that counted every change in the same transaction, where a run has
//! them. The ledger is believed only if it agrees.

use artifacts::findings::Evidence;
use artifacts::ledger::{Op, Phase};

use super::context::{Context, Doubt};
use super::expect::Ledger;
use super::remedy;

const FILE: &str = "snapshots/after.json";

/// Compares the audit of the new database at the end with the ledger; none when a run has no audit
/// or no ledger. A change of unknown fate may or may not be in the audit.
///
/// # Errors
/// The doubt that they disagree.
pub fn audit(cx: &Context) -> Option<std::result::Result<Evidence, Doubt>> {
    let ledger = cx.ledger.as_ref().ok()?;
    let Some(counted) = cx.snapshot("after").ok().and_then(|after| after.audit.as_ref()) else {
        return cx.run.audit.then(|| Err(not_taken(cx)));
    };
    let mut total = 0;
    for table in cx.tables.keys() {
        for op in [Op::Create, Op::Update, Op::Delete] {
            let found = counted.get(table).and_then(|ops| ops.get(&op.to_string())).copied().unwrap_or(0);
            let (least, most) = range(ledger, table, op);
            total += found;
            if !(least..=most).contains(&found) {
                let ledger = if least == most { format!("{least}") } else { format!("{least} to {most}") };
                let text = format!(
                    "the triggers of the audit counted {found} of operation {op} on {table}, the ledger {ledger}"
                );
                let at = Some(format!("/audit/{table}/{op}"));
                let evidence = Evidence { text, file: Some(FILE.to_owned()), at };
                let remedy = format!(
                    "someone beside the data generator writes; with a fresh stack (cargo xtask down --volumes), {}",
                    remedy::rehearse(&cx.run)
                );
                return Some(Err(Doubt { evidence, remedy }));
            }
        }
    }
    let text = format!(
        "the triggers of the audit counted {total} changes, seed rows among them, as the ledger does"
    );
    Some(Ok(Evidence { text, file: Some(FILE.to_owned()), at: Some("/audit".to_owned()) }))
}

/// The run has an audit, and nobody read it.
fn not_taken(cx: &Context) -> Doubt {
    let text =
        format!("run.json says that triggers audit the tables, {FILE} does not have what they counted");
    let evidence = Evidence { text, file: Some(FILE.to_owned()), at: Some("/audit".to_owned()) };
    Doubt { evidence, remedy: remedy::rehearse(&cx.run) }
}

/// How many the ledger allows; seed rows were inserted, and some updated, before anyone looked.
fn range(ledger: &Ledger, table: &str, op: Op) -> (u64, u64) {
    let before = match op {
        Op::Create => ledger.seed_rows.get(table),
        Op::Update => ledger.seed_updates.get(table),
        _ => None,
    };
    let mut least = before.copied().unwrap_or(0);
    let mut most = 0;
    for phase in [Phase::Before, Phase::After] {
        least += ledger.acknowledged.get(&(phase, table.to_owned(), op)).copied().unwrap_or(0);
        most += ledger.indeterminate.get(&(phase, table.to_owned())).copied().unwrap_or(0);
    }
    (least, least + most)
}
