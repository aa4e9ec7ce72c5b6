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
        local COMP_WORDS=("cargo-xtask" "${words[@]:1}") COMP_CWORD=$((COMP_CWORD - 1))
        _cargo-xtask cargo-xtask "$2" "$3"
        return
    fi
    if declare -F _cargo >/dev/null; then
        _cargo "$@"
    elif [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W xtask -- "$2"))
    fi
}
# Loads the completions of cargo itself, where there are any, so that they are not lost.
if declare -F _completion_loader >/dev/null; then _completion_loader cargo; fi
complete -F _cargo_xtask_words -o bashdefault -o default cargo
"#;

/// Prints the script.
pub(crate) fn print(shell: Shell) -> Outcome {
    let mut out = Vec::new();
    match shell {
        Shell::Bash => {
            generate(shells::Bash, &mut Cli::command(), "cargo-xtask", &mut out);
            out.extend_from_slice(BASH.as_bytes());
        }
        // The completions of cargo itself call `_cargo-xtask` for `cargo xtask`.
        Shell::Zsh => generate(shells::Zsh, &mut Cli::command(), "cargo-xtask", &mut out),
        // Adds to what fish knows about cargo.
        Shell::Fish => {
            let mut cargo = clap::Command::new("cargo").subcommand(Cli::command().name("xtask"));
            cargo = cargo.disable_help_flag(true).disable_help_subcommand(true);
            generate(shells::Fish, &mut cargo, "cargo", &mut out);
        }
    }
    console::data(String::from_utf8_lossy(&out).trim_end());
    Outcome::Done
}
