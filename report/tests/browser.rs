//! The report in a real browser: `cargo xtask ci` runs it, where Chromium and node are to be had.
//! What is looked for is in `browser/check.mjs`.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the check over pages; what it says, and whether it found nothing.
fn check(pages: &[PathBuf]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/check.mjs");
    let output = Command::new("node").arg(script).args(pages).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
#[ignore = "needs Chromium: cargo xtask ci"]
fn a_browser_finds_no_fault_in_any_page() {
    let dir = tempfile::tempdir().unwrap();
    let runs = support::six::NAMES.map(|name| support::six::build(name, dir.path()));
    let mut pages: Vec<PathBuf> = runs.iter().map(|run| report::render(run).unwrap().html).collect();
    let others = [
        ("compare.html", report::compare(&runs[0], &runs[1])),
        ("index.html", report::index(&runs.each_ref().map(artifacts::RunDir::root))),
    ];
    for (name, page) in others {
        pages.push(dir.path().join(name));
        std::fs::write(dir.path().join(name), page.unwrap()).unwrap();
    }
    let (good, text) = check(&pages);
    assert!(good, "{text}");
}

/// A page with a fault of every kind: each of them is found.
#[test]
#[ignore = "needs Chromium: cargo xtask ci"]
fn a_browser_finds_the_faults_of_a_bad_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/bad.html");
    let (good, text) = check(&[page]);
    assert!(!good, "{text}");
    let faults = [
        "light, 360 px: the page is",
        "dark, 1440 px: axe color-contrast",
        "light, 360 px: asks for",
        "light, 360 px: console:",
        "light, 360 px: text runs out of <td>",
        "keyboard: cannot open 'out of reach'",
        "print: cuts 'too wide'",
    ];
    faults.iter().for_each(|fault| assert!(text.contains(fault), "'{fault}' is not in {text}"));
}
