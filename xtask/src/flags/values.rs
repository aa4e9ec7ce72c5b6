//! Values of flags, and what is said about bad ones.

use std::str::FromStr;

/// A number that cannot be negative.
pub(super) fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "use a whole number from 0 up".into())
}

/// An element of a list that may be written with blanks.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
pub(super) fn trimmed(text: &str) -> Result<String, String> {
    Ok(text.trim().to_owned())
}

/// The name of a stack, which is that of its folder.
pub(super) fn stack_name(name: &str) -> Result<String, String> {
    let fine = !name.is_empty()
        && name.len() <= 24
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.starts_with('-');
    if fine { Ok(name.into()) } else { Err("use 1 to 24 of a-z, 0-9 and -".into()) }
}
