//! Completes commands in messages, so that they can be pasted.
//!
//! The author of a message, for example the coordinator, does not know how its reader reaches the
//! state. Messages therefore say `` `rheo status` ``, and the program that prints them inserts its
//! own name and the reader's `--state` or `--server`.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::GlobalArgs;

/// The invocation of this process.
static INVOCATION: OnceLock<Invocation> = OnceLock::new();

/// The beginning of a command in a message.
const COMMAND: &str = "`rheo ";

/// Commands that need neither a coordinator nor a state.
const WITHOUT_STATE: [&str; 5] = ["completions", "config", "data", "preview", "schema"];

/// Commands that are coordinators themselves: `--server` does not apply to them.
const COORDINATORS: [&str; 2] = ["run", "serve"];

/// Shell words that start this program on the state that a person named.
#[derive(Debug)]
struct Invocation {
    /// The program, as it was called.
    program: String,
    /// The program, with the option that names the state or the coordinator.
    located: String,
    /// Whether `--server` was given instead of `--state`.
    has_server: bool,
}

/// Stores the invocation; messages are completed from then on.
pub(super) fn set_invocation(global: &GlobalArgs) {
    let (program, located) = (super::env::program(), global.rheo());
    let words = Invocation { program, located, has_server: global.server.is_some() };
    // A process has one command line, so this is set once.
    let _ = INVOCATION.set(words);
}

/// Returns the message with its commands completed.
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

    /// Returns the words before `rest`, a verb and its arguments.
    fn program_for(&self, rest: &str) -> &str {
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let verb = &rest[..end];
        let is_local =
            WITHOUT_STATE.contains(&verb) || (self.has_server && COORDINATORS.contains(&verb));
        // A command that begins with an option is already complete.
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
    fn commands_get_the_given_state_option() {
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
    fn coordinator_commands_get_no_server_option() {
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
