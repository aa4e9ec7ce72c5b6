//! What must not be in a file: paths of a machine, addresses of package registries, unfinished marks.

use std::path::Path;

use super::{Finding, files, finding, relative};

const EXTENSIONS: [&str; 10] = ["rs", "md", "toml", "html", "css", "sql", "xml", "json", "yml", "sh"];

pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let top = root.display().to_string();
    let mut findings = Vec::new();
    for path in files(root, &EXTENSIONS) {
        let text = std::fs::read_to_string(&path)?;
        for (n, line) in text.lines().enumerate() {
            if let Some((what, fix)) = forbidden(line, &top) {
                findings.push(finding(format!("{}:{}", relative(root, &path), n + 1), what, fix));
            }
        }
    }
    Ok(findings)
}

fn forbidden(line: &str, top: &str) -> Option<(&'static str, &'static str)> {
    // The patterns are put together here, so that this file does not contain them.
    let registries = [["deb", "debian.org"], ["pypi", "org"], ["repo1.maven", "org"], ["crates", "io/"]];
    if registries.iter().any(|parts| line.contains(&parts.join("."))) {
        return Some(("names a package registry", "take the mirror from the machine's own configuration"));
    }
    if top.len() > 1 && line.contains(&format!("{top}/")) {
        return Some(("names a path of this machine", "use a path relative to the project"));
    }
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]];
    if marks.iter().any(|parts| line.contains(&parts.concat())) {
        return Some(("is marked as unfinished", "finish it, or write it into an issue"));
    }
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn forbidden_words_are_found() {
        let line = |parts: &[&str]| parts.concat();
        assert!(super::forbidden(&line(&["see https://", "pypi.", "org/x"]), "/p").is_some());
        assert!(super::forbidden(&line(&["// TO", "DO later"]), "/p").is_some());
        assert!(super::forbidden("/p/src", "/p").is_some());
        assert!(super::forbidden("plain", "/p").is_none());
    }
}
