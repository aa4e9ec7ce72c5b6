//! Files that do one thing are short.

use std::path::Path;

use super::{Finding, files, finding, relative};

const LINES: usize = 400;

pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in files(root, &["rs", "html", "sh", "sql", "css"]) {
        let lines = std::fs::read_to_string(&path)?.lines().count();
        if lines > LINES {
            findings.push(finding(
                relative(root, &path),
                format!("{lines} lines, at most {LINES}"),
                "split it by topic",
            ));
        }
    }
    Ok(findings)
}
