//! `rheo completions`: completions for a shell, on standard output.
//!
//! The scripts are those of `clap_complete`, with a hook for bash, zsh and fish that calls
//! `rheo complete-names` for the names of sweeps, trials and fleets.

use clap::builder::ValueHint;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::Shell;

use super::failure::Failure;
use super::names::NameKind;
use super::{Cli, format};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    Ok(format::print(script(args.shell))?)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut marked(Cli::command()), "rheo", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => {
            let (functions, registration) = split_before(&script, "\nif [[ \"${BASH_VERSINFO");
            let registration = registration.replace("-F _rheo ", "-F _rheo_or_names ");
            format!("{functions}{}{registration}", include_str!("completions/names.bash"))
        }
        Shell::Zsh => {
            let (header, functions) = split_before(&script, "\n\nautoload");
            // Nested functions see the words of their command only, and the options of every
            // command stand before it.
            let words = "_rheo() {\n    local -a rheo_words=(\"${(@Q)words[1,CURRENT]}\")";
            let functions = functions.replacen("_rheo() {", words, 1);
            let functions = functions.replace(":_users", ":_rheo_names");
            format!("{header}\n{}{functions}", include_str!("completions/names.zsh"))
        }
        Shell::Fish => {
            let functions = script.replace("(__fish_complete_users)", "(__rheo_names)");
            format!("{functions}{}", include_str!("completions/names.fish"))
        }
        _ => script,
    }
}

/// Splits `script` before the first `mark`; the second part is empty without one.
fn split_before<'s>(script: &'s str, mark: &str) -> (&'s str, &'s str) {
    script.split_at(script.find(mark).unwrap_or(script.len()))
}

/// Marks arguments that take names by the hint for users, which no argument of ours takes.
fn marked(command: Command) -> Command {
    let mark = |arg: Arg| match NameKind::of(&arg) {
        Some(_) => arg.value_hint(ValueHint::Username),
        None => arg,
    };
    command.mut_args(mark).mut_subcommands(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hooks_stand_in_the_scripts() {
        let bash = script(Shell::Bash);
        assert_eq!(bash.matches("complete -F _rheo_or_names").count(), 2);
        assert!(!bash.contains("-F _rheo "));
        let zsh = script(Shell::Zsh);
        assert!(zsh.starts_with("#compdef rheo\n"));
        assert_eq!(zsh.matches("local -a rheo_words=").count(), 1);
        assert!(zsh.matches(":_rheo_names").count() >= 15 && !zsh.contains("_users"));
        let fish = script(Shell::Fish);
        assert_eq!(fish.matches("(__rheo_names)").count(), 8, "options and the hook");
        assert!(!fish.contains("__fish_complete_users"));
    }
}
