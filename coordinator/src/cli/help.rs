//! Help texts: `-h` has one line for each argument of the command, `--help` the whole text and an
//! example. Options of every command are described once, in `rheo --help`.

use clap::{Arg, Command, CommandFactory as _};

use super::{Cli, env};

/// The longest description of an argument in `-h`, in characters.
const SHORT: usize = 58;

/// Options that every command takes.
const GLOBAL: [&str; 4] = ["server", "state", "output", "version"];

/// The last line of the `-h` of a command.
const MORE: &str = "Options of every command (--state, --server, --output): `rheo --help`";

/// Examples of commands, by the words of the command. The tests run each of them.
const EXAMPLES: [(&str, &str); 34] = [
    ("run", "rheo run sweep.yaml --workers 2"),
    ("preview", "rheo preview sweep.yaml --trials 3"),
    ("serve", "rheo serve --listen 127.0.0.1:7070"),
    ("submit", "rheo submit sweep.yaml"),
    ("status", "rheo status demo"),
    ("trials", "rheo trials demo --status failed --status diverged"),
    ("best", "rheo best demo -n 1 --format yaml --new-seeds 5"),
    ("show", "rheo show demo/0"),
    ("logs", "rheo logs demo/0 --attempt 1"),
    ("workers", "rheo workers --output json"),
    ("watch", "rheo watch last"),
    ("wait", "rheo wait demo --timeout 3600"),
    ("pause", "rheo pause demo"),
    ("resume", "rheo resume demo"),
    ("cancel", "rheo cancel demo"),
    ("retry", "rheo retry demo --cancelled"),
    ("delete", "rheo delete demo --yes"),
    ("du", "rheo du"),
    ("stop", "rheo stop"),
    ("launch local", "rheo launch local sweep.yaml --max 2"),
    ("launch slurm", "rheo launch slurm sweep.yaml --max 100 --time 4:00:00 --cpus 4"),
    ("launch kubernetes", "rheo launch kubernetes sweep.yaml --max 20 --image registry/rheobase:1"),
    ("launch list", "rheo launch list"),
    ("launch scale", "rheo launch scale local --max 4"),
    ("launch drain", "rheo launch drain local"),
    ("launch stop", "rheo launch stop local"),
    ("query", "rheo query \"select trial, status from trials\" --file trials.csv"),
    ("importance", "rheo importance demo --metric validation.loss"),
    ("verify", "rheo verify"),
    ("analyze", "rheo analyze demo/0 --only eigenvalues --directory analyses"),
    ("checkpoint export", "rheo checkpoint export demo/0 --file weights.safetensors"),
    ("config", "rheo config"),
    ("data fetch", "rheo data fetch mnist"),
    ("man", "rheo man man1"),
];

/// Examples that redirect their output.
const REDIRECTED: [(&str, &str); 2] =
    [("schema", "rheo schema > schema.json"), ("completions", "rheo completions bash > rheo.bash")];

/// End of `rheo --help`.
const ABOUT_ALL: &str = "\
Example:
  rheo run sweep.yaml --workers 2
  rheo query \"select trial, status from trials\"

Exit codes:
  0    success
  1    a sweep failed, or an error of the system
  2    usage error, invalid file, or access denied
  3    no coordinator can be reached
  130  interrupted";

/// The command line with its help texts.
pub(super) fn command() -> Command {
    let mut command = env::without_empty(Cli::command());
    // Options of every command are copied into the subcommands here, to be hidden there.
    command.build();
    let command = command.mut_args(short_and_long).after_long_help(ABOUT_ALL);
    command.mut_subcommands(|sub| described(sub, ""))
}

fn described(command: Command, within: &str) -> Command {
    let path = format!("{within}{}", command.get_name());
    if path == "help" || path.ends_with(" help") {
        return command;
    }
    let hidden = |arg: Arg| {
        let is_global = GLOBAL.contains(&arg.get_id().as_str());
        let arg = short_and_long(arg);
        if is_global { arg.hide(true) } else { arg }
    };
    let command = command.mut_args(hidden).after_help(MORE);
    let example = EXAMPLES.iter().chain(&REDIRECTED).find(|(words, _)| *words == path);
    let command = match example {
        Some((_, example)) => command.after_long_help(format!("Example:\n  {example}\n\n{MORE}")),
        None => command.after_long_help(MORE),
    };
    command.mut_subcommands(|sub| described(sub, &format!("{path} ")))
}

/// The argument with one line for `-h`, and everything else for `--help`.
fn short_and_long(arg: Arg) -> Arg {
    let Some(help) = arg.get_help().map(ToString::to_string) else { return arg };
    let mut long = arg.get_long_help().map_or_else(|| help.clone(), ToString::to_string);
    if let Some(variable) = arg.get_env() {
        long = format!("{long} [env: {}]", variable.to_string_lossy());
    }
    arg.help(clause(&help).to_owned()).long_help(long).hide_env(true)
}

/// The first sentence or clause of a text that is too long for one line.
fn clause(text: &str) -> &str {
    if text.chars().count() <= SHORT {
        return text;
    }
    let end_at = |marks: &[char]| {
        let is_end = |(at, letter): &(usize, char)| {
            marks.contains(letter) && text[at + 1..].starts_with(' ')
        };
        let fits = |(at, _): &(usize, char)| text[..*at].chars().count() <= SHORT;
        text.char_indices().filter(is_end).find(fits).map(|(at, _)| &text[..at])
    };
    end_at(&['.', ':', ';']).or_else(|| end_at(&[','])).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every command without subcommands, by its words.
    fn leaves(command: &Command, within: &str, found: &mut Vec<(String, Command)>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{within}{}", sub.get_name());
            if sub.has_subcommands() {
                leaves(sub, &format!("{path} "), found);
            } else {
                found.push((path, sub.clone()));
            }
        }
    }

    #[test]
    fn every_command_has_an_example_and_one_line_for_each_argument() {
        let mut found = Vec::new();
        leaves(&command(), "", &mut found);
        let known: BTreeSet<&str> =
            EXAMPLES.iter().chain(&REDIRECTED).map(|(words, _)| *words).collect();
        let paths: BTreeSet<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(known, paths);
        let mut continued = Vec::new();
        for (path, command) in found {
            let help = command.clone().term_width(100).render_help().to_string();
            let second =
                |line: &&str| line.starts_with("          ") && !line.trim_start().starts_with('-');
            continued.extend(help.lines().filter(second).map(|line| format!("{path}: {line}")));
        }
        assert!(continued.is_empty(), "{continued:#?}");
    }

    #[test]
    fn a_description_is_cut_at_the_end_of_a_clause() {
        assert_eq!(clause("The sweep file"), "The sweep file");
        let long =
            "Location of results: a directory, or `s3://bucket/prefix`, `gs://...`, `az://...`";
        assert_eq!(clause(long), "Location of results");
        let long =
            "Directory of data files such as MNIST, for tasks that do not name one themselves";
        assert_eq!(clause(long), "Directory of data files such as MNIST");
    }
}
