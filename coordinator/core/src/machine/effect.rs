//! Effects: actions to take once an event is durable. They are a pure function of the event, so
//! they can be recomputed after a crash.

use super::event::Event;
use crate::fleet;
use crate::id::{AttemptId, Digest, SweepName, TrialId, WorkerId};
use crate::sweep::{
    AttemptEnded, StopReason, TrialCommitted, TrialEnded, TrialLeased, TrialOutcome,
};
use crate::time::Timestamp;

/// An action outside the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Wake idle workers, so that they ask again.
    WakeWorkers,
    /// Notify the watchers of this sweep.
    SweepChanged(SweepName),
    /// Report the start of this attempt to the speed meter.
    AttemptBegan(AttemptId, Timestamp),
    /// Report the end of an attempt to the speed meter.
    AttemptEnded {
        /// The attempt.
        attempt: AttemptId,
        /// Whether the trial has its result.
        is_done: bool,
        /// The time.
        at: Timestamp,
    },
    /// Notify the watchers of the sweep that this trial ended.
    TrialEnded(TrialId),
    /// Write the pending rows of this ended sweep into parts now.
    FlushSweep(SweepName),
    /// Delete this checkpoint: it is no longer needed.
    DropCheckpoint(Digest),
    /// Reconcile the fleets: they may have too few or too many pilots.
    Reconcile,
    /// Choose this point of this sweep, and give it to the sweep.
    ChoosePoint(SweepName, u64),
    /// Drop everything shown about this deleted sweep.
    SweepDeleted(SweepName),
    /// Drop everything shown about this forgotten worker.
    WorkerForgotten(WorkerId),
}

/// Returns the effects of a durable `event`.
pub fn effects(event: &Event) -> Vec<Effect> {
    match event {
        Event::SweepSubmitted(submitted) => more_work(&submitted.definition.name),
        Event::SweepResumed(resumed) => more_work(&resumed.sweep),
        Event::TrialsRetried(retried) => more_work(&retried.sweep),
        Event::TrialsStartedOver(started_over) => {
            let dropped = started_over.trials.iter().filter_map(|trial| trial.checkpoint);
            let dropped = dropped.map(Effect::DropCheckpoint);
            dropped.chain(more_work(&started_over.sweep)).collect()
        }
        Event::SweepPaused(paused) => vec![Effect::SweepChanged(paused.sweep.clone())],
        Event::SweepClosed(closed) => vec![Effect::SweepChanged(closed.sweep.clone())],
        Event::SweepEnded(ended) => vec![
            // Idle workers learn that no work is left.
            Effect::WakeWorkers,
            Effect::SweepChanged(ended.sweep.clone()),
            Effect::FlushSweep(ended.sweep.clone()),
        ],
        Event::SweepDeleted(deleted) => vec![
            Effect::WakeWorkers,
            Effect::SweepDeleted(deleted.sweep.clone()),
            Effect::SweepChanged(deleted.sweep.clone()),
            Effect::Reconcile,
        ],
        Event::PointRequested(requested) => {
            vec![Effect::ChoosePoint(requested.sweep.clone(), requested.point)]
        }
        Event::PointChosen(_) => vec![Effect::WakeWorkers],
        Event::WorkerLeft(left) => vec![Effect::WorkerForgotten(left.worker)],
        Event::TrialLeased(TrialLeased { attempt, at, .. }) => vec![
            Effect::AttemptBegan(attempt.clone(), *at),
            Effect::SweepChanged(attempt.trial.sweep.clone()),
        ],
        Event::TrialCommitted(TrialCommitted { attempt, replaced, .. }) => {
            let dropped = replaced.map(Effect::DropCheckpoint);
            let changed = Effect::SweepChanged(attempt.trial.sweep.clone());
            dropped.into_iter().chain([changed]).collect()
        }
        Event::StopRequested(stop) => {
            // Another trial may be among the best at the rung now.
            let wake = (stop.reason == StopReason::Parked).then_some(Effect::WakeWorkers);
            wake.into_iter().chain([Effect::SweepChanged(stop.trial.sweep.clone())]).collect()
        }
        Event::TrialParked(parked) => {
            vec![Effect::WakeWorkers, Effect::SweepChanged(parked.trial.sweep.clone())]
        }
        Event::AttemptEnded(AttemptEnded { attempt, outcome, at, .. }) => {
            let is_done = outcome.decides().is_some_and(TrialOutcome::is_final);
            let ended = Effect::AttemptEnded { attempt: attempt.clone(), is_done, at: *at };
            let changed = Effect::SweepChanged(attempt.trial.sweep.clone());
            // A trial with a result is no more work for anybody.
            let wake = outcome.decides().is_none().then_some(Effect::WakeWorkers);
            [ended, changed].into_iter().chain(wake).collect()
        }
        Event::TrialEnded(TrialEnded { trial, dropped, .. }) => {
            let dropped = dropped.map(Effect::DropCheckpoint);
            dropped.into_iter().chain([Effect::TrialEnded(trial.clone())]).collect()
        }
        Event::Fleet(event) => fleet_effects(event),
        Event::CoordinatorStarted(_)
        | Event::RequestNoted(_)
        | Event::WorkerJoined(_)
        | Event::WorkerUnfit(_)
        | Event::WorkerDeparted(_)
        | Event::TrialDeferred(_)
        | Event::LeasesRenewed(_) => Vec::new(),
    }
}

/// Returns the effects for a sweep that has more trials to run.
fn more_work(sweep: &SweepName) -> Vec<Effect> {
    vec![Effect::WakeWorkers, Effect::SweepChanged(sweep.clone()), Effect::Reconcile]
}

fn fleet_effects(event: &fleet::FleetEvent) -> Vec<Effect> {
    match event {
        fleet::FleetEvent::FleetLaunched(_) | fleet::FleetEvent::FleetScaled(_) => {
            vec![Effect::Reconcile]
        }
        // Idle workers learn that the fleet gives them no more work.
        fleet::FleetEvent::FleetDrained(_) | fleet::FleetEvent::FleetStopped(_) => {
            vec![Effect::WakeWorkers, Effect::Reconcile]
        }
        fleet::FleetEvent::PilotRemoved(_) | fleet::FleetEvent::PilotEnded(_) => {
            vec![Effect::WakeWorkers]
        }
        fleet::FleetEvent::PilotPlanned(_)
        | fleet::FleetEvent::PilotObserved(_)
        | fleet::FleetEvent::NodeUnfit(_)
        | fleet::FleetEvent::FleetDegraded(_) => Vec::new(),
    }
}
