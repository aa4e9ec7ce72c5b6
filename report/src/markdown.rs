//! `report.md`: the report for a comment in a code review.
//!
//! Every section has a share of the [`MAX_CHARS`] characters; what does not fit is counted and the
//! file that has it is named. Foreign text is inert: no markup, no HTML, no mention of a user.

use crate::input::Input;
use crate::text::{clip, number, visible};
use crate::views::diff::Block;
use crate::views::marks::Part;
use crate::views::{Limits, Page, verdict};

/// The most characters of `report.md`.
pub const MAX_CHARS: usize = 60_000;

/// The first line, by which a bot finds its own comment.
pub const MARKER: &str = "<!-- postgresql upgrade rehearsal -->";
const LIMITS: Limits = Limits { violations: 10, items: 0, steps: 60, rows: 60, chars: 160 };

/// The file's text.
pub(crate) fn markdown(input: &Input) -> String {
    let page = Page::new(input, LIMITS);
    let sections = [
        head(&page),
        numbers(&page),
        done(&page),
        checks(&page),
        violations(&page),
        diff(&page),
        steps(&page),
        again(&page),
    ];
    clip(&bounded(sections.into_iter().filter(|s| !s.is_empty()).collect()), MAX_CHARS - 100)
}

/// All sections, or as many as fit: the longest is left out first, the verdict never.
fn bounded(mut sections: Vec<String>) -> String {
    let length = |text: &String| text.chars().count();
    while sections.iter().map(length).sum::<usize>() + sections.len() > MAX_CHARS - 100 {
        let Some(longest) = sections.iter_mut().skip(1).max_by_key(|text| length(text)) else { break };
        let title = longest.lines().next().filter(|line| line.starts_with('#')).unwrap_or_default();
        let short = format!("{title}\n\nToo long for a comment: see report.html.\n");
        if length(&short) >= length(longest) {
            break;
        }
        *longest = short;
    }
    sections.join("\n")
}

fn head(page: &Page) -> String {
    let v = &page.verdict;
    let icon = match v.class {
        "held" => "✅",
        "broken" => "❌",
        _ => "❔",
    };
    let mut out = format!("{MARKER}\n## {icon} {}: {}\n\n", v.word, prose(&v.sentence));
    out.push_str(&format!("{}. {}\n", prose(&page.setup.headline), v.meaning));
    if page.setup.as_written {
        out.push_str("\n**The written procedure was run literally, without corrections.**\n");
    }
    for s in &page.setup.left_out {
        let purpose = if s.purpose.is_empty() { String::new() } else { format!(" With it, {}.", s.purpose) };
        out.push_str(&format!("\n> ⚠️ Left out on purpose: **{}**.{purpose}\n", prose(&s.name)));
    }
    for alert in &v.alerts {
        out.push_str(&format!("\n> ⚠️ {}\n", prose(alert)));
    }
    out
}

fn numbers(page: &Page) -> String {
    let rows = &page.verdict.tallies;
    if rows.is_empty() {
        return String::new();
    }
    let lines = rows.iter().map(|row| {
        let cell = |c: &verdict::Cell| if c.bad { format!("**{}**", c.text) } else { c.text.clone() };
        line(std::iter::once(prose(&row.name)).chain(row.cells.iter().map(cell)))
    });
    let header = line(std::iter::once("changes".into()).chain(verdict::COLUMNS.map(str::to_owned)));
    let rule = format!("|---|{}", "---:|".repeat(verdict::COLUMNS.len()));
    format!("{header}{rule}\n{}", fit(lines, 4_000, "findings.json"))
}

fn done(page: &Page) -> String {
    let lines = page.setup.pairs.iter().map(|p| line([prose(&p.name), prose(&p.value)]));
    let versions = page.setup.versions.iter().map(|p| line([prose(&p.name), prose(&p.value)]));
    let builds =
        page.setup.builds.iter().map(|p| line([format!("{}, from", prose(&p.name)), prose(&p.value)]));
    let kept: Vec<String> = page.setup.kept.iter().map(|s| prose(&s.name)).collect();
    let safeguards = line(["safeguards kept".into(), kept.join(", ")]);
    let all = lines.chain(std::iter::once(safeguards)).chain(versions).chain(builds);
    format!("### What was done\n\n| | |\n|---|---|\n{}", fit(all, 7_000, "run.json"))
}

fn checks(page: &Page) -> String {
    if let Some(why) = &page.checks.unobserved {
        return format!("### Checks\n\nNot observed: {}\n", prose(why));
    }
    let lines = page.checks.checks.iter().map(|c| {
        let word = if c.verdict == "held" { c.verdict.clone() } else { format!("**{}**", c.verdict) };
        let remedy = c.remedy.as_ref().map_or(String::new(), |r| format!(" **What helps:** {}", prose(r)));
        line([word, prose(&c.name), c.compared.clone(), format!("{}{remedy}", prose(&c.summary))])
    });
    let header = "| verdict | check | compared | what was found |\n|---|---|---:|---|";
    format!("### Checks\n\n{header}\n{}", fit(lines, 14_000, "findings.json"))
}

fn violations(page: &Page) -> String {
    let v = &page.violations;
    if let Some(why) = &v.unobserved {
        return format!("### Violations\n\nNot observed: {}\n", prose(why));
    }
    let mut out = format!("### Violations\n\n{}\n", v.headline);
    if v.kinds.is_empty() {
        return out;
    }
    for kind in &v.kinds {
        out.push_str(&format!("- {} {}\n", kind.count, prose(&kind.name)));
    }
    out.push_str("\nThe smallest witnesses of each kind:\n\n");
    out.push_str("| kind | change of row | change id | transaction | LSN | in Kafka | expected | actual |\n");
    out.push_str("|---|---|---:|---|---|---|---|---|\n");
    let rows = v.kinds.iter().flat_map(|kind| kind.rows.iter().map(move |row| (kind, row)));
    let lines = rows.map(|(kind, r)| {
        let kafka = if r.kafka.is_empty() { "–".to_owned() } else { code(&r.kafka.join(" ")) };
        let [kind, change, transaction, lsn] =
            [&kind.name, &r.change, &r.transaction, &r.lsn].map(|text| prose(text));
        line([kind, code(&r.row), change, transaction, lsn, kafka, code(&r.expected), code(&r.actual)])
    });
    out.push_str(&fit(lines, 10_000, "violations.jsonl"));
    out
}

fn diff(page: &Page) -> String {
    let mut out = format!("### Before and after\n\n{}\n", prose(&page.positions.judgement));
    for (pair, budget) in page.diff.pairs.iter().zip([11_000, 4_000]) {
        let lines = pair.blocks.iter().flat_map(block);
        let body = fit(lines, budget, "snapshots/");
        out.push_str(&format!(
            "\n{} ({}; {}). {}\n",
            pair.title,
            prose(&pair.left),
            prose(&pair.right),
            why_or(&pair.unobserved, &pair.summary)
        ));
        if !body.trim().is_empty() {
            out.push_str(&format!("\n```diff\n{body}```\n"));
        }
    }
    out
}

fn why_or(unobserved: &[String], summary: &str) -> String {
    match unobserved.first() {
        Some(why) => format!("Not observed: {}.", prose(why)),
        None => summary.to_owned(),
    }
}

/// Lines of a code block; none can end it, because none begins with a backtick.
fn block(block: &Block) -> Vec<String> {
    let text = |parts: &[Part]| parts.iter().map(|p| p.text.as_str()).collect::<String>();
    let side = |sign: &str, name: &str, parts: &[Part], note: &str| {
        let note = if note.is_empty() { String::new() } else { format!("   # {note}") };
        (!parts.is_empty()).then(|| format!("{sign} {name} = {}{note}\n", one_line(&text(parts))))
    };
    let title = format!("@@ {} @@\n", block.title);
    let why = block.unobserved.iter().map(|why| format!("  not observed: {}\n", one_line(why)));
    let rows = block.rows.iter().flat_map(|r| {
        let name = one_line(&r.name);
        [side("-", &name, &r.before, ""), side("+", &name, &r.after, r.note)]
    });
    std::iter::once(title).chain(why).chain(rows.flatten()).collect()
}

fn steps(page: &Page) -> String {
    let lines = page.steps.steps.iter().map(|s| {
        let result = if matches!(s.result, "ok") { s.result.to_owned() } else { format!("**{}**", s.result) };
        line([s.no.clone(), prose(&s.name), result, s.duration.clone(), s.waited.clone()])
    });
    let table = fit(lines, 6_000, "events.jsonl");
    format!(
        "### Steps\n\n<details><summary>every step with its duration</summary>\n\n{}\n\n| | step | result | took | of which waiting |\n|---|---|---|---:|---:|\n{table}\n</details>\n",
        prose(&page.steps.total)
    )
}

fn again(page: &Page) -> String {
    let mut out = String::from("### Check it again, do it again\n\n```sh\n");
    out.push_str(&format!("{}\n", one_line(&clip(&page.reproduce.again, 1_000))));
    for command in &page.reproduce.recheck {
        out.push_str(&format!("{}   # {}\n", one_line(&clip(&command.text, 400)), command.does));
    }
    out.push_str(&format!("```\n\n{}\n", prose(&page.reproduce.seal)));
    out
}

/// A row of a table.
fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Lines up to a number of characters, then how many are left and where they are.
fn fit(lines: impl Iterator<Item = String>, budget: usize, file: &str) -> String {
    let mut out = String::new();
    let (mut chars, mut left) = (0, 0);
    for line in lines {
        chars += line.chars().count();
        if chars <= budget && left == 0 {
            out.push_str(&line);
        } else {
            left += 1;
        }
    }
    if left > 0 {
        out.push_str(&format!("\n… {} more lines: see {file}\n", number(left)));
    }
    out
}

fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

/// Foreign text in a sentence: nothing in it is markup, a link, a mention or a reference.
fn prose(text: &str) -> String {
    let text = one_line(text);
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let inside_word = before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' => out.push_str("&#124;"),
            '@' | '#' => out.push_str(&format!("<span>{c}</span>")),
            '_' if inside_word => out.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '!' => out.extend(['\\', c]),
            other => out.push(other),
        }
        before = c;
    }
    out.replace("://", "&#58;//")
}

/// Foreign text as code: in backticks where that is safe, else spelled in entities.
fn code(text: &str) -> String {
    let text = one_line(text);
    let plain = |c: char| !matches!(c, '`' | '|' | '\\');
    if text == "–" {
        text
    } else if !text.trim().is_empty() && text.chars().all(plain) {
        format!("`{text}`")
    } else {
        let entity = |c: char| {
            if c.is_alphanumeric() || c == ' ' || !c.is_ascii() {
                c.to_string()
            } else {
                format!("&#{};", c as u32)
            }
        };
        format!("<code>{}</code>", text.chars().map(entity).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_inert() {
        assert_eq!(
            prose("<b>|`x`*@you* http://h"),
            "&lt;b&gt;&#124;\\`x\\`\\*<span>@</span>you\\* http&#58;//h"
        );
        assert_eq!(code("cdc.public.orders/0@12"), "`cdc.public.orders/0@12`");
        assert_eq!(prose("lsn_proc _x_ #1"), "lsn_proc \\_x\\_ <span>#</span>1");
        assert_eq!(code(r#"{"a":"<b>"}"#), r#"`{"a":"<b>"}`"#);
        assert_eq!(code("a`|b"), "<code>a&#96;&#124;b</code>");
        assert_eq!(code("–"), "–");
    }

    #[test]
    fn the_longest_section_goes_first_and_the_verdict_never() {
        let section = |title: &str, chars: usize| format!("### {title}\n{}\n", "é".repeat(chars));
        let all = vec![section("verdict", 30_000), section("a", 20_000), section("b", 25_000)];
        let text = bounded(all.clone());
        assert!(text.starts_with(&all[0]) && text.contains(&all[1]), "{}", text.len());
        assert!(text.ends_with("### b\n\nToo long for a comment: see report.html.\n"));
        assert_eq!(bounded(all[..2].to_vec()), all[..2].join("\n"));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines = || (0..10).map(|i| format!("line {i}\n"));
        assert_eq!(fit(lines(), 14, "x"), "line 0\nline 1\n\n… 8 more lines: see x\n");
        assert!(!fit(lines(), 70, "x").contains("more"));
    }
}
