//! The verdict of the pruner after a commit.

use super::attempt_end;
use crate::history::TrialHistory;
use crate::id::TrialId;
use crate::machine::event::Event;
use crate::pruner::Verdict;
use crate::sweep::{StopReason, StopRequested, Sweep, Trial, TrialOutcome};
use crate::time::Timestamp;

/// Returns the event that follows from the verdict on trial `index`, which has just committed. A
/// trial without a lease, whose attempt ended with the commit, ends at once.
pub(super) fn judge(sweep: &Sweep, index: u64, now: Timestamp) -> Option<Event> {
    let trial = sweep.live.get(&index).filter(|trial| trial.stop.is_none())?;
    let pruner = sweep.planned.pruner.as_ref()?;
    if is_trained(sweep, index) {
        return None;
    }
    match (pruner.judge(&sweep.history, index), &trial.lease) {
        (Verdict::Continue, _) => None,
        (Verdict::Stop, Some(_)) => Some(stop_event(sweep, index, StopReason::Pruned, None)),
        (Verdict::Stop, None) => Some(pruned(sweep, index, trial, now)),
        (Verdict::Park { rung }, Some(_)) => {
            Some(stop_event(sweep, index, StopReason::Parked, Some(rung)))
        }
        (Verdict::Park { rung }, None) => Some(attempt_end::parked_event(sweep, index, rung, now)),
    }
}

/// Returns the ends of all parked trials of a sweep in which nothing else is left to run.
pub(super) fn prune_parked(sweep: &Sweep, now: Timestamp) -> Vec<Event> {
    sweep.parked.iter().map(|(index, trial)| pruned(sweep, *index, trial, now)).collect()
}

fn stop_event(sweep: &Sweep, index: u64, reason: StopReason, rung: Option<u32>) -> Event {
    let trial = TrialId::new(sweep.name().clone(), index);
    Event::StopRequested(StopRequested { trial, reason, rung })
}

fn pruned(sweep: &Sweep, index: u64, trial: &Trial, now: Timestamp) -> Event {
    attempt_end::end_without_lease(sweep, index, trial, TrialOutcome::Pruned, now)
}

/// Whether trial `index` has reported its last epoch: stopping it would save nothing but its
/// evaluation.
fn is_trained(sweep: &Sweep, index: u64) -> bool {
    let epochs = sweep.trial(index).ok().and_then(|trial| trial.terms.epochs);
    let reported = sweep.history.trial(index).map_or(0, TrialHistory::epochs);
    epochs.is_some_and(|epochs| reported >= epochs)
}
