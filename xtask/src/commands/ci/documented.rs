//! Each command in the documents was typed by an end-to-end test, which writes down what it types.

use std::collections::BTreeSet;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};

use crate::flags::Cli;
use crate::tidy;

/// Names the file that the tests write to, a command a line.
pub(super) const TYPED: &str = "PG_CDC_TYPED";
/// Run by `ci` itself.
const OURS: [&str; 3] = ["bench", "ci", "tidy"];
/// What a test may choose as it likes: how much is done, where, and in which form it is told.
const FREE: [&str; 11] =
    ["name", "run", "out", "changes", "events", "seed", "rate", "clients", "keep_up", "yes", "json"];

/// The commands of the documents, with their places, that nobody has typed.
pub(super) fn untyped(root: &Path, typed: &str) -> anyhow::Result<Vec<String>> {
    let typed: BTreeSet<Form> = typed.lines().filter_map(form).collect();
    let known = |command: &str| match form(command) {
        Some(form) => typed.contains(&form) || OURS.contains(&form.0[0].as_str()),
        // `--help`, and what `tidy` complains about.
        None => true,
    };
    let mut commands = tidy::documented(root)?;
    commands.retain(|(_, command)| !known(command.trim_start_matches(tidy::COMMAND)));
    Ok(commands.into_iter().map(|(place, command)| format!("{place}: {command}")).collect())
}

/// A command with its subcommands, and what was given to it apart from defaults.
type Form = (Vec<String>, BTreeSet<String>);

fn form(words: &str) -> Option<Form> {
    let command = Cli::command();
    let program = std::iter::once(tidy::COMMAND);
    let matches = command.clone().try_get_matches_from(program.chain(words.split_whitespace())).ok()?;
    let (mut command, mut matches) = (&command, &matches);
    let (mut path, mut given) = (Vec::new(), BTreeSet::new());
    while let Some((name, below)) = matches.subcommand() {
        (command, matches) = (command.find_subcommand(name)?, below);
        path.push(name.to_owned());
        given.extend(command.get_arguments().filter_map(|a| argument(matches, a.get_id().as_str())));
    }
    Some((path, given))
}

/// `id value`, unless that is the default or of no matter.
fn argument(matches: &ArgMatches, id: &str) -> Option<String> {
    if FREE.contains(&id) || matches.value_source(id) != Some(ValueSource::CommandLine) {
        return None;
    }
    let text = matches.get_raw(id)?.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",");
    let default = matches!((id, &*text), ("option", "b") | ("lsn_case", "ahead") | ("stack", "native"));
    (!default).then(|| format!("{id} {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_by_what_it_does() {
        let same = |a: &str, b: &str| form(a).unwrap() == form(b).unwrap();
        assert!(same("upgrade --option b --changes 400 --name x", "upgrade"));
        assert!(same("logs connect -f", "logs --follow connect"));
        assert!(same("upgrade --without fence,drain", "upgrade --without fence --without drain"));
        assert!(!same("upgrade --option a", "upgrade"));
        assert!(!same("logs connect", "logs kafka"));
        assert!(!same("slots list", "replication"));
        assert_eq!(form("upgrade --nosuch"), None);
    }

    #[test]
    fn what_nobody_typed_is_named_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let text = "```sh\ncargo xtask up\ncargo xtask down --volumes\n```\n`cargo xtask ci`";
        std::fs::write(dir.path().join("README.md"), text).unwrap();
        let untyped = untyped(dir.path(), "up --changes 0 --name test\ndown --name test\n").unwrap();
        assert_eq!(untyped, ["README.md:3: cargo xtask down --volumes"]);
    }
}
