//! Commands in messages, completed so that they can be pasted.
//!
//! Who makes a message, the coordinator for example, does not know how the person who reads it
//! reaches the state; so it writes `` `rheo status` ``, and the program that prints it puts in what the
//! person has given: the name of the program and `--state` or `--server`.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::GlobalArgs;

/// The words with which this program reaches the state.
static INVOCATION: OnceLock<Invocation> = OnceLock::new();

/// The beginning of a command in a message.
const COMMAND: &str = "`rheo ";

/// Commands that ask no coordinator and open no state.
const WITHOUT_STATE: [&str; 5] = ["completions", "config", "data", "preview", "schema"];

/// Commands that are coordinators themselves: they have a state directory, and no server.
const COORDINATORS: [&str; 2] = ["run", "serve"];

/// The words with which a person reaches a state.
#[derive(Debug)]
struct Invocation {
    /// The program, as it was called.
    program: String,
    /// The program, with the option that names the state or the coordinator.
    located: String,
    /// Whether the coordinator was named, instead of the state directory.
    has_server: bool,
}

/// Has messages be completed from now on.
pub(super) fn set_invocation(global: &GlobalArgs) {
    let (program, located) = (super::env::program(), global.rheo());
    let words = Invocation { program, located, has_server: global.server.is_some() };
    // There is one command line in a process.
    let _ = INVOCATION.set(words);
}

/// The message with its commands completed.
pub(super) fn complete_commands(message: &str) -> Cow<'_, str> {
    match INVOCATION.get() {
        Some(words) if message.contains(COMMAND) => Cow::Owned(words.complete(message)),
        _ => Cow::Borrowed(message),
    }
}

impl Invocation {
    fn complete(&self, message: &str) -> String {
        let mut pieces = message.split(COMMAND);
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            text.push_str(&format!("`{} {piece}", self.program_for(piece)));
        }
        text
    }

    /// The beginning of a command that goes on with `rest`.
    fn program_for(&self, rest: &str) -> &str {
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let verb = &rest[..end];
        let is_local =
            WITHOUT_STATE.contains(&verb) || (self.has_server && COORDINATORS.contains(&verb));
        // An option comes first: it is complete already.
        if is_local || verb.is_empty() { &self.program } else { &self.located }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(option: &str) -> Invocation {
        let located = format!("rheo {option}").trim().to_owned();
        let has_server = option.starts_with("--server");
        Invocation { program: "rheo".to_owned(), located, has_server }
    }

    #[test]
    fn commands_name_the_state_that_was_named() {
        let state = invocation("--state 'my state'");
        for (message, expected) in [
            ("no command", "no command"),
            (
                "`rheo cancel a` stops it, then `rheo delete a`",
                "`rheo --state 'my state' cancel a` stops it, then `rheo --state 'my state' delete a`",
            ),
            ("`rheo --state 'my state' run FILE`", "`rheo --state 'my state' run FILE`"),
            ("`rheo data fetch mnist`", "`rheo data fetch mnist`"),
            ("for `rheo serve`", "for `rheo --state 'my state' serve`"),
            ("`rheo stop`: workers", "`rheo --state 'my state' stop`: workers"),
            ("a sweep called rheo", "a sweep called rheo"),
        ] {
            assert_eq!(state.complete(message), expected);
            assert_eq!(invocation("").complete(message), message, "nothing was named");
        }
    }

    #[test]
    fn a_coordinator_is_not_told_where_another_one_is() {
        let server = invocation("--server http://h:1");
        for (message, expected) in [
            ("`rheo status`", "`rheo --server http://h:1 status`"),
            ("for `rheo serve`", "for `rheo serve`"),
            ("`rheo run FILE`", "`rheo run FILE`"),
        ] {
            assert_eq!(server.complete(message), expected);
        }
    }
}
