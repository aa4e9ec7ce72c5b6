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
    fn a_cut_text_says_how_long_it_was() {
        assert_eq!(clip("ééé", 3), "ééé");
        assert_eq!(clip("éééé", 3), "ééé… (cut here, 4 characters in all)");
    }
}
