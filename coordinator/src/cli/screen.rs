//! Capabilities of the terminal: whether it shows colours, and how wide its lines are.

use std::io::{self, IsTerminal};

use clap::ColorChoice;
use rheo_query::output::TableSize;
use terminal_size::{Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::env;

/// Whether `stream` is a terminal that shows colours and redraws lines. `NO_COLOR` (see
/// no-color.org) and `TERM=dumb` ask for plain text.
pub(super) fn has_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !is_plain(env::get("NO_COLOR").as_deref(), env::get("TERM").as_deref())
}

/// Returns the colour setting for clap, which in CI takes a dumb terminal for one with colours.
pub(super) fn clap_colours() -> ColorChoice {
    let is_plain = is_plain(env::get("NO_COLOR").as_deref(), env::get("TERM").as_deref());
    if is_plain { ColorChoice::Never } else { ColorChoice::Auto }
}

fn is_plain(no_color: Option<&str>, term: Option<&str>) -> bool {
    no_color.is_some() || term.is_none_or(|term| term == "dumb")
}

/// Returns the width of standard error in columns, if it is a terminal.
pub(super) fn width() -> Option<usize> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let columns = terminal_size_of(io::stderr()).map(|(Width(columns), _)| usize::from(columns));
    columns.filter(|columns| *columns > 0)
}

/// Returns the size limit of printed tables: the terminal's width, or none elsewhere.
pub(super) fn table_size() -> TableSize {
    if !io::stdout().is_terminal() {
        return TableSize::default();
    }
    let width = terminal_size_of(io::stdout()).map(|(Width(columns), _)| usize::from(columns));
    TableSize { rows: 1000, width: width.filter(|width| *width > 0).unwrap_or(200) }
}

/// Joins `text` into one line of at most `width` columns; `…` marks a cut.
pub(super) fn fit(text: &str, width: usize) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    if text.width() <= width {
        return text;
    }
    let mut used = 1;
    let fits = |letter: &char| {
        used += letter.width().unwrap_or(0);
        used <= width
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_dumb_terminals_ask_for_plain_text() {
        for (no_color, term, plain) in [
            (None, Some("xterm-256color"), false),
            (Some("1"), Some("xterm-256color"), true),
            (None, Some("dumb"), true),
            (None, None, true),
        ] {
            assert_eq!(is_plain(no_color, term), plain, "{no_color:?} {term:?}");
        }
    }

    #[test]
    fn a_line_fits_the_terminal() {
        for (text, width, fitted) in [
            ("12 of 36", 8, "12 of 36"),
            ("12 of 36", 7, "12 of …"),
            ("one\ntwo", 20, "one two"),
            ("größer", 5, "größ…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
        ] {
            assert_eq!(fit(text, width), fitted, "{text} in {width}");
            assert!(fit(text, width).width() <= width);
        }
    }
}
