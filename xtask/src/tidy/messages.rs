//! Commands that messages of the program name exist: people type them when something has failed.

use std::path::Path;

use clap::{CommandFactory, Parser};

use super::literals::literals;
use super::readme::COMMAND;
use super::{Finding, files, finding, relative};
use crate::flags::Cli;

pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in files(root, &["rs"]) {
        for (n, text) in literals(&std::fs::read_to_string(&path)?) {
            for wrong in commands(&text).filter_map(|words| wrong(&words)) {
                let place = format!("{}:{n}", relative(root, &path));
                findings.push(finding(place, wrong, "name a command and flags that exist"));
            }
        }
    }
    Ok(findings)
}

/// The words behind each `cargo xtask` of a text, as far as a command can reach: to a line's end, a
/// bracket or the punctuation of a sentence. A placeholder stands for any value.
fn commands(text: &str) -> impl Iterator<Item = Vec<String>> {
    text.split(COMMAND).skip(1).filter(|after| after.starts_with(' ')).map(|after| {
        let after = after.split(['\n', '`', '(', ')', ';', '|', '#']).next().unwrap_or_default();
        let mut words = Vec::new();
        for word in after.split_whitespace() {
            let bare = word.trim_end_matches([',', ':', '.', '\'', '"']);
            words.push(without_placeholders(bare));
            if bare.len() < word.len() {
                break;
            }
        }
        words
    })
}

/// `{name}` is any value; at the end of a word it is more options, or nothing.
fn without_placeholders(word: &str) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, inside)) = rest.split_once('{') {
        text.push_str(before);
        rest = inside.split_once('}').map_or("", |(_, after)| after);
        if text.is_empty() || text.ends_with('=') {
            text.push_str(ANY);
        }
    }
    text + rest
}

/// A placeholder, and what people put in capitals.
const ANY: &str = "ANY";

fn is_any(word: &str) -> bool {
    let value = word.rsplit('=').next().unwrap_or(word);
    value.len() > 1 && value.chars().all(|c| c.is_ascii_uppercase()) || word.starts_with(['<', '['])
}

/// What is wrong with a command; the prose behind it is none of it.
fn wrong(words: &[String]) -> Option<String> {
    if words.first().is_none_or(|name| is_any(name)) {
        return None;
    }
    let fits = |words: &[String]| {
        let typed = || std::iter::once("xtask").chain(words.iter().map(String::as_str));
        let error = if words.iter().any(|word| is_any(word)) {
            relaxed(Cli::command()).try_get_matches_from(typed()).err()
        } else {
            Cli::try_parse_from(typed()).err()
        };
        error.filter(clap::Error::use_stderr)
    };
    let longest = (1..=words.len()).rev().find(|n| fits(&words[..*n]).is_none());
    let command = |n: usize| format!("`{COMMAND} {}`", words[..n].join(" "));
    match longest {
        None => {
            let why = fits(words).map(|e| e.to_string()).unwrap_or_default();
            Some(format!("{}: {}", command(words.len()), why.lines().next().unwrap_or_default()))
        }
        Some(n) if words.get(n).is_some_and(|next| next.starts_with('-') && next.len() > 2) => {
            Some(format!("{} has no {}", command(n), words[n]))
        }
        Some(_) => None,
    }
}

/// The same command line, where every value is allowed.
fn relaxed(command: clap::Command) -> clap::Command {
    let any = |arg: clap::Arg| {
        if arg.get_action().takes_values() { arg.value_parser(clap::value_parser!(String)) } else { arg }
    };
    command.mut_args(any).mut_subcommands(relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with the commands of a message that follow each `X`.
    fn told(message: &str) -> Vec<String> {
        let message = message.replace('X', COMMAND);
        commands(&message).filter_map(|words| wrong(&words)).collect()
    }

    #[test]
    fn commands_that_exist_pass_with_the_prose_behind_them() {
        for message in [
            "begin anew with: X up",
            "X status shows a failed task and X logs connect why; more",
            "stop it first (X stop-connector), then X rebase-offsets, X resume-connector.",
            "X verify --run {dir}",
            "X down{option}",
            "X {command} --flag",
            "X slots drop {slot} --server {role}",
            "X logs SERVICE",
            "one thing: X",
        ] {
            assert_eq!(told(message), [""; 0], "{message}");
        }
    }

    #[test]
    fn commands_flags_and_values_that_do_not_exist_are_told() {
        for message in [
            "X offsets-reset",
            "X down --volume now",
            "X logs conect",
            "X logs",
            "X upgrade --option z",
            "X {x}; X nix",
        ] {
            assert_eq!(told(message).len(), 1, "{message}");
        }
    }
}
