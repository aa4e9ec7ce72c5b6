//! Numbers, durations and foreign text as a reader should see them.
//!
//! Whatever comes from the run directory is shown as text: control characters and marks that turn
//! the reading direction are spelled out (`⟨U+202E⟩`), the rest is escaped where it is written.

use std::io::{self, Write};

use artifacts::time::Time;

/// `10231` as `10,231`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 change`, `2 changes`.
pub(crate) fn count(n: u64, one: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {one}{plural}", number(n))
}

/// Milliseconds as `87 ms`, `1.2 s`, `2 min 03 s`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// Bytes as `512 B`, `1.5 KiB`, `3.0 GiB`.
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") }
}

/// `2026-11-22 21:15:00 UTC`
pub(crate) fn moment(t: Time) -> String {
    t.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// At most `max` characters, with the length of what was cut.
pub(crate) fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((at, _)) => {
            let total = number(text.chars().count() as u64);
            format!("{}… (cut here, {total} characters in all)", text.get(..at).unwrap_or_default())
        }
    }
}

/// The first line of a message in at most about `max` characters. What is in brackets goes first, it
/// is detail; then the middle: a message ends with what it is about as often as it begins with it.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim_end();
    if line.chars().count() <= max {
        return line.to_owned();
    }
    let plain = without_brackets(line);
    let chars: Vec<char> = plain.chars().collect();
    if chars.len() <= max {
        return plain;
    }
    let (head, tail) = (max * 2 / 3, max / 3);
    let part = |chars: &[char]| chars.iter().collect::<String>();
    let (head, tail) = (part(&chars[..head]), part(&chars[chars.len() - tail..]));
    format!("{} … {}", head.trim_end(), tail.trim_start())
}

/// Everything in square brackets becomes `[…]`.
fn without_brackets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '[' => {
                depth += 1;
                out.push_str(if depth == 1 { "[…" } else { "" });
            }
            ']' if depth > 0 => {
                depth -= 1;
                out.push_str(if depth == 0 { "]" } else { "" });
            }
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// The root cause in a Java stack trace: its last `Caused by`, else its first line, up to the end of
/// the first sentence.
pub(crate) fn root_cause(trace: &str) -> String {
    let caused = trace.lines().rev().find_map(|line| line.trim().strip_prefix("Caused by: "));
    let line = without_brackets(caused.or(trace.trim().lines().next()).unwrap_or_default());
    let end = line.find(". ").map_or(line.len(), |at| at + 1);
    shorten(line.get(..end).unwrap_or_default(), 400)
}

/// A name as an HTML id: lower-case letters, digits and hyphens.
pub(crate) fn slug(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().take(60).map(keep).collect()
}

/// A path of the run directory as a link that can only lead into it; none when it would not.
pub(crate) fn link(path: &str) -> Option<String> {
    let inside =
        path.len() <= 200 && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    inside.then(|| {
        let mut out = String::from("./");
        for byte in path.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    out.push(byte as char)
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    })
}

/// An argument as a shell reads it back.
pub(crate) fn quote(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/=".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', r"'\''"))
    }
}

/// A character that must not reach the reader as it is, spelled out.
fn spelled(c: char) -> Option<String> {
    let direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let invisible =
        matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    let control = c.is_control() && c != '\n' && c != '\t';
    (direction || invisible || control).then(|| format!("⟨U+{:04X}⟩", c as u32))
}

/// Foreign text without characters that hide or turn what follows.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match spelled(c) {
            Some(name) => out.push_str(&name),
            None => out.push(c),
        }
    }
    out
}

/// The escape function of every template.
pub(crate) fn escape_html(input: &str, out: &mut dyn Write) -> io::Result<()> {
    let text = visible(input);
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let entity: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'"' => b"&quot;",
            b'\'' => b"&#39;",
            _ => continue,
        };
        out.write_all(&text.as_bytes()[from..at])?;
        out.write_all(entity)?;
        from = at + 1;
    }
    out.write_all(&text.as_bytes()[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        let mut out = Vec::new();
        escape_html(text, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_grouped_and_durations_keep_their_unit() {
        assert_eq!([number(0), number(999), number(1_000), number(10_231)], ["0", "999", "1,000", "10,231"]);
        assert_eq!([duration(87), duration(1_250), duration(123_000)], ["87 ms", "1.2 s", "2 min 03 s"]);
        assert_eq!([bytes(512), bytes(1_536)], ["512 B", "1.5 KiB"]);
    }

    #[test]
    fn what_hides_or_turns_text_is_spelled_out() {
        assert_eq!(html("a\u{202e}b\u{0}c\u{1b}[1m"), "a⟨U+202E⟩b⟨U+0000⟩c⟨U+001B⟩[1m");
        assert_eq!(html("</b>&\"'🙂"), "&lt;/b&gt;&amp;&quot;&#39;🙂");
    }

    #[test]
    fn a_link_leads_into_the_run_directory_or_nowhere() {
        assert_eq!(link("steps/07-x/1 2.json").as_deref(), Some("./steps/07-x/1%202.json"));
        assert_eq!(link("javascript:alert(1)").as_deref(), Some("./javascript%3Aalert%281%29"));
        assert_eq!([link("../x"), link("/etc/passwd"), link("a//b"), link("")], [None, None, None, None]);
    }

    #[test]
    fn a_message_keeps_its_beginning_and_its_end() {
        let offset = "lsn=LSN{0/19C4E08}, tables=[a, b], ".repeat(30);
        let trace = format!(
            "org.apache.kafka.connect.errors.ConnectException: An exception occurred\n\tat a.B.c(B.java:1)\n\
             Caused by: io.debezium.DebeziumException: The connector is trying to read change stream starting at \
             PostgresOffsetContext [{offset}], but this is no longer available on the server. Reconfigure it.\n\
             \tat io.debezium.D.e(D.java:2)\n\t... 5 more\n"
        );
        let cause = "io.debezium.DebeziumException: The connector is trying to read change stream starting at \
                     PostgresOffsetContext […], but this is no longer available on the server.";
        assert_eq!(root_cause(&trace), cause);
        let line = trace.lines().nth(2).unwrap();
        assert_eq!(shorten(line, 300), format!("Caused by: {cause} Reconfigure it."));
        assert_eq!(shorten(&"a".repeat(50), 9), format!("{} … aaa", "a".repeat(6)));
        assert_eq!(shorten("short\nthe end of a log", 9), "short");
        assert_eq!([shorten("", 9), root_cause("")], ["", ""]);
        assert_eq!(shorten(&format!("]]{}[[", "é".repeat(9)), 4).chars().count(), 6);
    }

    #[test]
    fn a_cut_text_says_how_long_it_was() {
        assert_eq!(clip("ééé", 3), "ééé");
        assert_eq!(clip("éééé", 3), "ééé… (cut here, 4 characters in all)");
    }
}
