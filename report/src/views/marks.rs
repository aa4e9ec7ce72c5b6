//! What changed within a value: parts that both sides share, and parts that only one has.

use std::ops::Range;

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Longer values are marked as a whole.
const MAX_CHARS: usize = 300;

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Part {
    pub(crate) text: String,
    /// Only this side has it.
    pub(crate) changed: bool,
}

/// Both sides in parts. Where little is shared, the whole value is marked: half-matching
/// fingerprints would say more than is true.
pub(crate) fn mark(before: &str, after: &str) -> (Vec<Part>, Vec<Part>) {
    let (old, new) = (tokens(before), tokens(after));
    let whole = |text: &str| vec![Part { text: text.to_owned(), changed: true }];
    if before.len() > MAX_CHARS || after.len() > MAX_CHARS {
        return (whole(before), whole(after));
    }
    let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
    let shared: usize = ops
        .iter()
        .filter(|op| matches!(op, DiffOp::Equal { .. }))
        .flat_map(|op| old.get(op.old_range()).unwrap_or_default())
        .filter(|token| token.chars().all(char::is_alphanumeric))
        .map(|token| token.len())
        .sum();
    if shared * 3 < before.len().max(after.len()) {
        return (whole(before), whole(after));
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for op in ops {
        let changed = !matches!(op, DiffOp::Equal { .. });
        push(&mut left, &old, op.old_range(), changed);
        push(&mut right, &new, op.new_range(), changed);
    }
    (left, right)
}

fn push(parts: &mut Vec<Part>, tokens: &[&str], range: Range<usize>, changed: bool) {
    let text = tokens.get(range).unwrap_or_default().concat();
    if !text.is_empty() {
        parts.push(Part { text, changed });
    }
}

/// Words, numbers, and every other character by itself.
fn tokens(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        if !c.is_alphanumeric() {
            out.extend(text.get(start..at).filter(|word| !word.is_empty()));
            out.extend(text.get(at..at + c.len_utf8()));
            start = at + c.len_utf8();
        }
    }
    out.extend(text.get(start..).filter(|word| !word.is_empty()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(parts: &[Part]) -> String {
        parts.iter().map(|p| if p.changed { format!("[{}]", p.text) } else { p.text.clone() }).collect()
    }

    #[test]
    fn only_what_differs_is_marked() {
        let (old, new) = mark("public.customers, public.orders", "public.customers, public.items");
        assert_eq!(show(&old), "public.customers, public.[orders]");
        assert_eq!(show(&new), "public.customers, public.[items]");
    }

    #[test]
    fn values_that_share_little_are_marked_whole() {
        let (old, new) = mark("0/37EFFC0", "0/1885148");
        assert_eq!((show(&old), show(&new)), ("[0/37EFFC0]".into(), "[0/1885148]".into()));
    }

    #[test]
    fn parts_add_up_to_the_value() {
        let (before, after) = ("é🙂 a-b", "é🙂 a+b c");
        let (old, new) = mark(before, after);
        let text = |parts: &[Part]| parts.iter().map(|p| p.text.as_str()).collect::<String>();
        assert_eq!((text(&old), text(&new)), (before.into(), after.into()));
    }
}
