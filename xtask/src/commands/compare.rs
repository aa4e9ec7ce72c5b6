//! `cargo xtask compare RUN RUN`: two runs side by side, as one page with the look of the report.

use artifacts::RunDir;

use super::runs;
use crate::exit::Outcome;
use crate::flags::Compare;
use crate::{console, project};

/// Writes the page and prints where it is.
pub(crate) fn run(args: &Compare) -> anyhow::Result<Outcome> {
    let (left, right) = (RunDir::open(&runs::path(&args.left)?)?, RunDir::open(&runs::path(&args.right)?)?);
    let page = report::compare(&left, &right)?;
    let name = format!("compare-{}-{}.html", left.id(), right.id());
    let path = args.out.clone().unwrap_or_else(|| project::runs().join(name));
    project::write_whole(&path, &page)?;
    console::data(&path.display().to_string());
    Ok(Outcome::Done)
}
