//! Clients' requests about sweeps. Each request carries an id: one that was already handled changes
//! nothing, however late it is repeated.

use std::collections::BTreeSet;

use crate::definition::SweepDefinition;
use crate::id::{RequestId, SweepName, TrialId};
use crate::machine::command::{SweepRequest, TrialSelection};
use crate::machine::event::{Event, RequestNoted};
use crate::machine::limits;
use crate::machine::rejection::Rejection;
use crate::machine::state::State;
use crate::machine::view::TrialStatus;
use crate::part::Part;
use crate::sweep::{
    ReopenedTrial, RestartedTrial, Sweep, SweepClosed, SweepDeleted, SweepEndReason, SweepPaused,
    SweepResumed, SweepSubmitted, TrialOutcome, TrialsRetried, TrialsStartedOver,
};
use crate::time::Timestamp;

/// Submits a sweep. The same name and definition is the same sweep; another definition is rejected
/// with the differences, because mixing two sweeps would spoil both.
pub(super) fn submit(
    state: &State,
    definition: &SweepDefinition,
    source: &str,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    match state.sweeps.get(&definition.name) {
        None => {
            limits::check_room_for_sweep(state, source.len())?;
            Ok(vec![Event::SweepSubmitted(SweepSubmitted {
                definition: Box::new(definition.clone()),
                source: source.to_owned(),
                at: now,
            })])
        }
        Some(sweep) if sweep.planned.definition == *definition => Ok(Vec::new()),
        Some(sweep) => Err(Rejection::SweepDiffers {
            sweep: definition.name.clone(),
            diff: sweep.planned.definition.difference(definition),
        }),
    }
}

pub(super) fn request(
    state: &State,
    request: &SweepRequest,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let (id, name) = request.target();
    if state.requests.contains(id) {
        return Ok(Vec::new());
    }
    let sweep = state.sweeps.get(name).ok_or_else(|| Rejection::UnknownSweep(name.clone()))?;
    let event = match request {
        SweepRequest::Pause { .. } => pause(sweep, id)?,
        SweepRequest::Resume { .. } => resume(sweep, id, now),
        SweepRequest::Cancel { .. } => cancel(sweep, id)?,
        SweepRequest::Retry { trials, .. } => retry(sweep, id, trials, now)?,
        SweepRequest::StartOver { trials, parts, .. } => start_over(sweep, id, trials, parts, now),
        SweepRequest::Delete { .. } => Some(delete(sweep, id, now)?),
    };
    // Recorded even if nothing changes: a later repetition could otherwise change something.
    Ok(vec![event.unwrap_or(Event::RequestNoted(RequestNoted { request: id }))])
}

fn pause(sweep: &Sweep, request: RequestId) -> Result<Option<Event>, Rejection> {
    if sweep.ended.is_some() {
        return Err(Rejection::SweepEnded(sweep.name().clone()));
    }
    let sweep_name = sweep.name().clone();
    Ok((!sweep.paused).then_some(Event::SweepPaused(SweepPaused { sweep: sweep_name, request })))
}

fn resume(sweep: &Sweep, request: RequestId, at: Timestamp) -> Option<Event> {
    if !sweep.paused && sweep.closed.is_none() {
        return None;
    }
    let reopened = reopen_retryable(sweep, TrialOutcome::Cancelled);
    Some(Event::SweepResumed(SweepResumed { sweep: sweep.name().clone(), request, reopened, at }))
}

fn cancel(sweep: &Sweep, request: RequestId) -> Result<Option<Event>, Rejection> {
    if sweep.closed == Some(SweepEndReason::Cancelled) {
        return Ok(None);
    }
    if sweep.ended.is_some() {
        return Err(Rejection::SweepEnded(sweep.name().clone()));
    }
    let (sweep, reason) = (sweep.name().clone(), SweepEndReason::Cancelled);
    Ok(Some(Event::SweepClosed(SweepClosed { sweep, reason, request: Some(request) })))
}

fn retry(
    sweep: &Sweep,
    request: RequestId,
    selection: &TrialSelection,
    at: Timestamp,
) -> Result<Option<Event>, Rejection> {
    let reopened = match selection {
        TrialSelection::Failed => reopen_retryable(sweep, TrialOutcome::Failed),
        TrialSelection::Cancelled => reopen_retryable(sweep, TrialOutcome::Cancelled),
        TrialSelection::Trials(trials) => reopen_listed(sweep, trials)?,
    };
    let sweep = sweep.name().clone();
    Ok((!reopened.is_empty()).then_some(Event::TrialsRetried(TrialsRetried {
        sweep,
        request,
        reopened,
        at,
    })))
}

fn start_over(
    sweep: &Sweep,
    request: RequestId,
    trials: &[u64],
    parts: &[Part],
    at: Timestamp,
) -> Option<Event> {
    let trials: BTreeSet<u64> = trials.iter().copied().collect();
    let started = trials.into_iter().filter_map(|index| {
        let done = sweep.done.get(&index);
        let trial = sweep.open_trial(index);
        let checkpoint = match (trial, done) {
            (None, None) => return None,
            (trial, done) => trial.and_then(|t| t.checkpoint).or(done.and_then(|d| d.checkpoint)),
        };
        Some(RestartedTrial { index, was: done.map(|done| done.outcome), checkpoint })
    });
    let (trials, parts) = (started.collect::<Vec<_>>(), parts.to_vec());
    let sweep = sweep.name().clone();
    let is_change = !trials.is_empty() || !parts.is_empty();
    is_change.then_some(Event::TrialsStartedOver(TrialsStartedOver {
        sweep,
        request,
        trials,
        parts,
        at,
    }))
}

/// Deletes a sweep, unless a worker holds a lease: its work would be lost.
fn delete(sweep: &Sweep, request: RequestId, at: Timestamp) -> Result<Event, Rejection> {
    let leases = sweep.live.values().filter_map(|trial| trial.lease.as_ref());
    let running = leases.filter(|lease| lease.until >= at).count();
    let name = sweep.name().clone();
    if running > 0 {
        return Err(Rejection::SweepBusy { sweep: name, running });
    }
    Ok(Event::SweepDeleted(SweepDeleted { sweep: name, request, at }))
}

fn reopen_retryable(sweep: &Sweep, outcome: TrialOutcome) -> Vec<ReopenedTrial> {
    let retryable =
        sweep.retryable.keys().filter_map(|index| Some((*index, sweep.done.get(index)?)));
    retryable
        .filter(|(_, done)| done.outcome == outcome)
        .map(|(index, done)| ReopenedTrial { index, was: done.outcome })
        .collect()
}

fn reopen_listed(sweep: &Sweep, trials: &[u64]) -> Result<Vec<ReopenedTrial>, Rejection> {
    let mut trials = trials.to_vec();
    trials.sort_unstable();
    trials.dedup();
    trials.into_iter().map(|index| reopen(sweep, sweep.name(), index)).collect()
}

fn reopen(sweep: &Sweep, name: &SweepName, index: u64) -> Result<ReopenedTrial, Rejection> {
    let trial = || TrialId::new(name.clone(), index);
    if index >= sweep.planned.plan.trials() {
        return Err(Rejection::UnknownTrial(trial()));
    }
    match sweep.done.get(&index) {
        Some(done) if !done.outcome.is_final() => Ok(ReopenedTrial { index, was: done.outcome }),
        _ => Err(Rejection::NotRetryable {
            trial: trial(),
            status: TrialStatus::of(sweep, index).name(),
        }),
    }
}
