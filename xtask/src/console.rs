//! What people see: on stderr, coloured on a terminal, plain elsewhere. stdout is for data.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::OnceLock;

use serde::Serialize;

use crate::exit::Outcome;

/// <https://no-color.org>: set and not empty.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn colours() -> bool {
    static COLOURS: OnceLock<bool> = OnceLock::new();
    *COLOURS.get_or_init(|| !no_color() && std::io::stderr().is_terminal())
}

fn escape(code: &str, text: &str) -> String {
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

fn paint(code: &str, text: &str) -> String {
    if colours() { escape(code, text) } else { text.to_owned() }
}

/// A closed stderr is no reason to end a rehearsal; a spinner that turns is not written over.
fn line(text: &str) {
    stack::say(text);
}

/// Bold.
pub(crate) fn strong(text: &str) -> String {
    paint("1", text)
}

/// A plain line.
pub(crate) fn say(text: &str) {
    line(text);
}

/// A line of detail, indented.
pub(crate) fn detail(text: &str) {
    line(&paint("2", &format!("     {text}")));
}

/// A step that ended, with its mark: `ok`, `skipped`, `FAILED`.
pub(crate) fn step(mark: &str, no: u32, name: &str, text: &str) {
    let colour = match mark {
        "ok" => "32",
        "FAILED" => "31",
        _ => "33",
    };
    line(&format!("{} {no:02} {} {text}", paint(colour, &format!("{mark:>7}")), strong(name)));
}

/// Something to know about.
pub(crate) fn warn(text: &str) {
    line(&format!("{} {text}", paint("33", "warning:")));
}

/// Why the command failed.
pub(crate) fn error(text: &str) {
    line(&format!("{} {text}", paint("31", "error:")));
}

/// One line of data.
pub(crate) fn data(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// One line of data among many; breaks when nobody reads any more (`| head`).
pub(crate) fn stream(text: &str) -> ControlFlow<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// Data for programs.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<Outcome> {
    data(&serde_json::to_string_pretty(value)?);
    Ok(Outcome::Done)
}

/// Data for people: columns as wide as needed. A heading with `>` in front is over numbers, which
/// are aligned to the right.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let mut lines = aligned(headings, rows).into_iter();
    let strong = !no_color() && std::io::stdout().is_terminal();
    if let Some(heading) = lines.next() {
        data(&if strong { escape("1", &heading) } else { heading });
    }
    lines.for_each(|line| data(&line));
}

fn aligned(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let names: Vec<String> = headings.iter().map(|h| h.trim_start_matches('>').to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&names).chain(rows).collect();
    let width = |i: usize| all.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..headings.len()).map(|i| width(i).unwrap_or(0)).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).zip(headings).map(|((cell, &width), heading)| {
            if heading.starts_with('>') { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_aligned_to_the_right_and_no_line_ends_in_blanks() {
        let rows = [
            vec!["a".to_owned(), "7".to_owned(), "x".to_owned()],
            vec!["äöü".into(), "12".into(), String::new()],
        ];
        let lines = super::aligned(&["n", ">no", "what"], &rows);
        assert_eq!(lines, ["n    no  what", "a     7  x", "äöü  12"]);
    }
}
