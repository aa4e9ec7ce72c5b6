//! Nothing is destroyed without being asked for twice: by `--yes`, or at a prompt.

use std::io::{BufRead, IsTerminal, Write};

use crate::console;
use crate::exit::{Outcome, Usage};

/// None: go on. Otherwise the command ends with this, having changed nothing.
///
/// # Errors
/// Nobody can be asked: the command to type.
pub(super) fn confirm(yes: bool, consequence: &str) -> anyhow::Result<Option<Outcome>> {
    if yes {
        return Ok(None);
    }
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        let typed = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let text = format!("{consequence}; if that is wanted: cargo xtask {typed} --yes");
        return Err(Usage(text).into());
    }
    let _ = write!(std::io::stderr(), "{consequence}. Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(None);
    }
    console::say("nothing was changed");
    Ok(Some(Outcome::Found(1)))
}
