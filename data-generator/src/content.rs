//! The text in the rows: plain for the most part, and now and then what breaks careless readers.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Text that must come out everywhere as it went in.
pub(crate) const NASTY: [&str; 14] = [
    "<script>alert('x')</script>",
    "O'Reilly'; DROP TABLE orders; --",
    r#"back\slash \n \\ "quoted" $1 $$ %s"#,
    "\u{1f418}\u{1f525} \u{1f469}\u{200d}\u{1f4bb}",
    "\u{202e}right to left\u{202c} \u{2067}\u{5e9}\u{5dc}\u{5d5}\u{5dd}\u{2069}",
    "line one\nline two\r\n\ttab",
    "  blanks around  ",
    "NULL",
    "",
    "&amp; &lt;b&gt; </td></table>",
    "\u{dc}n\u{ef}c\u{f6}d\u{e9} \u{395}\u{3bb}\u{3bb} \u{6f22}\u{5b57}",
    r#"{"json": [1, 2], "e": "ok"}"#,
    "comma, semicolon; | pipe ` backtick",
    "e\u{301} is not \u{e9}",
];

const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.";
const STATUS: [&str; 5] = ["new", "paid", "packed", "shipped", "returned"];

/// One of [`NASTY`] in a quarter of all cases, else a plain phrase.
pub(crate) fn phrase(rng: &mut ChaCha8Rng) -> String {
    if rng.random_ratio(1, 4) {
        NASTY[rng.random_range(0..NASTY.len())].to_owned()
    } else {
        format!("phrase {}", rng.random_range(0..1_000_000))
    }
}

/// An email address.
pub(crate) fn email(rng: &mut ChaCha8Rng) -> String {
    format!("user{}@example.test", rng.random_range(0..1_000_000_000))
}

/// The state of an order.
pub(crate) fn status(rng: &mut ChaCha8Rng) -> String {
    STATUS[rng.random_range(0..STATUS.len())].to_owned()
}

/// A `numeric(12,2)`, sometimes negative.
pub(crate) fn amount(rng: &mut ChaCha8Rng) -> String {
    let cents: i64 = rng.random_range(-99_999..100_000_000);
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// The wide column: `size` characters that do not compress well; null in one of 16 cases.
pub(crate) fn wide(rng: &mut ChaCha8Rng, size: u32) -> Option<String> {
    if rng.random_ratio(1, 16) {
        return None;
    }
    let size = size as usize;
    let mut text: String = phrase(rng).chars().take(size).collect();
    let mut left = size - text.chars().count();
    while left > 0 {
        let word: [u8; 8] = rng.random();
        let n = left.min(word.len());
        text.extend(word[..n].iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])));
        left -= n;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_wide_column_has_the_size_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for size in [0, 1, 7, 200] {
            let text = std::iter::from_fn(|| Some(wide(&mut rng, size))).flatten().next().unwrap();
            assert_eq!(text.chars().count(), size as usize);
        }
    }

    #[test]
    fn no_text_holds_what_the_canonical_form_uses() {
        assert!(NASTY.iter().all(|text| !text.contains(['\u{1f}', '\0']) && *text != "\\N"));
    }
}
