//! The worker for the retry of a failed attempt: another one than that on which it failed, if one
//! that fits is known.
//!
//! The other one gets a bounded time, so that a trial never waits for a worker that is busy for long
//! or dead. A worker that is alone waits for nobody.

use std::time::Duration;

use super::state::State;
use crate::id::WorkerId;
use crate::needs::Need;
use crate::sweep::{Sweep, Trial};
use crate::time::Timestamp;

/// The time for which the retry of a failed attempt is kept for other workers.
pub const KEPT_FOR_OTHERS: Duration = Duration::from_secs(10);

impl Trial {
    /// The end of the time for which the next attempt is kept from the worker on which the last one
    /// failed.
    pub(super) fn kept_until(&self) -> Option<Timestamp> {
        self.failed_on.map(|_| self.not_before + KEPT_FOR_OTHERS)
    }
}

impl State {
    /// Whether trial `index` of `sweep` is kept from `worker` at `now`, because its last attempt
    /// failed there and another worker could take it.
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

    /// Whether a worker other than `worker` is known that takes trials and meets these needs.
    fn has_other_worker(&self, worker: WorkerId, needs: &[Need]) -> bool {
        self.workers.iter().any(|(id, other)| {
            let is_there = *id != worker && other.departed.is_none();
            is_there && self.takes_trials(*id) && other.unmet_need(needs).is_none()
        })
    }
}
