//! `idunno completions`: what a shell needs to complete commands, flags, names of scenarios and keys.

use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Command, ValueEnum};
use clap_complete::Shell;

use super::{Exit, screen};
use crate::scenario::{keys, shipped};

/// What the help shows.
pub(super) const EXAMPLES: &str = "\
Examples:
  idunno completions bash > ~/.local/share/bash-completion/completions/idunno
      From the next shell on, for bash with the package bash-completion.
  idunno completions zsh > ~/.zfunc/_idunno
      For zsh, when ~/.zshrc has \"fpath+=~/.zfunc\" before \"compinit\".
  idunno completions fish > ~/.config/fish/completions/idunno.fish
      For fish.";

/// What `idunno completions` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Completions {
    /// The shell for which to print it.
    #[arg(value_enum, value_name = "SHELL")]
    shell: For,
}

/// The shells that can.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum For {
    /// The shell of most Linux distributions.
    Bash,
    /// The shell of macOS.
    Zsh,
    /// fish, the friendly interactive shell.
    Fish,
    /// The Elvish shell.
    Elvish,
    /// PowerShell, on Windows and elsewhere.
    #[value(name = "powershell")]
    PowerShell,
}

/// Does what `idunno completions` is told; `line` is the whole command line.
pub(super) fn run(completions: &Completions, line: Command) -> Exit {
    let script = script(completions.shell, line);
    screen::say(&script)
}

fn script(shell: For, line: Command) -> String {
    let shell = match shell {
        For::Bash => Shell::Bash,
        For::Zsh => Shell::Zsh,
        For::Fish => Shell::Fish,
        For::Elvish => Shell::Elvish,
        For::PowerShell => Shell::PowerShell,
    };
    let (mut bytes, mut line) = (Vec::new(), with_names(line));
    clap_complete::generate(shell, &mut line, "idunno", &mut bytes);
    let script = String::from_utf8(bytes).expect("completions are text");
    match shell {
        Shell::Zsh => with_files(&script),
        Shell::Fish => with_words(script, &line),
        _ => script,
    }
}

fn names() -> Vec<&'static str> {
    shipped().iter().map(|(name, _)| *name).collect()
}

/// The command line with the names of shipped scenarios and the keys as values that a shell may offer. It is for shells
/// alone: parsed, it would refuse scenarios in files.
fn with_names(line: Command) -> Command {
    // Those of lists and models are for the user to fill in.
    let plain = keys().iter().filter(|key| !key.path.split('.').any(|part| part == "N" || part == "NAME"));
    let keys: Vec<&'static str> = plain.map(|key| key.path).collect();
    named(line, &names(), &keys)
}

fn named(command: Command, names: &[&'static str], keys: &[&'static str]) -> Command {
    let command = command.mut_args(|argument| match argument.get_id().as_str() {
        "scenario" | "scenarios" => argument.value_parser(PossibleValuesParser::new(names)),
        "set" => argument.value_parser(PossibleValuesParser::new(keys)),
        _ => argument,
    });
    command.mut_subcommands(|inner| named(inner, names, keys))
}

/// zsh offers files only where it is told to, and a scenario may be one.
fn with_files(script: &str) -> String {
    let names = names().join(" ");
    script.replace(
        &format!(":({names})'"),
        &format!(": _alternative \"scenarios\\:shipped scenario\\:({names})\" \"files\\:file\\:_files\"'"),
    )
}

/// The generator for fish leaves out what stands without a flag.
fn with_words(mut script: String, line: &Command) -> String {
    for command in line.get_subcommands() {
        let mut add = |scope: &str, argument: &Arg| {
            let values: Vec<String> =
                argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
            if argument.is_positional() && !values.is_empty() {
                let _ = writeln!(script, "complete -c idunno -n \"{scope}\" -a \"{}\"", values.join(" "));
            }
        };
        let scope = format!("__fish_idunno_using_subcommand {}", command.get_name());
        command.get_arguments().for_each(|argument| add(&scope, argument));
        for inner in command.get_subcommands() {
            let scope = format!("{scope}; and __fish_seen_subcommand_from {}", inner.get_name());
            inner.get_arguments().for_each(|argument| add(&scope, argument));
        }
    }
    script
}
