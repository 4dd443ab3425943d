//! `rheo complete-names WORD...`: the names of sweeps, trials and fleets that may stand at the end
//! of a command line, for the completions of shells.
//!
//! The words are those from `rheo` to the cursor; the last one may be empty. The names come from
//! the running coordinator that the words name, or from the state directory at rest. The command
//! prints one name a line. It prints nothing and reports no error if there is none, if the words
//! take none, or if the time limit passes. Names consist of letters, digits and `-_./`, so no
//! shell changes them.

use std::any::TypeId;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use rheo_core::fleet::FleetName;
use rheo_core::id::SweepName;
use rheo_proto::access::JOURNAL_FILE;
use rheo_query::Limits;

use super::select::{SweepSelector, TrialSelector};
use super::{Cli, GlobalArgs, env, format};
use crate::client::{Client, Error};

/// The first argument of `rheo` that asks for names.
pub(super) const ARGUMENT: &str = "complete-names";

/// The time until nothing is printed. A person waits for the key.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// The largest number of names.
const MAX_NAMES: usize = 100;

/// A word at the cursor that every parser of names accepts.
const CURSOR: &str = "rheo-word-at-the-cursor";

/// The names that an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    /// Sweeps.
    Sweep {
        /// Whether `last` is allowed.
        last: bool,
        /// Whether `all` is allowed.
        all: bool,
    },
    /// Trials of sweeps.
    Trial {
        /// Whether a sweep alone is allowed.
        sweep: bool,
    },
    /// Fleets.
    Fleet,
}

impl NameKind {
    /// Returns the names that `arg` takes, by the type of its value.
    pub(super) fn of(arg: &Arg) -> Option<Self> {
        let is = |id: TypeId| arg.get_value_parser().type_id() == id;
        if is(TypeId::of::<SweepSelector>()) {
            let all = matches!(arg.get_action(), clap::ArgAction::Append);
            return Some(Self::Sweep { last: true, all });
        }
        if is(TypeId::of::<SweepName>()) {
            return Some(Self::Sweep { last: false, all: false });
        }
        if is(TypeId::of::<TrialSelector>()) {
            let names = arg.get_value_names().unwrap_or_default();
            // As in `SWEEP[/TRIALS]`.
            return Some(Self::Trial { sweep: names.iter().any(|name| name.contains('[')) });
        }
        is(TypeId::of::<FleetName>()).then_some(Self::Fleet)
    }
}

/// A request for names.
#[derive(Debug)]
struct NameQuery {
    global: GlobalArgs,
    kind: NameKind,
    /// The part of the name before the cursor.
    prefix: String,
}

/// Prints the names for the words of this process after [`ARGUMENT`].
pub(super) fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    // Nobody reads messages while a line is edited.
    std::panic::set_hook(Box::new(|_| ()));
    if let Some(query) = NameQuery::parse(words.collect()) {
        let (sender, receiver) = mpsc::channel();
        // The thread ends with the process, whatever it waits for.
        std::thread::spawn(move || sender.send(find(&query)));
        let names = receiver.recv_timeout(TIME_LIMIT).unwrap_or_default();
        if !names.is_empty() {
            // The shell is gone, and nobody misses the names.
            let _ = format::print(names.join("\n"));
        }
    }
    ExitCode::SUCCESS
}

impl NameQuery {
    /// Parses the words of a command line. None if its last word is no name.
    fn parse(words: Vec<OsString>) -> Option<Self> {
        let mut words = join_broken(words);
        let word = words.pop()?.into_string().ok()?;
        // As in `--sweep=demo`.
        let (option, prefix) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (format!("{option}="), value),
            _ => (String::new(), word.as_str()),
        };
        if prefix.starts_with('-') {
            return None;
        }
        words.push(format!("{option}{CURSOR}").into());
        let mut command = env::without_empty(Cli::command()).ignore_errors(true);
        let matches = command.try_get_matches_from_mut(words).ok()?;
        let kind = kind_at_cursor(&command, &matches)?;
        let global = GlobalArgs::from_arg_matches(&matches).ok()?;
        Some(Self { global, kind, prefix: prefix.to_owned() })
    }
}

/// Joins words that bash breaks at `=` and `:`, as in `--server=http://localhost:7070`.
fn join_broken(words: Vec<OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut is_broken = false;
    for word in words {
        let bytes = word.as_encoded_bytes();
        let is_break = !bytes.is_empty() && bytes.iter().all(|byte| b"=:".contains(byte));
        match joined.last_mut() {
            Some(last) if is_break || is_broken => last.push(word),
            _ => joined.push(word),
        }
        is_broken = is_break;
    }
    joined
}

/// Returns the names that the argument at the cursor takes.
fn kind_at_cursor(command: &Command, matches: &ArgMatches) -> Option<NameKind> {
    if let Some((name, matches)) = matches.subcommand() {
        return kind_at_cursor(command.find_subcommand(name)?, matches);
    }
    let is_at_cursor = |arg: &&Arg| {
        let values = matches.try_get_raw(arg.get_id().as_str()).ok().flatten();
        values.is_some_and(|mut values| values.any(|value| value == CURSOR))
    };
    NameKind::of(command.get_arguments().find(is_at_cursor)?)
}

/// Returns the names for a query; none after an error.
fn find(query: &NameQuery) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.ok().and_then(|runtime| runtime.block_on(query.find()).ok()).unwrap_or_default()
}

impl NameQuery {
    async fn find(&self) -> Result<Vec<String>, Error> {
        let mut client = self.connect().await?;
        if self.kind == NameKind::Fleet {
            let fleets = client.fleets().await?;
            let names = fleets.into_iter().map(|fleet| fleet.spec.name.to_string());
            return Ok(bounded(&self.prefix, names.collect()));
        }
        let (sweeps, _) = client.sweeps().await?;
        let sweeps = sweeps.into_iter().map(|sweep| (sweep.name.to_string(), sweep.counts.trials));
        Ok(names_of_sweeps(self.kind, &self.prefix, &sweeps.collect::<Vec<_>>()))
    }

    async fn connect(&self) -> Result<Client, Error> {
        let access = self.global.access();
        // Opening a directory without a journal would create one.
        if access.server.is_none() && access.state.join(JOURNAL_FILE).exists() {
            Client::connect(&access, Limits::default()).await
        } else {
            Client::over_network(&access).await
        }
    }
}

/// Returns the names that begin with `prefix`, for sweeps with their numbers of trials in the order
/// of submission.
fn names_of_sweeps(kind: NameKind, prefix: &str, sweeps: &[(String, u64)]) -> Vec<String> {
    let (is_trial, is_sweep) = match kind {
        NameKind::Sweep { .. } => (false, true),
        NameKind::Trial { sweep } => (true, sweep),
        NameKind::Fleet => return Vec::new(),
    };
    if let (true, Some((sweep, trials))) = (is_trial, prefix.split_once('/')) {
        let mut named = sweeps.iter().rev();
        let found = named.find(|(name, _)| sweep == "last" || name == sweep);
        return found.map_or_else(Vec::new, |(_, count)| trial_names(sweep, trials, *count));
    }
    let selectors = match (kind, sweeps) {
        (_, []) => &[][..],
        (NameKind::Sweep { last: false, .. }, _) => &[],
        (NameKind::Sweep { all: true, .. }, _) => &["all", "last"],
        _ => &["last"],
    };
    let names = sweeps.iter().map(|(name, _)| name.as_str()).chain(selectors.iter().copied());
    let forms = names.flat_map(|name| {
        let sweep = is_sweep.then(|| name.to_owned());
        let trials = is_trial.then(|| format!("{name}/"));
        sweep.into_iter().chain(trials)
    });
    bounded(prefix, forms.collect())
}

/// Returns the trials of a sweep whose index begins with the last digits of `trials`, as in `1-3,7`.
fn trial_names(sweep: &str, trials: &str, count: u64) -> Vec<String> {
    let at = trials.rfind([',', '-']).map_or(0, |at| at + 1);
    let (before, digits) = trials.split_at(at);
    let name = |index: u64| format!("{sweep}/{before}{index}");
    if digits.is_empty() {
        return (0..count).take(MAX_NAMES).map(name).collect();
    }
    let Some(first) = digits.parse().ok().filter(|_| digits == "0" || !digits.starts_with('0'))
    else {
        return Vec::new();
    };
    // Those with one more digit are ten times as many.
    let mut indices = Vec::new();
    let (mut least, mut many) = (first, 1);
    while least < count && indices.len() < MAX_NAMES && !(first == 0 && many > 1) {
        indices.extend((least..count.min(least + many)).take(MAX_NAMES - indices.len()));
        (least, many) = (least.saturating_mul(10), many * 10);
    }
    indices.into_iter().map(name).collect()
}

/// Returns at most [`MAX_NAMES`] of the names that begin with `prefix`, sorted. The first and the
/// last are among them: shells insert what all names have in common.
fn bounded(prefix: &str, mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| name.starts_with(prefix));
    names.sort_unstable();
    if names.len() > MAX_NAMES {
        names.drain(MAX_NAMES - 1..names.len() - 1);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(line: &str) -> Option<NameQuery> {
        NameQuery::parse(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn the_argument_at_the_cursor_says_which_names_it_takes() {
        let one = NameKind::Sweep { last: true, all: false };
        let some = NameKind::Sweep { last: true, all: true };
        let trial = NameKind::Trial { sweep: false };
        for (line, kind, prefix) in [
            ("rheo status ", one, ""),
            ("rheo wait de", one, "de"),
            ("rheo delete --yes first ", some, ""),
            ("rheo show demo/", trial, "demo/"),
            ("rheo analyze --only eigenvalues de", trial, "de"),
            ("rheo checkpoint export ", trial, ""),
            ("rheo retry de", NameKind::Trial { sweep: true }, "de"),
            ("rheo launch drain lo", NameKind::Fleet, "lo"),
            ("rheo launch slurm --name ", NameKind::Fleet, ""),
            ("rheo launch local --sweep=de", NameKind::Sweep { last: false, all: false }, "de"),
            ("rheo launch local --sweep = de", NameKind::Sweep { last: false, all: false }, "de"),
        ] {
            let query = query(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((query.kind, query.prefix.as_str()), (kind, prefix), "{line}");
        }
        for line in [
            "rheo",
            "rheo ",
            "rheo sta",
            "rheo status --",
            "rheo status --state ",
            "rheo status --state=",
            "rheo run ",
            "rheo query ",
            "rheo wait demo --timeout ",
            "rheo no-command ",
            "rheo show --help ",
        ] {
            assert!(query(line).is_none(), "{line}");
        }
    }

    #[test]
    fn options_of_every_command_are_obeyed_anywhere() {
        for line in [
            "rheo --state elsewhere --server http://h:1 show ",
            "rheo show --server=http://h:1 --state=elsewhere ",
            // As bash breaks words.
            "rheo --state = elsewhere --server http : //h : 1 show ",
        ] {
            let global = query(line).unwrap_or_else(|| panic!("{line}")).global;
            assert_eq!(global.state.to_str(), Some("elsewhere"), "{line}");
            assert_eq!(global.server.as_deref(), Some("http://h:1"), "{line}");
        }
    }

    fn sweeps() -> Vec<(String, u64)> {
        [("b", 3), ("a", 1000), ("c.1", 0)].map(|(name, trials)| (name.to_owned(), trials)).into()
    }

    #[test]
    fn names_have_the_form_that_the_command_takes() {
        let some = NameKind::Sweep { last: true, all: true };
        assert_eq!(names_of_sweeps(some, "", &sweeps()), ["a", "all", "b", "c.1", "last"]);
        assert_eq!(names_of_sweeps(some, "c", &sweeps()), ["c.1"]);
        assert!(names_of_sweeps(some, "", &[]).is_empty());
        let named = NameKind::Sweep { last: false, all: false };
        assert_eq!(names_of_sweeps(named, "", &sweeps()), ["a", "b", "c.1"]);
        let trial = NameKind::Trial { sweep: false };
        assert_eq!(names_of_sweeps(trial, "", &sweeps()), ["a/", "b/", "c.1/", "last/"]);
        assert_eq!(names_of_sweeps(NameKind::Trial { sweep: true }, "b", &sweeps()), ["b", "b/"]);
    }

    #[test]
    fn trials_are_completed_digit_by_digit() {
        let trial = NameKind::Trial { sweep: true };
        let names = |prefix: &str| names_of_sweeps(trial, prefix, &sweeps());
        assert_eq!(names("b/"), ["b/0", "b/1", "b/2"]);
        assert_eq!(names("a/0"), ["a/0"]);
        assert_eq!(names("a/99").len(), 11);
        assert_eq!(names("a/999"), ["a/999"]);
        assert_eq!(names("a/").len(), MAX_NAMES);
        assert_eq!(names("a/1").len(), MAX_NAMES);
        assert_eq!(names("b/0-"), ["b/0-0", "b/0-1", "b/0-2"]);
        assert_eq!(names("b/0,2"), ["b/0,2"]);
        for none in ["b/3", "b/01", "b/x", "none/", "c.1/", "a/18446744073709551616"] {
            assert!(names(none).is_empty(), "{none}");
        }
        assert!(names("last/").is_empty(), "the last sweep has no trial");
    }

    #[test]
    fn few_of_many_names_share_no_more_than_all() {
        let mut names: Vec<String> = (0..500).map(|number| format!("a{number:03}")).collect();
        names.push("b".to_owned());
        let few = bounded("", names);
        assert_eq!(few.len(), MAX_NAMES);
        assert_eq!((few[0].as_str(), few[MAX_NAMES - 1].as_str()), ("a000", "b"));
    }
}
