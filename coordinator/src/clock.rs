//! A monotonic clock that starts at the system's time, so that a jump of the wall clock ends no
//! lease.

use std::time::{Duration, Instant, SystemTime};

use rheo_core::time::{Clock, Timestamp};

/// The clock of this process.
#[derive(Debug)]
pub(crate) struct SystemClock {
    began: Instant,
    at: Timestamp,
}

impl SystemClock {
    /// Starts a clock at the wall clock's time, but not before `floor`, so that time never runs
    /// backwards between two runs.
    #[expect(clippy::disallowed_methods, reason = "this is the injected clock")]
    pub(crate) fn new(floor: Timestamp) -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = u64::try_from(wall.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(u64::MAX);
        Self { began: Instant::now(), at: Timestamp(millis).max(floor) }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.at + self.began.elapsed()
    }
}
