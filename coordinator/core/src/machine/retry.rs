//! The choice of the worker for a retry: after a failure, another fitting worker is preferred.
//!
//! The trial is reserved for others only for a bounded time, so it never waits long for a worker
//! that is busy or dead. If no other worker fits, there is no reservation.

use std::time::Duration;

use super::state::State;
use crate::id::WorkerId;
use crate::needs::Need;
use crate::sweep::{Sweep, Trial};
use crate::time::Timestamp;

/// The time for which the retry of a failed attempt is reserved for other workers.
pub const KEPT_FOR_OTHERS: Duration = Duration::from_secs(10);

impl Trial {
    /// Returns the end of the time for which the next attempt is withheld from the worker on which
    /// the last one failed.
    pub(super) fn kept_until(&self) -> Option<Timestamp> {
        self.failed_on.map(|_| self.not_before + KEPT_FOR_OTHERS)
    }
}

impl State {
    /// Whether trial `index` of `sweep` is withheld from `worker` at `now`: its last attempt failed
    /// there, and another worker fits.
    pub(super) fn is_kept_from(
        &self,
        worker: WorkerId,
        sweep: &Sweep,
        index: u64,
        now: Timestamp,
    ) -> bool {
        let trial = sweep.live.get(&index).filter(|trial| trial.failed_on == Some(worker));
        let is_kept = trial.and_then(Trial::kept_until).is_some_and(|until| now < until);
        let needs = || sweep.planned.known_needs(&sweep.history, index).unwrap_or_default();
        is_kept && self.has_other_worker(worker, &needs())
    }

    /// Whether another worker takes trials and meets these needs.
    fn has_other_worker(&self, worker: WorkerId, needs: &[Need]) -> bool {
        self.workers.iter().any(|(id, other)| {
            let is_there = *id != worker && other.departed.is_none();
            is_there && self.takes_trials(*id) && other.unmet_need(needs).is_none()
        })
    }
}
