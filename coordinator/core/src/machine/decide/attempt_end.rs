//! The end of an attempt: the trial ends, or is retried while the retry budget for the cause lasts.
//! Preemption has no budget unless the sweep sets one.

use std::time::Duration;

use serde_json::Value as Json;

use crate::id::{AttemptId, TrialId};
use crate::machine::event::Event;
use crate::metric::Metrics;
use crate::needs::Need;
use crate::sweep::{
    AttemptEnded, AttemptOutcome, StopReason, Sweep, Trial, TrialEnded, TrialOutcome, TrialParked,
};
use crate::terms::CheckpointRetention;
use crate::time::Timestamp;

/// The longest pause before a retry.
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// The known facts about the end of an attempt.
#[derive(Debug, Clone)]
pub(super) struct AttemptEndRecord {
    pub(super) outcome: AttemptOutcome,
    /// The number of the last message of the attempt.
    pub(super) sequence: u64,
    pub(super) error: Option<String>,
    /// The unmet need, if the worker was unfit.
    pub(super) need: Option<Need>,
    pub(super) discard_checkpoint: bool,
    pub(super) metrics: Metrics,
    pub(super) summary: Option<Box<Json>>,
}

impl AttemptEndRecord {
    pub(super) fn new(outcome: AttemptOutcome, sequence: u64) -> Self {
        Self {
            outcome,
            sequence,
            error: None,
            need: None,
            discard_checkpoint: false,
            metrics: Metrics::new(),
            summary: None,
        }
    }
}

/// The end of a trial: the outcome, and the attempt that decided it.
struct TrialEnd {
    outcome: TrialOutcome,
    end: AttemptEndRecord,
}

/// Returns the events that end the current attempt of trial `index`, and the trial if that follows.
pub(super) fn end_attempt(
    sweep: &Sweep,
    index: u64,
    trial: &Trial,
    end: AttemptEndRecord,
    now: Timestamp,
) -> Vec<Event> {
    let Some(lease) = &trial.lease else {
        return Vec::new();
    };
    let id = TrialId::new(sweep.name().clone(), index);
    let spent = trial.ends.get(&end.outcome).copied().unwrap_or(0);
    let mut events = vec![Event::AttemptEnded(AttemptEnded {
        attempt: AttemptId::new(id, trial.attempt),
        worker: lease.worker,
        since: lease.since,
        sequence: end.sequence,
        commits: lease.commits,
        epochs: lease.epochs,
        outcome: end.outcome,
        error: end.error.clone(),
        need: end.need.clone(),
        discard_checkpoint: end.discard_checkpoint,
        at: now,
        not_before: now + backoff(sweep, end.outcome, spent),
    })];
    let stopped = trial.stop.map(StopReason::outcome);
    let decided = end.outcome.decides().or(stopped.and_then(AttemptOutcome::decides));
    if let Some(outcome) = decided {
        events.push(trial_ended(sweep, index, trial, TrialEnd { outcome, end }, now));
    } else if budget(sweep, end.outcome).is_some_and(|budget| spent >= budget) {
        let error = budget_error(sweep, &end, spent);
        let end = AttemptEndRecord { error: Some(error), ..end };
        events.push(trial_ended(
            sweep,
            index,
            trial,
            TrialEnd { outcome: TrialOutcome::Failed, end },
            now,
        ));
    } else if let (Some(StopReason::Parked), Some(rung)) = (trial.stop, trial.rung) {
        events.push(parked_event(sweep, index, rung, now));
    }
    events
}

/// Returns the event that parks trial `index`, which has no lease.
pub(super) fn parked_event(sweep: &Sweep, index: u64, rung: u32, at: Timestamp) -> Event {
    let trial = TrialId::new(sweep.name().clone(), index);
    Event::TrialParked(TrialParked { trial, rung, at })
}

/// Returns the end of a trial that has no lease, as cancelled or pruned.
pub(super) fn end_without_lease(
    sweep: &Sweep,
    index: u64,
    trial: &Trial,
    outcome: TrialOutcome,
    now: Timestamp,
) -> Event {
    let is_cancelled = outcome == TrialOutcome::Cancelled;
    let end = AttemptEndRecord {
        error: trial.error.clone().filter(|_| is_cancelled),
        ..AttemptEndRecord::new(AttemptOutcome::Cancelled, 0)
    };
    trial_ended(sweep, index, trial, TrialEnd { outcome, end }, now)
}

/// Returns the end of a trial whose configuration is invalid.
pub(super) fn invalid_trial_event(
    sweep: &Sweep,
    index: u64,
    error: String,
    now: Timestamp,
) -> Event {
    Event::TrialEnded(TrialEnded {
        trial: TrialId::new(sweep.name().clone(), index),
        outcome: TrialOutcome::Failed,
        metrics: Metrics::new(),
        summary: None,
        error: Some(error),
        dropped: None,
        at: now,
    })
}

fn trial_ended(
    sweep: &Sweep,
    index: u64,
    trial: &Trial,
    TrialEnd { outcome, end }: TrialEnd,
    now: Timestamp,
) -> Event {
    let unkept = outcome.is_final() && keep(sweep, index) == CheckpointRetention::None;
    Event::TrialEnded(TrialEnded {
        trial: TrialId::new(sweep.name().clone(), index),
        outcome,
        metrics: end.metrics,
        summary: end.summary,
        error: end.error,
        dropped: trial.checkpoint.filter(|_| unkept),
        at: now,
    })
}

fn keep(sweep: &Sweep, index: u64) -> CheckpointRetention {
    sweep.trial(index).map_or(CheckpointRetention::Final, |trial| trial.terms.keep)
}

fn budget(sweep: &Sweep, outcome: AttemptOutcome) -> Option<u32> {
    let retry = &sweep.planned.definition.retry;
    match outcome {
        AttemptOutcome::Preempted => retry.preempted,
        AttemptOutcome::Lost => Some(retry.lost),
        AttemptOutcome::TimedOut => Some(retry.timed_out),
        AttemptOutcome::OutOfMemory => Some(retry.out_of_memory),
        AttemptOutcome::Error => Some(retry.error),
        AttemptOutcome::Completed
        | AttemptOutcome::Diverged
        | AttemptOutcome::Pruned
        | AttemptOutcome::Cancelled
        | AttemptOutcome::Paused
        // An unfit worker says nothing about the trial, and gets no similar one.
        | AttemptOutcome::Unfit => None,
    }
}

/// Returns the pause before the next attempt. A preempted, lost or unfit worker says nothing about
/// the trial, so there is no pause. Otherwise the pause doubles each time, lest a broken node spend
/// the budget within a second.
fn backoff(sweep: &Sweep, outcome: AttemptOutcome, spent: u32) -> Duration {
    if matches!(
        outcome,
        AttemptOutcome::Preempted
            | AttemptOutcome::Lost
            | AttemptOutcome::Unfit
            | AttemptOutcome::Paused
    ) {
        return Duration::ZERO;
    }
    let first = Duration::try_from_secs_f64(sweep.planned.definition.retry.backoff);
    let first = first.unwrap_or(MAX_BACKOFF).min(MAX_BACKOFF);
    first.saturating_mul(2u32.saturating_pow(spent)).min(MAX_BACKOFF)
}

fn budget_error(sweep: &Sweep, end: &AttemptEndRecord, spent: u32) -> String {
    let name = end.outcome.name();
    let budget = budget(sweep, end.outcome).unwrap_or(spent);
    let why = end.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("ended as {name} {} times (retry.{name}: {budget}){why}", spent + 1)
}
