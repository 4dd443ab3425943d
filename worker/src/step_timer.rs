//! Durations of starts and steps, which a worker with a deadline needs.
//!
//! A trial can commit between any two steps. So a new trial must get through its start and one step
//! before the worker leaves, and leaving must begin early enough for the step in progress. The
//! durations are measured on earlier trials; until then [`UNKNOWN`] is assumed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Assumed duration of a start with a first step, before any trial has run.
const UNKNOWN: Duration = Duration::from_secs(15);

/// Longest start and longest step of all trials so far.
#[derive(Debug, Default)]
pub(crate) struct StepTimer {
    start_ms: AtomicU64,
    step_ms: AtomicU64,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl StepTimer {
    /// Records the time from a trial's assignment to the first moment at which it could commit.
    pub(crate) fn record_start(&self, after: Duration) {
        self.start_ms.fetch_max(ms(after).max(1), Ordering::Relaxed);
    }

    /// Records the time between two such moments.
    pub(crate) fn record_step(&self, after: Duration) {
        self.step_ms.fetch_max(ms(after), Ordering::Relaxed);
    }

    /// Returns the expected time until a new trial can commit.
    pub(crate) fn first_commit(&self) -> Duration {
        match self.start_ms.load(Ordering::Relaxed) {
            0 => UNKNOWN,
            start => Duration::from_millis(start) + self.step() * 2,
        }
    }

    /// Returns how long before its end a worker must begin to leave: the step in progress, plus
    /// `grace` for delivery.
    pub(crate) fn leave_lead(&self, grace: Duration) -> Duration {
        grace + self.step()
    }

    fn step(&self) -> Duration {
        Duration::from_millis(self.step_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_keeps_the_longest_durations() {
        let step_timer = StepTimer::default();
        let grace = Duration::from_secs(25);
        assert_eq!(step_timer.first_commit(), UNKNOWN);
        assert_eq!(step_timer.leave_lead(grace), grace);
        step_timer.record_start(Duration::from_secs(3));
        step_timer.record_step(Duration::from_mins(1));
        step_timer.record_step(Duration::from_secs(1));
        assert_eq!(step_timer.first_commit(), Duration::from_secs(123));
        assert_eq!(step_timer.leave_lead(grace), Duration::from_secs(85));
    }
}
