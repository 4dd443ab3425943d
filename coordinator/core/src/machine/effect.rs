//! What must be done after an event, once it is durable. A pure view, so that it can be recomputed
//! after a crash.

use super::event::Event;
use crate::fleet;
use crate::id::{AttemptId, Digest, SweepName, TrialId, WorkerId};
use crate::sweep::{AttemptEnded, TrialCommitted, TrialEnded, TrialLeased, TrialOutcome};
use crate::time::Timestamp;

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Workers that wait for work should ask again.
    WakeWorkers,
    /// Whoever watches this sweep should look.
    SweepChanged(SweepName),
    /// Whoever measures the speed of a sweep should be told that this attempt began.
    AttemptBegan(AttemptId, Timestamp),
    /// Likewise of its end.
    AttemptEnded {
        /// The attempt.
        attempt: AttemptId,
        /// Whether the trial came to a result by it.
        is_done: bool,
        /// When.
        at: Timestamp,
    },
    /// Whoever watches its sweep should be told of the end of this trial.
    TrialEnded(TrialId),
    /// Rows that wait for a part should be written now: the sweep ended.
    FlushSweep(SweepName),
    /// This checkpoint is no longer needed.
    DropCheckpoint(Digest),
    /// Fleets may have too few or too many pilots.
    Reconcile,
    /// Nothing of this sweep is to be shown any more.
    SweepDeleted(SweepName),
    /// Nothing of this worker is to be shown any more.
    WorkerForgotten(WorkerId),
}

/// What must be done once `event` is durable.
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
            // Workers that wait learn that nothing is left.
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
        Event::StopRequested(stop) => vec![Effect::SweepChanged(stop.trial.sweep.clone())],
        Event::AttemptEnded(AttemptEnded { attempt, outcome, at, .. }) => {
            let is_done = outcome.decides().is_some_and(TrialOutcome::is_final);
            let ended = Effect::AttemptEnded { attempt: attempt.clone(), is_done, at: *at };
            let changed = Effect::SweepChanged(attempt.trial.sweep.clone());
            // A trial that has its result is nobody's work any more.
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

/// The effects of a sweep that has more trials to run than before.
fn more_work(sweep: &SweepName) -> Vec<Effect> {
    vec![Effect::WakeWorkers, Effect::SweepChanged(sweep.clone()), Effect::Reconcile]
}

fn fleet_effects(event: &fleet::FleetEvent) -> Vec<Effect> {
    match event {
        fleet::FleetEvent::FleetLaunched(_) | fleet::FleetEvent::FleetScaled(_) => {
            vec![Effect::Reconcile]
        }
        // Workers that wait learn that there is nothing left for them.
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
