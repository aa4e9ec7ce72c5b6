//! Crates depend on each other only along the arrows of the design:
//! `artifacts <- {data-generator, stack, report} <- xtask`.

use std::path::Path;

use super::{Finding, finding};

/// A crate, its folder, and the workspace crates it may use.
const ARROWS: [(&str, &str, &[&str]); 5] = [
    ("artifacts", "report/artifacts", &[]),
    ("data-generator", "data-generator", &["artifacts"]),
    ("stack", "stack", &["artifacts"]),
    ("report", "report", &["artifacts"]),
    ("xtask", "xtask", &["artifacts", "data-generator", "report", "stack"]),
];

/// The verdict is a pure function of a run directory.
const NOT_IN_REPORT: [&str; 7] =
    ["tokio", "tokio-postgres", "rdkafka", "reqwest", "duct", "xshell", "process-wrap"];

pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (name, folder, allowed) in ARROWS {
        let manifest = format!("{folder}/Cargo.toml");
        let used = dependencies(&std::fs::read_to_string(root.join(&manifest))?);
        for used in used {
            let ours = ARROWS.iter().any(|(crate_name, ..)| *crate_name == used);
            if ours && !allowed.contains(&used.as_str()) {
                findings.push(finding(
                    &manifest,
                    format!("{name} must not use {used}"),
                    "move what it needs down the arrows",
                ));
            }
            if matches!(name, "report" | "artifacts") && NOT_IN_REPORT.contains(&used.as_str()) {
                let what = format!("{name} must not use {used}: it reads a run directory and nothing else");
                findings.push(finding(
                    &manifest,
                    what,
                    "do it in stack or xtask and keep the result in the run",
                ));
            }
        }
    }
    Ok(findings)
}

/// Names below any `dependencies` table.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            inside = table.trim_end().ends_with("dependencies]");
        } else if inside
            && let Some(name) =
                line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty() && !name.starts_with('#'))
        {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_dependency_tables_are_read() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\nb = \"1\"\n[dev-dependencies]\nc = { version = \"1\" }\n[lints]\nworkspace = true\n";
        assert_eq!(super::dependencies(manifest), ["a", "b", "c"]);
    }
}
