//! Limits a repeated log message to one line a minute, so that the log does not fill the disk.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two lines of a message.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// A limit of one line a minute.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Option<Instant>,
}

impl Throttle {
    /// Whether a line is due at `now`; if so, the next one is due a minute later.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        if self.last.is_some_and(|last| now < last + LOG_INTERVAL) {
            return false;
        }
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_is_due() {
        let (mut throttle, began) = (Throttle::default(), Instant::now());
        let due = (0..150).filter(|second| {
            let now = began + Duration::from_secs(*second);
            throttle.is_due(now)
        });
        assert_eq!(due.collect::<Vec<_>>(), [0, 60, 120]);
    }
}
