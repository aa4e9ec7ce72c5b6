//! `docs/steps.md`, `docs/cli.md` and `docs/artifacts.md` are generated and up to date.

use std::path::Path;

use super::{Finding, finding, generate};

fn documents(root: &Path) -> anyhow::Result<[(&'static str, String); 3]> {
    Ok([
        ("docs/steps.md", generate::steps()),
        ("docs/cli.md", generate::cli()),
        ("docs/artifacts.md", generate::artifacts(root)?),
    ])
}

pub(super) fn write(root: &Path) -> anyhow::Result<()> {
    for (name, text) in documents(root)? {
        std::fs::write(root.join(name), text)?;
    }
    Ok(())
}

pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (name, text) in documents(root)? {
        if std::fs::read_to_string(root.join(name)).ok().as_deref() != Some(text.as_str()) {
            findings.push(finding(name, "is not what the code says", "run: cargo xtask tidy --fix"));
        }
    }
    let steps = root.join("xtask/src/steps");
    for entry in std::fs::read_dir(&steps)?.flatten() {
        let file = entry.path().file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if file != "as_written" && !crate::steps::STEPS.iter().any(|step| step.file == file) {
            findings.push(finding(
                format!("xtask/src/steps/{file}.rs"),
                "no row of the table runs it",
                "add a row to STEPS, or delete the file",
            ));
        }
    }
    Ok(findings)
}
