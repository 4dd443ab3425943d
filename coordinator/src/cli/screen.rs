//! What a terminal may be sent: escape sequences only where somebody sees them and wants them.

use std::io::IsTerminal;

use super::env;

/// Whether `stream` shows colours and lets lines be redrawn: it is a terminal that can, and nobody
/// asked for plain text by `NO_COLOR` (see no-color.org) or `TERM=dumb`.
pub(super) fn has_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !is_plain(env::get("NO_COLOR").as_deref(), env::get("TERM").as_deref())
}

fn is_plain(no_color: Option<&str>, term: Option<&str>) -> bool {
    no_color.is_some() || term.is_none_or(|term| term == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_plain_where_people_say_so() {
        for (no_color, term, plain) in [
            (None, Some("xterm-256color"), false),
            (Some("1"), Some("xterm-256color"), true),
            (None, Some("dumb"), true),
            (None, None, true),
        ] {
            assert_eq!(is_plain(no_color, term), plain, "{no_color:?} {term:?}");
        }
    }
}
