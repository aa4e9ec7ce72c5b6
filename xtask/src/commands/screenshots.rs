//! `cargo xtask screenshots`: the picture of a report in the README, of a real run and by a real browser.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use artifacts::RunDir;
use tokio::process::Command;

use super::runs;
use crate::exit::Outcome;
use crate::flags::Screenshots;
use crate::{console, project};

const DEADLINE: Duration = Duration::from_secs(60);
/// A window with the verdict and the numbers.
const SIZE: &str = "--window-size=1180,900";
/// Chromium as root, and without requests of its own.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// Writes the report of the run anew, takes the picture and prints where it is.
pub(crate) async fn run(args: &Screenshots) -> anyhow::Result<Outcome> {
    let run = RunDir::open(&runs::path(&args.run)?)?;
    let page = std::path::absolute(report::render(&run)?.html)?;
    let picture = args.out.clone().unwrap_or_else(|| project::root().join("docs/report.png"));
    let chromium = stack::chromium(!args.no_install).await?;
    let profile = Profile(std::env::temp_dir().join(format!("xtask-screenshots-{}", std::process::id())));
    let mut command = Command::new(&chromium);
    command.args(FLAGS).args([SIZE, &format!("--user-data-dir={}", profile.0.display())]);
    command.arg(format!("--screenshot={}", std::path::absolute(&picture)?.display()));
    command.arg(format!("file://{}", page.display())).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.context("Chromium took no picture within 60 s")??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && picture.exists(), "Chromium took no picture: {}", said.trim());
    console::data(&picture.display().to_string());
    Ok(Outcome::Done)
}

/// A profile of its own; gone afterwards.
struct Profile(std::path::PathBuf);

impl Drop for Profile {
    fn drop(&mut self) {
        // There may be none.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
