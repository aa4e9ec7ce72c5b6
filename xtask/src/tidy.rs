//! `cargo xtask tidy`: rules of this code base that a machine can hold. All findings are told at
//! once, each with its fix.

mod arrows;
mod compose;
mod documents;
mod generate;
mod literals;
mod messages;
mod readme;
mod sizes;
mod words;

use std::path::{Path, PathBuf};

pub(crate) use readme::{COMMAND, documented};

use walkdir::WalkDir;

use crate::console;
use crate::exit::Outcome;
use crate::flags::Tidy;
use crate::project;

/// A broken rule: where, what, and what to do.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    what: String,
    fix: String,
}

fn finding(place: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { place: place.into(), what: what.into(), fix: fix.into() }
}

/// Checks every rule; with `--fix` the generated documents are written first.
pub(crate) fn run(args: &Tidy) -> anyhow::Result<Outcome> {
    let root = project::root();
    if args.fix {
        documents::write(&root)?;
    }
    let findings = check(&root)?;
    for Finding { place, what, fix } in &findings {
        console::say(&format!("{place}: {what}\n     fix: {fix}"));
    }
    console::say(&format!("tidy: {} findings", findings.len()));
    Ok(if findings.is_empty() { Outcome::Done } else { Outcome::Found(1) })
}

fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = arrows::check(root)?;
    findings.extend(compose::check(root)?);
    findings.extend(documents::check(root)?);
    findings.extend(messages::check(root)?);
    findings.extend(readme::check(root)?);
    findings.extend(sizes::check(root)?);
    findings.extend(words::check(root)?);
    Ok(findings)
}

/// Files of the project below a folder, by extension; what git ignores is left out.
fn files(root: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let skip = |name: &str| matches!(name, "target" | "runs" | ".git");
    WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|e| e.depth() == 0 || !skip(&e.file_name().to_string_lossy()))
        .flatten()
        .filter(|e| e.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .filter(|p| p.extension().is_some_and(|x| extensions.iter().any(|e| x == *e)))
        .collect()
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_project_is_tidy() {
        let findings = super::check(&crate::project::root()).unwrap();
        assert!(findings.is_empty(), "run `cargo xtask tidy`: {findings:#?}");
    }
}
