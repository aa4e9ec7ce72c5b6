//! The string literals of a Rust source file.

/// Line number (from 1) and text of each literal, escapes resolved. Comments and characters are
/// passed over.
pub(super) fn literals(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(c) = rest.chars().next() {
        let (taken, literal) = token(rest, c);
        if let Some(text) = literal {
            found.push((line, text));
        }
        line += rest[..taken].matches('\n').count();
        rest = &rest[taken..];
    }
    found
}

/// Length of what the source begins with, and its text if that is a literal.
fn token(rest: &str, c: char) -> (usize, Option<String>) {
    let until = |end: &str| rest[2..].find(end).map_or(rest.len(), |at| at + 2);
    match c {
        '/' if rest.starts_with("//") => (until("\n"), None),
        '/' if rest.starts_with("/*") => ((until("*/") + 2).min(rest.len()), None),
        '"' => quoted(rest),
        'r' => raw(rest).unwrap_or((1, None)),
        '\'' => (character(rest), None),
        // The rest of a name: an `r` in it begins nothing.
        c if c.is_alphanumeric() || c == '_' => {
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            // `b"..."` and `br"..."`
            if rest.starts_with("b\"") || rest.starts_with("br") && raw(&rest[1..]).is_some() {
                (1, None)
            } else {
                (name, None)
            }
        }
        c => (c.len_utf8(), None),
    }
}

fn quoted(rest: &str) -> (usize, Option<String>) {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (at + 1, Some(text)),
            '\\' => match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                // A line that goes on: its indentation does not count.
                Some('\n') => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                Some(other) => text.push(other),
                None => {}
            },
            c => text.push(c),
        }
    }
    (rest.len(), Some(text))
}

/// `r"..."`, `r#"..."#`
fn raw(rest: &str) -> Option<(usize, Option<String>)> {
    let hashes = rest[1..].find(|c| c != '#')?;
    let inner = rest[1 + hashes..].strip_prefix('"')?;
    let end = inner.find(&format!("\"{}", "#".repeat(hashes))).unwrap_or(inner.len());
    Some(((end + 3 + 2 * hashes).min(rest.len()), Some(inner[..end].to_owned())))
}

/// `'"'` and `'\''` are characters; `'a` is a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next().unwrap_or_default();
    if first == '\\' {
        let end = rest[3.min(rest.len())..].find('\'');
        return end.map_or(1, |at| at + 4);
    }
    match chars.next() {
        Some((at, '\'')) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn literals_are_found_and_nothing_else() {
        let source = r##"// "no"
/* "no" */ fn f<'a>(x: &'a str) -> char { '"' }
let a = "one \"two\" \
         three"; let b = '\''; var("four");
let c = r#"five "six""#; let r = b"seven"; let e = br"eight"; let f = "";"##;
        let found = super::literals(source);
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["one \"two\" three", "four", "five \"six\"", "seven", "eight", ""]);
        assert_eq!(found[1].0, 4);
    }
}
