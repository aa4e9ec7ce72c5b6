//! Every kind of report: golden files, form, size, the same bytes twice.

#![allow(clippy::unwrap_used)]

mod page;
mod support;

use page::Page;
use report::markdown::{MARKER, MAX_CHARS};
use report::render::MAX_HTML_BYTES;
use support::six;

fn golden(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let run = six::build(name, dir.path());
    let rendered = report::render(&run).unwrap();
    let html = std::fs::read_to_string(&rendered.html).unwrap();
    let markdown = std::fs::read_to_string(&rendered.markdown).unwrap();
    assert!(html.len() <= MAX_HTML_BYTES && markdown.chars().count() <= MAX_CHARS, "{}", html.len());
    let page = Page::parse(&html);
    assert_eq!(page.errors, Vec::<String>::new());
    assert!(markdown.starts_with(MARKER), "a bot finds its own comment");
    report::render(&run).unwrap();
    assert_eq!(html, std::fs::read_to_string(&rendered.html).unwrap(), "the same bytes");
    insta::assert_snapshot!(format!("{name}.md"), markdown);
    insta::assert_snapshot!(format!("{name}.txt"), page.lines());
}

#[test]
fn held() {
    golden("held");
}

#[test]
fn broken_by_loss() {
    golden("loss");
}

#[test]
fn broken_by_repeats() {
    golden("repeats");
}

#[test]
fn unknown() {
    golden("unknown");
}

#[test]
fn a_failed_step() {
    golden("failed-step");
}

#[test]
fn huge() {
    golden("huge");
}

#[test]
fn two_runs_side_by_side_and_a_list_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let runs = ["held", "loss", "failed-step"].map(|name| six::build(name, dir.path()));
    report::render(&runs[0]).unwrap();
    let body = |html: &str| html[html.find("<header").unwrap()..].to_owned();
    let page = report::compare(&runs[0], &runs[1]).unwrap();
    assert_eq!(Page::parse(&page).errors, Vec::<String>::new());
    insta::assert_snapshot!("compare.html", body(&page));
    let page = report::index(&runs.each_ref().map(artifacts::RunDir::root)).unwrap();
    assert_eq!(Page::parse(&page).errors, Vec::<String>::new());
    assert!(
        page.contains("./held/report.html") && !page.contains("./loss/report.html"),
        "only what is there"
    );
    insta::assert_snapshot!("index.html", body(&page));
}

/// Values of a megabyte are cut, and bytes that are no text are nobody's fault.
#[test]
fn huge_values_and_broken_bytes_are_bounded_text() {
    let dir = tempfile::tempdir().unwrap();
    let run = six::build("loss", dir.path());
    let huge = "</style><script>{{ 1 }}\u{202e}".repeat(40_000);
    let mut findings = run.findings().unwrap().unwrap();
    findings.checks[0].summary = huge.clone();
    run.write("findings.json", &findings).unwrap();
    let violation = artifacts::findings::Violation {
        expected: Some(serde_json::json!({ "row": huge })),
        ..support::sample::violation(1)
    };
    std::fs::write(run.path("violations.jsonl"), serde_json::to_string(&violation).unwrap()).unwrap();
    let mut snapshot = run.snapshot("after").unwrap().unwrap();
    snapshot.settings.insert("huge".into(), huge);
    run.write("snapshots/after.json", &snapshot).unwrap();
    std::fs::create_dir_all(run.path("logs")).unwrap();
    std::fs::write(run.path("logs/connect.log"), b"\xff\xfe\x00</style>\xc3").unwrap();
    let rendered = report::render(&run).unwrap();
    let html = std::fs::read_to_string(rendered.html).unwrap();
    assert!(html.len() < 300_000, "{} bytes", html.len());
    let page = Page::parse(&html);
    assert_eq!((page.errors.len(), page.all("script").count()), (0, 0));
    assert_eq!(page.text().matches("characters in all)").count(), 3);
    assert!(std::fs::read_to_string(rendered.markdown).unwrap().chars().count() <= MAX_CHARS);
}
