//! The last log lines of a running attempt, until they are durable.

use std::collections::VecDeque;

use rheo_core::log::{LogLine, MAX_LINES};

/// Log lines that no commit has brought; the oldest are dropped beyond a limit.
#[derive(Debug, Default)]
pub(super) struct LogTail {
    lines: VecDeque<LogLine>,
    /// Number of the last line that a commit brought.
    recorded: u32,
}

impl LogTail {
    /// Adds new lines.
    pub(super) fn add(&mut self, lines: Vec<LogLine>) {
        for line in lines {
            let last = self.lines.back().map_or(self.recorded, |last| last.number);
            if line.number > last.max(self.recorded) {
                self.lines.push_back(line);
            }
        }
        let excess = self.lines.len().saturating_sub(MAX_LINES);
        self.lines.drain(..excess);
    }

    /// Removes lines up to `last`, which a commit brings.
    pub(super) fn record(&mut self, last: u32) {
        self.recorded = self.recorded.max(last);
        self.lines.retain(|line| line.number > last);
    }

    /// Returns the lines.
    pub(super) fn lines(&self) -> Vec<LogLine> {
        self.lines.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use rheo_core::log::LogLevel;
    use rheo_core::time::Timestamp;

    use super::*;

    fn line(number: u32) -> LogLine {
        LogLine { number, at: Timestamp(0), level: LogLevel::Info, text: String::new() }
    }

    #[test]
    fn lines_are_kept_once_until_a_commit_brings_them() {
        let mut tail = LogTail::default();
        tail.add(vec![line(1), line(2)]);
        tail.add(vec![line(2), line(3)]);
        assert_eq!(tail.lines(), [line(1), line(2), line(3)]);
        tail.record(2);
        tail.add(vec![line(1), line(2), line(3), line(4)]);
        assert_eq!(tail.lines(), [line(3), line(4)]);
        tail.add((5..5000).map(line).collect());
        assert_eq!(tail.lines().len(), MAX_LINES);
    }
}
