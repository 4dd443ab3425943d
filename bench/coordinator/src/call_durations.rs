//! Durations of calls.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::time::Instant;

/// Kind of a measured call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallKind {
    /// First acquire of a worker that returns trials; all workers send theirs at once.
    FirstAcquire,
    /// Later acquire that returns trials.
    Acquire,
    /// Commit of rows.
    Commit,
    /// End of a trial.
    Finish,
}

impl CallKind {
    fn name(self) -> &'static str {
        match self {
            Self::FirstAcquire => "first_acquire",
            Self::Acquire => "acquire",
            Self::Commit => "commit",
            Self::Finish => "finish",
        }
    }
}

/// Durations of all calls so far.
#[derive(Debug, Default)]
pub(crate) struct CallDurations {
    /// Durations in milliseconds.
    durations: Mutex<BTreeMap<CallKind, Vec<f64>>>,
}

impl CallDurations {
    /// Records the reply to a call that began at `began`.
    pub(crate) fn record(&self, call: CallKind, began: Instant) {
        let duration = began.elapsed().as_secs_f64() * 1e3;
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        durations.entry(call).or_default().push(duration);
    }

    /// Returns the quantiles of each call, in milliseconds.
    pub(crate) fn latencies(&self) -> Value {
        let durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(call, all): (&CallKind, &Vec<f64>)| {
            let mut sorted = all.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let at =
                |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1));
            (call.name().to_owned(), json!({ "p50": at(50), "p99": at(99), "calls": sorted.len() }))
        };
        durations.iter().map(of).collect()
    }
}
