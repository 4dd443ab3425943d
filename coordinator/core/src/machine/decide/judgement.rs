//! The verdict of the pruner after a commit.

use super::attempt_end;
use crate::history::TrialHistory;
use crate::id::TrialId;
use crate::machine::event::Event;
use crate::pruner::Verdict;
use crate::sweep::{StopReason, StopRequested, Sweep, Trial, TrialOutcome};
use crate::time::Timestamp;

/// Returns the events that follow from the verdict on trial `index`, which has just committed. A
/// trial without a lease, whose attempt ended with the commit, ends at once.
pub(super) fn judge(sweep: &Sweep, index: u64, now: Timestamp) -> Vec<Event> {
    let running = sweep.live.get(&index).filter(|trial| trial.stop.is_none());
    let Some((trial, pruner)) = running.zip(sweep.planned.pruner.as_ref()) else {
        return Vec::new();
    };
    if is_trained(sweep, index) {
        return Vec::new();
    }
    let is_leased = trial.lease.is_some();
    match pruner.judge(&sweep.history, index) {
        Verdict::Continue => Vec::new(),
        Verdict::Stop { epochs } => {
            let end = (!is_leased).then(|| pruned(sweep, index, trial, now));
            let stop = stop_event(sweep, index, StopReason::Pruned, epochs);
            [Some(stop), end].into_iter().flatten().collect()
        }
        Verdict::Park { rung } if is_leased => {
            vec![stop_event(sweep, index, StopReason::Parked, rung)]
        }
        Verdict::Park { rung } => vec![attempt_end::parked_event(sweep, index, rung, now)],
    }
}

/// Returns the ends of all parked trials of a sweep in which nothing else is left to run.
pub(super) fn prune_parked(sweep: &Sweep, now: Timestamp) -> Vec<Event> {
    sweep.parked.iter().map(|(index, trial)| pruned(sweep, *index, trial, now)).collect()
}

fn stop_event(sweep: &Sweep, index: u64, reason: StopReason, epochs: u32) -> Event {
    let trial = TrialId::new(sweep.name().clone(), index);
    Event::StopRequested(StopRequested { trial, reason, rung: Some(epochs) })
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
