//! What people see: on stderr, coloured on a terminal, plain elsewhere. stdout is for data.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

fn colours() -> bool {
    static COLOURS: OnceLock<bool> = OnceLock::new();
    *COLOURS.get_or_init(|| std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal())
}

fn paint(code: &str, text: &str) -> String {
    if colours() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

fn line(text: &str) {
    // A closed stderr is no reason to end a rehearsal.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Bold.
pub(crate) fn strong(text: &str) -> String {
    paint("1", text)
}

/// A plain line.
pub(crate) fn say(text: &str) {
    line(text);
}

/// A line of detail, indented; what is too long for a screen is cut, the evidence has all of it.
pub(crate) fn detail(text: &str) {
    const LONGEST: usize = 300;
    let cut = text.chars().count() > LONGEST;
    let shown: String = text.chars().take(LONGEST).collect();
    line(&paint("2", &format!("     {shown}{}", if cut { " ..." } else { "" })));
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
