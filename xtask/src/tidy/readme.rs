//! README and docs name commands that exist, and the README names every step.

use std::path::Path;

use clap::Parser;

use super::{Finding, files, finding, relative};
use crate::flags::Cli;
use crate::steps::STEPS;

pub(crate) const COMMAND: &str = "cargo xtask";

pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (place, command) in documented(root)? {
        let words = command.split_whitespace().skip(1);
        if let Err(e) = Cli::try_parse_from(words)
            && e.use_stderr()
        {
            let why = e.to_string().lines().next().unwrap_or_default().to_owned();
            findings.push(finding(place, format!("`{command}`: {why}"), "correct the command"));
        }
    }
    let readme = std::fs::read_to_string(root.join("README.md"))?;
    for step in &STEPS {
        if !readme.contains(&format!("{COMMAND} {}", step.name)) {
            findings.push(finding(
                "README.md",
                format!("the step {} is not named", step.name),
                format!("add `{COMMAND} {}` to the procedure", step.name),
            ));
        }
    }
    Ok(findings)
}

/// The commands of all documents, with file and line.
pub(crate) fn documented(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for path in files(root, &["md"]) {
        let text = std::fs::read_to_string(&path)?;
        let file = relative(root, &path);
        found.extend(commands(&text).into_iter().map(|(n, command)| (format!("{file}:{n}"), command)));
    }
    Ok(found)
}

/// Lines of shell blocks that begin with `cargo xtask`, and inline code that does, with their line
/// numbers. What has a placeholder in capitals or brackets is no command yet.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            continue;
        }
        if inside {
            let command = line.split(" #").next().unwrap_or_default().trim();
            if command.starts_with(COMMAND) {
                found.push((n + 1, command.to_owned()));
            }
        } else {
            let code =
                line.split('`').skip(1).step_by(2).filter(|code| code.starts_with(&format!("{COMMAND} ")));
            found.extend(code.map(|code| (n + 1, code.to_owned())));
        }
    }
    let placeholder = |word: &str| {
        word.contains(['<', '[', '|', '…'])
            || word == "..."
            || (word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase()))
    };
    found.retain(|(_, command)| !command.split_whitespace().any(placeholder));
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn commands_are_found_in_blocks_and_in_lines() {
        let text = "a `cargo xtask up` b `cargo build`\n```\ncargo xtask down --volumes  # all\nls\n```\n`cargo xtask logs SERVICE`";
        let found: Vec<String> = super::commands(text).into_iter().map(|(_, c)| c).collect();
        assert_eq!(found, ["cargo xtask up", "cargo xtask down --volumes"]);
    }
}
