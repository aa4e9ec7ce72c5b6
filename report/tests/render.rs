//! The report: golden files, form, bounds, and what foreign text may not do.

#![allow(clippy::unwrap_used)]

mod page;
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use artifacts::RunDir;
use artifacts::events::{Event, EventKind, StepResult};
use artifacts::findings::{Evidence, Violation};
use page::Page;
use report::render::MAX_HTML_BYTES;
use serde_json::json;
use support::sample::{broken, decide, findings, held, violation};

/// Everything that could break out of a page, a table or a line.
const HOSTILE: &str = "</style><script>alert(1)</script>\"'`|*_[x](javascript:y) {{ 1 }} {% if %} \u{202e}gnp\u{0}\u{1b}[31m 🙂\n@you #1 https://evil.example/";

fn html(run: &RunDir) -> String {
    std::fs::read_to_string(report::render(run).unwrap().html).unwrap()
}

fn markdown(run: &RunDir) -> String {
    std::fs::read_to_string(report::render(run).unwrap().markdown).unwrap()
}

/// A part of the page, from a mark to another.
fn part(html: &str, from: &str, to: &str) -> String {
    let start = html.find(from).unwrap();
    let end = start + html[start..].find(to).unwrap();
    html[start..end].to_owned()
}

/// What must hold for every page.
fn well_formed(html: &str) -> Page {
    assert!(html.len() <= MAX_HTML_BYTES, "{} bytes", html.len());
    let page = Page::parse(html);
    assert_eq!(page.errors, Vec::<String>::new());
    for tag in
        ["script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "use", "a:href"]
    {
        assert_eq!(page.all(tag).count(), 0, "<{tag}>");
    }
    let mut ids = BTreeSet::new();
    for element in &page.elements {
        for (name, value) in &element.attributes {
            assert!(!name.starts_with("on") && name != "src", "{} {name}", element.tag);
            match name.as_str() {
                "href" => assert!(value.starts_with("./") || value.starts_with('#'), "{value}"),
                "id" => assert!(ids.insert(value.clone()), "id {value} twice"),
                _ => {}
            }
        }
    }
    for link in page.all("a").filter_map(|a| a.attribute("href")?.strip_prefix('#').map(str::to_owned)) {
        assert!(ids.contains(&link), "#{link} leads nowhere");
    }
    page
}

#[test]
fn golden_html() {
    let dir = tempfile::tempdir().unwrap();
    let html = html(&broken(dir.path()));
    insta::assert_snapshot!("diff.html", part(&html, "<section id=\"diff\"", "</section>"));
    insta::assert_snapshot!("timeline.html", part(&html, "<section id=\"timeline\"", "</section>"));
}

#[test]
fn golden_junit() {
    let dir = tempfile::tempdir().unwrap();
    let rendered = report::render(&broken(dir.path())).unwrap();
    insta::assert_snapshot!("junit.xml", std::fs::read_to_string(rendered.junit).unwrap());
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let run = broken(dir.path());
    let before = html(&run);
    let last = run.events().unwrap().pop().unwrap();
    let again = Event { step: Some("verify".into()), kind: EventKind::StepStarted, ..last };
    std::fs::write(run.path("derived-events.jsonl"), serde_json::to_string(&again).unwrap()).unwrap();
    assert_eq!(before, html(&run), "however often the verdict was computed");
}

#[test]
fn evidence_without_a_place_has_no_empty_parentheses() {
    let dir = tempfile::tempdir().unwrap();
    let run = broken(dir.path());
    let mut findings = findings(&run, true);
    for check in &mut findings.checks {
        check.evidence = vec![Evidence { text: "it contradicts itself".into(), file: None, at: None }];
    }
    run.write("findings.json", &findings).unwrap();
    let junit = std::fs::read_to_string(report::render(&run).unwrap().junit).unwrap();
    assert!(junit.contains("it contradicts itself") && !junit.contains("()"), "{junit}");
}

#[test]
fn pages_are_well_formed_and_ask_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for html in [html(&held(&dir.path().join("held"))), html(&broken(&dir.path().join("broken")))] {
        well_formed(&html);
        assert!(html.contains("default-src 'none'; style-src 'unsafe-inline'"));
        assert!(!html.contains("@import") && !html.contains("url("));
    }
}

#[test]
fn headings_are_in_order_and_tables_can_be_read_aloud() {
    let dir = tempfile::tempdir().unwrap();
    let page = well_formed(&html(&broken(dir.path())));
    let level = |tag: &str| tag.strip_prefix('h').and_then(|n| n.parse::<u32>().ok());
    let levels: Vec<u32> = page.elements.iter().filter_map(|e| level(&e.tag)).collect();
    assert_eq!((levels[0], levels.iter().filter(|l| **l == 1).count()), (1, 1));
    assert!(levels.windows(2).all(|w| w[1] <= w[0] + 1), "{levels:?}");
    assert_eq!(page.all("table").count(), page.all("caption").count());
    assert!(page.all("th").all(|th| th.attribute("scope").is_some()));
    for landmark in ["header", "nav", "main", "footer"] {
        assert_eq!(page.all(landmark).count(), 1, "{landmark}");
    }
    assert!(
        page.all("svg")
            .all(|svg| svg.attribute("aria-hidden").or(svg.attribute("aria-labelledby")).is_some())
    );
}

#[test]
fn what_is_missing_is_said_and_nothing_fails() {
    let dir = tempfile::tempdir().unwrap();
    let run = broken(dir.path());
    let files = [
        "findings.json",
        "violations.jsonl",
        "snapshots/after.json",
        "snapshots/cut.json",
        "consumed.jsonl.zst",
        "ledger.jsonl.zst",
        "events.jsonl",
        "collected.json",
    ];
    for file in files {
        std::fs::remove_file(run.path(file)).unwrap();
        well_formed(&html(&run));
    }
    let text = well_formed(&html(&run)).text();
    assert!(text.contains("NO VERDICT YET") && text.contains("verify has not run"));
    assert!(text.contains("the snapshot 'after' was not taken"));
    assert!(!html(&run).contains(r#"<span class="sr">removed"#), "an unobserved side is not a change");
    assert!(markdown(&run).contains("NO VERDICT YET"));
}

/// As many faults as there are kinds, and long reasons: the headline still has two lines.
#[test]
fn the_headline_is_short() {
    let dir = tempfile::tempdir().unwrap();
    let judged = |name: &str, rehearsal: &support::Rehearsal| {
        let run = rehearsal.write(&dir.path().join(name));
        report::verify(&run, &report::Options::default()).unwrap();
        let html = html(&run);
        well_formed(&html);
        let sentence = part(&html, "<span class=\"sentence\"><bdi>", "</bdi>");
        let sentence = sentence.trim_start_matches("<span class=\"sentence\"><bdi>").replace("&#39;", "'");
        assert!(sentence.chars().count() <= 155, "{sentence}");
        sentence
    };
    let plan = support::Plan { rebase: false, ..support::Plan::default() };
    let (mut many, mut dice) = (support::story::rehearse(&plan), support::sim::Dice(1));
    let mut used = BTreeSet::new();
    for fault in support::faults::FAULTS {
        support::faults::plant(&mut many, fault, &mut dice, &mut used);
    }
    let sentence = judged("many", &many);
    assert!(sentence.contains("changes made after the upgrade reached no topic"), "{sentence}");
    let mut stale = support::story::rehearse(&support::Plan::default());
    let cut = stale.snapshots["cut"].offset.clone();
    stale.snapshots.get_mut("at-resume").unwrap().offset = cut;
    let sentence = judged("stale", &stale);
    assert_eq!(sentence, "the connector resumed from a position that the new server does not have.");
    let mut unknown = support::story::rehearse(&support::Plan::default());
    unknown.snapshots.get_mut("after").unwrap().name = "x".repeat(900);
    assert!(judged("unknown", &unknown).starts_with("not proven: "));
}

/// The offset that stayed where it was although the server changed is no value that may stay.
#[test]
fn a_stale_offset_is_marked_in_the_diff() {
    let dir = tempfile::tempdir().unwrap();
    let held = markdown(&held(&dir.path().join("held")));
    assert!(
        held.contains("each where a value may change") && !held.contains("still the old server's"),
        "{held}"
    );
    let broken = markdown(&broken(&dir.path().join("broken")));
    assert!(broken.contains("3 values are not as expected"), "{broken}");
    assert!(broken.contains("+ lsn_proc = 938521904 = 0/37F0B530   # still the old server's"), "{broken}");
}

/// Looks that saw a failed task are told as well as those that saw it RUNNING.
#[test]
fn looks_are_shown_after_a_failed_resume_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut rehearsal = support::story::rehearse(&support::Plan::default());
    let mut resumed = false;
    for event in &mut rehearsal.events {
        match &mut event.kind {
            EventKind::StepFinished { result, .. } if event.step.as_deref() == Some("resume-connector") => {
                (*result, resumed) = (StepResult::Failed, true);
            }
            EventKind::Sample { task, .. } if resumed => *task = Some("FAILED".into()),
            _ => {}
        }
    }
    let run = rehearsal.write(&dir.path().join("run"));
    decide(&run, true, std::iter::empty());
    let tile = part(&html(&run), "<dt>status RUNNING</dt>", "</div>");
    assert!(tile.contains(">0 of 6<"), "{tile}");
}

#[test]
fn damaged_evidence_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = broken(dir.path());
    for file in
        ["findings.json", "snapshots/after.json", "events.jsonl", "violations.jsonl", "ledger.jsonl.zst"]
    {
        std::fs::write(run.path(file), "{\"torn\n{\"e\":").unwrap();
    }
    let text = well_formed(&html(&run)).text();
    for file in [
        "findings.json is corrupt",
        "after.json is corrupt",
        "events.jsonl is corrupt",
        "violations.jsonl is corrupt",
    ] {
        assert!(text.contains(file), "{file}");
    }
}

/// Puts the hostile text wherever a run directory can hold text.
fn hostile(dir: &Path) -> RunDir {
    let mut rehearsal = support::story::rehearse(&support::Plan::default());
    let bad = || HOSTILE.to_owned();
    (rehearsal.run.tool.revision, rehearsal.run.stack.name) = (bad(), bad());
    (rehearsal.run.names.slot, rehearsal.run.option) = (bad(), bad());
    rehearsal.run.safeguards.left_out.push(bad());
    rehearsal.run.versions.insert(bad(), bad());
    for snapshot in rehearsal.snapshots.values_mut() {
        snapshot.settings.insert(bad(), format!("{HOSTILE}{}", snapshot.name));
        snapshot.slot.as_mut().map(|slot| slot.insert(bad(), json!({ HOSTILE: HOSTILE })));
        snapshot.unobserved.insert("/subjects".into(), bad());
        snapshot.server.version = bad();
    }
    let kinds = [
        EventKind::Command { paste: bad(), exit: None, ms: 1, out: Some("../../etc/passwd".into()) },
        EventKind::Http {
            method: bad(),
            url: bad(),
            status: None,
            ms: 1,
            out: Some("javascript:alert(1)".into()),
        },
        EventKind::Wait { what: bad(), last: bad(), met: false, ms: 1 },
        EventKind::Note { text: bad() },
        EventKind::StepFinished { result: StepResult::Failed, error: Some(bad()), ms: 1, waited_ms: 9 },
    ];
    let at = rehearsal.events.last().unwrap().at;
    for kind in kinds {
        rehearsal.events.push(Event { seq: 0, at, step: Some(bad()), no: None, attempt: 2, kind });
    }
    rehearsal.seal = false;
    rehearsal.events.retain(|e| !matches!(&e.kind, EventKind::Http { out: Some(o), .. } if o.contains(':')));
    let run = rehearsal.write(dir);
    let mut findings = findings(&run, true);
    for check in &mut findings.checks {
        (check.name, check.summary, check.remedy) = (bad(), bad(), Some(bad()));
        check.evidence =
            vec![Evidence { text: bad(), file: Some("javascript:alert(1)".into()), at: Some(bad()) }];
    }
    run.write("findings.json", &findings).unwrap();
    let violation =
        Violation { table: bad(), stage: Some(bad()), expected: Some(json!(HOSTILE)), ..violation(1) };
    std::fs::write(run.path("violations.jsonl"), serde_json::to_string(&violation).unwrap()).unwrap();
    run
}

#[test]
fn hostile_text_comes_out_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let run = hostile(&dir.path().join("run"));
    let html = html(&run);
    let page = well_formed_but_for_ids(&html);
    assert!(!html.contains("<script") && !html.contains('\u{202e}') && !html.contains('\u{1b}'));
    let text = page.text();
    assert!(text.contains("</style><script>alert(1)</script>\"'`|*_[x](javascript:y) {{ 1 }} {% if %} ⟨U+202E⟩gnp⟨U+0000⟩⟨U+001B⟩[31m 🙂"));
    let markdown = outside_fences(&markdown(&run));
    assert!(!markdown.contains("<script") && !markdown.contains(" @you") && !markdown.contains("\u{202e}"));
    let junit = std::fs::read_to_string(run.path("junit.xml")).unwrap();
    assert!(quick_junit::Report::deserialize_from_str(&junit).is_ok());
}

/// Markdown without its code blocks, in which nothing is markup.
fn outside_fences(markdown: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for line in markdown.lines() {
        let fence = line.trim_start().starts_with("```");
        assert!(!fence || ["```", "```sh", "```diff"].contains(&line), "{line}");
        inside ^= fence;
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
    }
    assert!(!inside);
    out
}

/// Ten checks of one name are ten elements of one id: nothing that a real run has.
fn well_formed_but_for_ids(html: &str) -> Page {
    let page = Page::parse(html);
    assert_eq!(page.errors, Vec::<String>::new());
    assert!(
        page.all("a").filter_map(|a| a.attribute("href")).all(|h| h.starts_with("./") || h.starts_with('#'))
    );
    page
}

#[test]
fn a_huge_run_gives_a_small_report() {
    let dir = tempfile::tempdir().unwrap();
    let plan = support::Plan { transactions: 20_000, ..support::Plan::default() };
    let run = support::story::rehearse(&plan).write(&dir.path().join("run"));
    decide(&run, true, (0..100_000).map(violation));
    assert!(artifacts::ledger::Reader::open(&run.ledger()).unwrap().count() > 100_000);
    let text = well_formed(&html(&run)).text();
    assert!(text.contains("100,000 violations; all are in violations.jsonl."));
    assert!(markdown(&run).chars().count() <= report::markdown::MAX_CHARS);
}

#[test]
fn huge_values_give_a_small_report() {
    let dir = tempfile::tempdir().unwrap();
    let mut rehearsal = support::story::rehearse(&support::Plan::default());
    let huge = "\"\u{202e}".repeat(5_000);
    for snapshot in rehearsal.snapshots.values_mut() {
        let name = snapshot.name.clone();
        let values = || (0..300).map(|i| (format!("{i}{huge}"), format!("{name}{huge}")));
        let json = || values().map(|(k, v)| (k, json!(v))).collect::<serde_json::Map<_, _>>();
        snapshot.settings.extend(values());
        snapshot.replica_identity.extend(values());
        snapshot.roles.extend(values());
        snapshot.slot = Some(json());
        snapshot.publication = Some(json().into());
        snapshot.unobserved.extend(values().map(|(k, v)| (format!("/topics/{k}"), v)));
        snapshot.connector.as_mut().into_iter().for_each(|c| c.config.extend(values()));
    }
    let last = rehearsal.events.last().unwrap().clone();
    for i in 0..2_000 {
        let out = Some("é".repeat(90));
        let kind = EventKind::Command { paste: huge.clone(), exit: Some(1), ms: 1, out };
        rehearsal.events.push(Event { step: Some(format!("step {}{huge}", i / 10)), kind, ..last.clone() });
    }
    rehearsal.seal = false;
    let run = rehearsal.write(&dir.path().join("run"));
    let long = Violation {
        table: huge.clone(),
        stage: Some(huge.clone()),
        expected: Some(json!(huge)),
        ..violation(1)
    };
    decide(&run, true, std::iter::repeat_n(long, 200));
    let mut findings = findings(&run, true);
    for check in &mut findings.checks {
        let evidence = Evidence { text: huge.clone(), file: Some("é".repeat(90)), at: Some(huge.clone()) };
        (check.summary, check.remedy) = (huge.clone(), Some(huge.clone()));
        check.evidence = vec![evidence; 100];
    }
    run.write("findings.json", &findings).unwrap();
    let html = html(&run);
    well_formed(&html);
    assert!(html.len() > 50_000, "something is left: {} bytes", html.len());
    assert!(markdown(&run).chars().count() <= report::markdown::MAX_CHARS);
}
