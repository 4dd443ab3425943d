//! Log lines of attempts, and the limits on them.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The longest text of a line in bytes; longer ones are cut.
pub const MAX_LINE: usize = 2048;

/// The largest number of lines per message.
pub const MAX_LINES: usize = 500;

/// The largest number of lines per attempt; errors and warnings may be twice as many.
pub const MAX_ATTEMPT: u32 = 1000;

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// An error.
    Error,
    /// A warning.
    Warn,
    /// Information.
    Info,
}

impl LogLevel {
    /// Returns the name used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }

    /// Parses the name of a level.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info].into_iter().find(|level| level.name() == name)
    }
}

/// A log line of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The number of the line in its attempt, from 1.
    pub number: u32,
    /// The time by the worker's clock.
    pub at: Timestamp,
    /// The level.
    pub level: LogLevel,
    /// The text, without line breaks.
    pub text: String,
}

/// Returns a text as it is kept: on one line of at most [`MAX_LINE`] bytes.
pub fn line_text(text: &str) -> String {
    let mut line = text.replace(char::is_control, " ");
    if line.len() > MAX_LINE {
        let mut end = MAX_LINE - '…'.len_utf8();
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_not_too_long() {
        assert_eq!(line_text("a\nb\x1b[1m"), "a b [1m");
        for text in ["x".repeat(MAX_LINE + 1), "ä".repeat(MAX_LINE)] {
            let line = line_text(&text);
            assert!(line.len() <= MAX_LINE && line.ends_with('…'), "{}", line.len());
        }
        assert_eq!(line_text(&"x".repeat(MAX_LINE)).len(), MAX_LINE);
    }

    #[test]
    fn levels_have_names() {
        for level in [LogLevel::Error, LogLevel::Warn, LogLevel::Info] {
            assert_eq!(LogLevel::parse(level.name()), Some(level));
        }
        assert_eq!(LogLevel::parse("trace"), None);
    }
}
