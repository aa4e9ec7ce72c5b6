//! `cargo xtask doctor`: what this machine has and what is missing.

use stack::doctor::Level;

use super::open_stack;
use crate::console;
use crate::exit::Outcome;
use crate::flags::Doctor;

/// Exit code 3 when something is missing that this tool would not add by itself.
pub(crate) fn run(args: &Doctor) -> anyhow::Result<Outcome> {
    let checks = open_stack(&args.stack)?.doctor();
    if args.json {
        console::data(&serde_json::to_string_pretty(&checks)?);
    } else {
        for check in &checks {
            let mark = match check.level {
                Level::Ok => "ok",
                Level::Warn => "warn",
                Level::Missing => "MISSING",
            };
            let remedy = check.remedy.as_deref().map_or(String::new(), |r| format!("  ->  {r}"));
            console::data(&format!("{mark:<8}{:<28}{}{remedy}", check.name, check.found));
        }
    }
    let missing = checks.iter().any(|c| c.level == Level::Missing);
    Ok(if missing { Outcome::Found(3) } else { Outcome::Done })
}
