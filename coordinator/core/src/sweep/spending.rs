//! The spending of a sweep, for the rules of `stop:`. It is part of the stored sweep.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The spending of a sweep since its first trial, or since it was resumed after a rule had ended it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepSpending {
    /// The ended and parked trials before it was resumed.
    pub(super) trials_before: u64,
    /// The committed epochs.
    pub(super) epochs: u64,
    /// The start of the first attempt.
    pub(super) first_lease: Option<Timestamp>,
    /// The slots of the current leases.
    pub(crate) leased_slots: u64,
    /// The sum of the ends of attempts, less the sum of the starts of all attempts, each in
    /// milliseconds since the submission and times the slots. With the present as the end of
    /// current leases, it is the time spent.
    pub(super) slot_ms: i64,
    /// The best value so far.
    pub(super) best: Option<f64>,
    /// The points since then.
    pub(super) stale_points: u64,
}

impl SweepSpending {
    /// Restarts the count at `at`, in milliseconds since the submission.
    pub(super) fn restart(&mut self, trials_before: u64, at: i64) {
        let Self { leased_slots, best, .. } = *self;
        let slot_ms = slot_time(leased_slots, at).saturating_neg();
        *self = Self { trials_before, leased_slots, slot_ms, best, ..Self::default() };
    }
}

/// Returns a time times the slots that it takes.
pub(super) fn slot_time(slots: u64, ms: i64) -> i64 {
    i64::try_from(slots).unwrap_or(i64::MAX).saturating_mul(ms)
}
