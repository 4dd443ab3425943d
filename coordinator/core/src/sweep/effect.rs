//! What must be done after an event, once it is durable. A pure view, so that it can be recomputed
//! after a crash.

use super::event::Event;
use super::outcome::Outcome;
use crate::fleet;
use crate::id::{AttemptId, Digest, SweepName, TrialId, WorkerId};
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
        Event::SweepSubmitted { definition, .. } => {
            vec![
                Effect::WakeWorkers,
                Effect::SweepChanged(definition.name.clone()),
                Effect::Reconcile,
            ]
        }
        Event::SweepResumed { sweep, .. } | Event::TrialsRetried { sweep, .. } => {
            vec![Effect::WakeWorkers, Effect::SweepChanged(sweep.clone()), Effect::Reconcile]
        }
        Event::TrialsStartedOver { sweep, trials, .. } => {
            let dropped = trials.iter().filter_map(|trial| trial.checkpoint);
            let dropped = dropped.map(Effect::DropCheckpoint);
            let follow =
                [Effect::WakeWorkers, Effect::SweepChanged(sweep.clone()), Effect::Reconcile];
            dropped.chain(follow).collect()
        }
        Event::SweepPaused { sweep, .. } | Event::SweepClosed { sweep, .. } => {
            vec![Effect::SweepChanged(sweep.clone())]
        }
        Event::SweepEnded { sweep, .. } => vec![
            // Workers that wait learn that nothing is left.
            Effect::WakeWorkers,
            Effect::SweepChanged(sweep.clone()),
            Effect::FlushSweep(sweep.clone()),
        ],
        Event::SweepDeleted { sweep, .. } => vec![
            Effect::WakeWorkers,
            Effect::SweepDeleted(sweep.clone()),
            Effect::SweepChanged(sweep.clone()),
            Effect::Reconcile,
        ],
        Event::WorkerLeft { worker } => vec![Effect::WorkerForgotten(*worker)],
        Event::TrialLeased { attempt, at, .. } => vec![
            Effect::AttemptBegan(attempt.clone(), *at),
            Effect::SweepChanged(attempt.trial.sweep.clone()),
        ],
        Event::Committed { attempt, replaced, .. } => replaced
            .iter()
            .map(|digest| Effect::DropCheckpoint(*digest))
            .chain([Effect::SweepChanged(attempt.trial.sweep.clone())])
            .collect(),
        Event::Fleet(event) => fleet_effects(event),
        Event::StopRequested { trial, .. } => vec![Effect::SweepChanged(trial.sweep.clone())],
        Event::AttemptEnded { attempt, outcome, at, .. } => {
            let is_done = outcome.decides().is_some_and(Outcome::is_final);
            let ended = Effect::AttemptEnded { attempt: attempt.clone(), is_done, at: *at };
            let changed = Effect::SweepChanged(attempt.trial.sweep.clone());
            // A trial that has its result is nobody's work any more.
            let wake = outcome.decides().is_none().then_some(Effect::WakeWorkers);
            [ended, changed].into_iter().chain(wake).collect()
        }
        Event::TrialEnded { trial, dropped, .. } => dropped
            .iter()
            .map(|digest| Effect::DropCheckpoint(*digest))
            .chain([Effect::TrialEnded(trial.clone())])
            .collect(),
        Event::Started { .. }
        | Event::RequestNoted { .. }
        | Event::WorkerJoined { .. }
        | Event::WorkerUnfit { .. }
        | Event::WorkerDeparted { .. }
        | Event::TrialDeferred { .. }
        | Event::LeasesRenewed { .. } => Vec::new(),
    }
}

fn fleet_effects(event: &fleet::Event) -> Vec<Effect> {
    match event {
        fleet::Event::Launched { .. } | fleet::Event::Scaled { .. } => vec![Effect::Reconcile],
        // Workers that wait learn that there is nothing left for them.
        fleet::Event::Drained { .. } | fleet::Event::Stopped { .. } => {
            vec![Effect::WakeWorkers, Effect::Reconcile]
        }
        fleet::Event::PilotRemoved { .. } | fleet::Event::PilotEnded { .. } => {
            vec![Effect::WakeWorkers]
        }
        _ => Vec::new(),
    }
}
