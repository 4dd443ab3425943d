//! Log of an attempt: the worker's log lines about it, stored for `rheo logs`.
//!
//! [`AttemptLogLayer`] is a `tracing` layer. It adds every event of a thread inside
//! [`AttemptLog::scope`] to the attempt's log, so libraries log as usual. Lines are sent with the
//! next commit, and earlier with heartbeats.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rheo_core::log::{LogLevel, LogLine, MAX_ATTEMPT, MAX_LINES, line_text};
use rheo_core::time::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

thread_local! {
    static CURRENT: RefCell<Option<Arc<AttemptLog>>> = const { RefCell::new(None) };
}

/// Log of one attempt.
#[derive(Debug, Default)]
pub(crate) struct AttemptLog(Mutex<LogBuffer>);

#[derive(Debug, Default)]
struct LogBuffer {
    /// Number of the last line.
    last: u32,
    /// Lines that no commit has taken.
    untaken: VecDeque<LogLine>,
    /// Lines that no heartbeat has sent.
    unsent: VecDeque<LogLine>,
}

impl AttemptLog {
    fn lines(&self) -> MutexGuard<'_, LogBuffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, unless the limit is reached.
    pub(crate) fn write(&self, level: LogLevel, text: &str) {
        let mut lines = self.lines();
        let most = if level == LogLevel::Info { MAX_ATTEMPT } else { 2 * MAX_ATTEMPT };
        if lines.last >= most {
            return;
        }
        lines.last += 1;
        let text = if lines.last == most {
            format!(
                "{most} lines of an attempt are stored; later ones are in the log of its worker"
            )
        } else {
            line_text(text)
        };
        let line = LogLine { number: lines.last, at: now(), level, text };
        push(&mut lines.untaken, line.clone());
        push(&mut lines.unsent, line);
    }

    /// Adds the last line, whatever the number of lines before.
    pub(crate) fn write_end(&self, level: LogLevel, text: &str) {
        let mut lines = self.lines();
        lines.last += 1;
        let (number, text) = (lines.last, line_text(text));
        push(&mut lines.untaken, LogLine { number, at: now(), level, text });
    }

    /// Takes the lines for the next commit.
    pub(crate) fn take(&self) -> Vec<LogLine> {
        self.lines().untaken.drain(..).collect()
    }

    /// Returns up to `limit` lines that no heartbeat has sent.
    pub(crate) fn unsent(&self, limit: usize) -> Vec<LogLine> {
        self.lines().unsent.iter().take(limit).cloned().collect()
    }

    /// Marks lines up to number `last` as sent by a heartbeat.
    pub(crate) fn sent(&self, last: u32) {
        self.lines().unsent.retain(|line| line.number > last);
    }

    /// Runs `action`; events of this thread are added to the log.
    pub(crate) fn scope<T>(self: &Arc<Self>, action: impl FnOnce() -> T) -> T {
        let _reset = ScopeGuard(CURRENT.replace(Some(Arc::clone(self))));
        action()
    }
}

/// Restores the previous scope, also when `action` panics.
struct ScopeGuard(Option<Arc<AttemptLog>>);

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Adds a line; the oldest is dropped if there are too many.
fn push(lines: &mut VecDeque<LogLine>, line: LogLine) {
    if lines.len() == MAX_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}

#[expect(clippy::disallowed_methods, reason = "people read the time of a line")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

/// A layer that stores log events about attempts.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttemptLogLayer;

impl<S: Subscriber> Layer<S> for AttemptLogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(log) = CURRENT.with_borrow(Clone::clone) else { return };
        let level = match *event.metadata().level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            _ => return,
        };
        let mut text = EventText::default();
        event.record(&mut text);
        log.write(level, &format!("{}{}", text.message, text.fields));
    }
}

/// Text of an event.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            // The log belongs to one attempt.
            "attempt" => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn events_in_the_scope_of_an_attempt_are_its_log() {
        let log = Arc::new(AttemptLog::default());
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(AttemptLogLayer),
            || {
                tracing::info!("of nobody");
                log.scope(|| tracing::info!(attempt = 7, epochs = 3, "attempt begins"));
                log.scope(|| tracing::debug!("of no importance"));
                log.scope(|| tracing::warn!("memory is\nshort"));
                tracing::info!("of nobody");
            },
        );
        assert_eq!(texts(&log.unsent(9)), ["attempt begins epochs=3", "memory is short"]);
        assert_eq!(texts(&log.unsent(1)), ["attempt begins epochs=3"]);
        log.sent(1);
        assert_eq!(texts(&log.unsent(9)), ["memory is short"]);
        let lines = log.take();
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(lines[1].level, LogLevel::Warn);
        assert_eq!(log.take(), []);
    }

    #[test]
    fn a_full_log_still_takes_the_end() {
        let log = AttemptLog::default();
        for _ in 0..5000 {
            log.write(LogLevel::Info, "again");
        }
        log.write(LogLevel::Warn, "a warning");
        log.write_end(LogLevel::Info, "the end");
        let lines = log.take();
        assert_eq!(lines.len(), MAX_LINES);
        let last = &texts(&lines)[MAX_LINES - 3..];
        assert!(last[0].starts_with("1000 lines of an attempt are stored"), "{last:?}");
        assert_eq!(last[1..], ["a warning", "the end"]);
    }
}
