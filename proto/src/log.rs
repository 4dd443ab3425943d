//! Conversions of log lines.

use rheo_core::log::{LogLevel, LogLine};
use rheo_core::time::Timestamp;

use crate::v1;

/// The log lines of a message.
pub fn lines(wire: Vec<v1::LogLine>) -> Vec<LogLine> {
    wire.into_iter().map(LogLine::from).collect()
}

impl From<v1::LogLine> for LogLine {
    fn from(wire: v1::LogLine) -> Self {
        // A newer worker may send an unknown level.
        let level = LogLevel::parse(&wire.level).unwrap_or(LogLevel::Info);
        Self { number: wire.number, at: Timestamp(wire.at_ms), level, text: wire.text }
    }
}

impl From<&LogLine> for v1::LogLine {
    fn from(line: &LogLine) -> Self {
        Self {
            number: line.number,
            at_ms: line.at.0,
            level: line.level.name().to_owned(),
            text: line.text.clone(),
        }
    }
}
