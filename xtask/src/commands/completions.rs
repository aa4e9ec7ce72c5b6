//! `cargo xtask completions`: a script for a shell, which completes what follows `cargo xtask`.

use clap::CommandFactory;
use clap_complete::{generate, shells};

use crate::console;
use crate::exit::Outcome;
use crate::flags::{Cli, Shell};

/// Hands the words behind `cargo` to our function; everything else to the one that was there.
const BASH: &str = r#"
_cargo_xtask_words() {
    if [[ ${COMP_WORDS[1]} == xtask && $COMP_CWORD -ge 2 ]]; then
        local words=("${COMP_WORDS[@]:1}")
        local COMP_WORDS=("${words[@]}") COMP_CWORD=$((COMP_CWORD - 1))
        _xtask xtask "$2" "$3"
        return
    fi
    if declare -F _cargo >/dev/null; then
        _cargo "$@"
    elif [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W xtask -- "$2"))
    fi
}
# Loads the completions of cargo itself, where there are any, so that they are not lost.
if declare -F _comp_load >/dev/null; then _comp_load cargo
elif declare -F _completion_loader >/dev/null; then _completion_loader cargo; fi
complete -F _cargo_xtask_words -o bashdefault -o default cargo
"#;

/// Our command line, by a name without a blank: the generator makes the names of functions of it.
fn named(name: &'static str) -> clap::Command {
    Cli::command().name(name).bin_name(name)
}

/// Prints the script.
pub(crate) fn print(shell: Shell) -> Outcome {
    let mut out = Vec::new();
    match shell {
        Shell::Bash => {
            // A dash in the name is more than the generator can do for bash.
            generate(shells::Bash, &mut named("xtask"), "xtask", &mut out);
            out.extend_from_slice(BASH.as_bytes());
        }
        // Those of cargo call `_cargo-xtask` for `cargo xtask`.
        Shell::Zsh => generate(shells::Zsh, &mut named("cargo-xtask"), "cargo-xtask", &mut out),
        // Adds to what fish knows about cargo.
        Shell::Fish => {
            let mut cargo = clap::Command::new("cargo").subcommand(named("xtask"));
            cargo = cargo.disable_help_flag(true).disable_help_subcommand(true);
            generate(shells::Fish, &mut cargo, "cargo", &mut out);
        }
    }
    console::data(String::from_utf8_lossy(&out).trim_end());
    Outcome::Done
}
