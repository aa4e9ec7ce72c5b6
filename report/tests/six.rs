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
    assert_eq!(Page::parse(&html).errors, Vec::<String>::new());
    assert!(markdown.starts_with(MARKER), "a bot finds its own comment");
    report::render(&run).unwrap();
    assert_eq!(html, std::fs::read_to_string(&rendered.html).unwrap(), "the same bytes");
    let part = |from: &str, to: &str| {
        let start = html.find(from).unwrap();
        html[start..start + html[start..].find(to).unwrap()].to_owned()
    };
    insta::assert_snapshot!(format!("{name}.md"), markdown);
    insta::assert_snapshot!(format!("{name}.html"), part("<header", "<section id=\"diff\""));
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
