//! Requests and reports of workers. A worker never decides: it reports and obeys.

use std::collections::BTreeSet;
use std::time::Duration;

use super::admit::{admit, check_state};
use super::attempt_end::{self, AttemptEndRecord, end_attempt};
use crate::id::{AttemptId, StateId, SweepName, TrialId, WorkerId};
use crate::machine::command::{AttemptClaim, AttemptEnd, CommitManifest};
use crate::machine::event::{
    Event, LeasesRenewed, WorkerDeparted, WorkerJoined, WorkerLeft, WorkerUnfit,
};
use crate::machine::limits;
use crate::machine::origin::HeldAttempt;
use crate::machine::rejection::Rejection;
use crate::machine::state::State;
use crate::machine::worker::{Worker, WorkerInfo};
use crate::needs::UnmetNeed;
use crate::resources::{FreeResources, GrantedResources, Resources};
use crate::sweep::{
    AttemptOutcome, ChosenPoint, PointRequested, StopReason, Sweep, Trial, TrialCommitted,
    TrialDeferred, TrialLeased,
};
use crate::time::Timestamp;

/// The silence after which a worker without leases is forgotten. It may join again.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// The term of a lease that is granted or renewed now.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeaseTerm {
    /// The current time.
    pub(super) at: Timestamp,
    /// The end of the lease.
    pub(super) until: Timestamp,
}

pub(super) fn join(
    state: &State,
    worker: WorkerId,
    info: &WorkerInfo,
    of: Option<StateId>,
    at: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    if of.is_some() {
        check_state(state, of)?;
    }
    let same = |known: &Worker| known.info == *info && known.departed.is_none();
    if state.workers.get(&worker).is_some_and(same) {
        return Ok(Vec::new());
    }
    // The job was restarted: its earlier worker is dead.
    let before = |old: WorkerId| {
        let old = state.workers.get(&old).map(|worker| &worker.info.place);
        let new = &info.place;
        old.is_some_and(|old| {
            new.job.is_some()
                && (&new.job, new.task) == (&old.job, old.task)
                && old.restarts < new.restarts
        })
    };
    let mut events = end_leases_of(state, AttemptOutcome::Preempted, at, before);
    events.extend(limits::make_room_for_worker(state, worker)?);
    events.push(Event::WorkerJoined(WorkerJoined { worker, info: info.clone(), at }));
    Ok(events)
}

/// A worker's request for trials.
#[derive(Debug, Clone, Copy)]
pub(super) struct AcquireRequest<'a> {
    /// The attempts that the worker knows it holds.
    pub(super) held: &'a [HeldAttempt],
    /// The free resources, as far as the worker knows.
    pub(super) free: &'a FreeResources,
    /// The only sweep that the worker serves; none means all.
    pub(super) only: Option<&'a SweepName>,
}

/// Leases one trial of the sweep submitted first: a parked trial that is promoted before one that
/// waits for another attempt, and that before one that never started.
pub(super) fn acquire(
    state: &State,
    worker: WorkerId,
    request: AcquireRequest<'_>,
    term: LeaseTerm,
) -> Result<Vec<Event>, Rejection> {
    let known = state.workers.get(&worker).filter(|known| known.departed.is_none());
    let known = known.ok_or(Rejection::UnknownWorker(worker))?;
    if !state.takes_trials(worker) {
        return Ok(Vec::new());
    }
    // A rule may have been reached since the last tick.
    let closing: Vec<Event> = super::rule_events(state, term.at).collect();
    if !closing.is_empty() {
        return Ok(closing);
    }
    let mut free = free_resources(state, worker, known, request);
    let wanted = state.order.iter().filter(|name| request.only.is_none_or(|only| only == *name));
    let sweeps = wanted.filter_map(|name| state.sweeps.get(name));
    let sweeps = sweeps.filter(|sweep| known.info.runs(&sweep.planned.definition.workload));
    let (mut lacked, mut waits) = (None, false);
    for sweep in sweeps.filter(|sweep| !sweep.paused && sweep.ended.is_none()) {
        if free.cpus == 0 {
            return Ok(Vec::new());
        }
        match choose_trial(
            state,
            sweep,
            AcquiringWorker { id: worker, worker: known, free: &free },
            term.at,
        ) {
            SweepAnswer::Lease(choice) => return Ok(vec![lease(sweep, choice, worker, term)]),
            SweepAnswer::Prepare(events) => return Ok(events),
            SweepAnswer::Wait(wanted) => (free, waits) = (free.without_reserved(&wanted), true),
            SweepAnswer::Unfit(lack) => lacked = lacked.or(Some(lack)),
            SweepAnswer::Nothing => {}
        }
    }
    let news = lacked.filter(|lack| !waits && known.is_new_need(lack));
    Ok(news.map(|lack| Event::WorkerUnfit(WorkerUnfit { worker, lack })).into_iter().collect())
}

/// Returns the free resources of a worker: what it reports, less leases that it does not know of,
/// and at most what its leases leave. The report counts because a trial that lost its lease may
/// still run.
fn free_resources(
    state: &State,
    id: WorkerId,
    worker: &Worker,
    request: AcquireRequest<'_>,
) -> FreeResources {
    let (mut left, mut said) = (FreeResources::of(worker.info.offer), request.free.clone());
    for (attempt, lease) in state.leases_of(id) {
        left.take(&lease.granted);
        if !state.is_named(&attempt, request.held) {
            said.take(&lease.granted);
        }
    }
    left.min(&said)
}

/// A worker that asks for a trial.
#[derive(Clone, Copy)]
struct AcquiringWorker<'a> {
    id: WorkerId,
    worker: &'a Worker,
    /// The free resources.
    free: &'a FreeResources,
}

/// The answer of a sweep to a worker that asks for a trial.
enum SweepAnswer {
    /// Lease this trial.
    Lease(ChosenTrial),
    /// Apply these events, then ask again.
    Prepare(Vec<Event>),
    /// A trial with this demand fits once others have ended. Meanwhile its share is reserved, or
    /// smaller trials would starve it.
    Wait(Resources),
    /// No waiting trial fits: the worker does not meet this need.
    Unfit(UnmetNeed),
    /// No trial waits.
    Nothing,
}

/// A trial to lease.
struct ChosenTrial {
    index: u64,
    /// The resources to grant.
    granted: GrantedResources,
    /// The point.
    chosen: ChosenPoint,
}

/// Chooses the first waiting trial of `sweep` that `worker` can run. Trials before it that never
/// started are deferred, so that they block nobody.
fn choose_trial(
    state: &State,
    sweep: &Sweep,
    AcquiringWorker { id, worker, free }: AcquiringWorker<'_>,
    now: Timestamp,
) -> SweepAnswer {
    let mut lacked = None;
    for index in sweep.candidates(|trial| trial.not_before <= now) {
        if state.is_kept_from(id, sweep, index, now) {
            continue;
        }
        if let Some(point) = sweep.planned.point_to_request(&sweep.history, index) {
            if sweep.requested.is_some() {
                break;
            }
            let requested = PointRequested { sweep: sweep.name().clone(), point };
            return SweepAnswer::Prepare(vec![Event::PointRequested(requested)]);
        }
        let chosen = sweep.planned.choose(&sweep.history, index);
        if let Some(lack) = worker.unmet_need(&sweep.planned.needs_at(index, &chosen.suggestion)) {
            if sweep.planned.needs.is_some() {
                // The needs of all trials are the same.
                return SweepAnswer::Unfit(lack);
            }
            lacked = lacked.or(Some(lack));
            continue;
        }
        if index > sweep.next {
            return SweepAnswer::Prepare(deferral_events(sweep, index, now));
        }
        return match sweep.planned.plan.resolve(index, &chosen.suggestion) {
            Err(error) => SweepAnswer::Prepare(vec![attempt_end::invalid_trial_event(
                sweep,
                index,
                error.to_string(),
                now,
            )]),
            Ok(trial) => match free.grant(&trial.terms.resources) {
                Some(granted) => SweepAnswer::Lease(ChosenTrial { index, granted, chosen }),
                None => SweepAnswer::Wait(trial.terms.resources),
            },
        };
    }
    lacked.map_or(SweepAnswer::Nothing, SweepAnswer::Unfit)
}

/// Defers the trials before `index` that never started.
fn deferral_events(sweep: &Sweep, index: u64, at: Timestamp) -> Vec<Event> {
    let deferred = (sweep.next..index).map(|index| {
        Event::TrialDeferred(TrialDeferred {
            trial: TrialId::new(sweep.name().clone(), index),
            suggestion: sweep.planned.choose(&sweep.history, index).recorded(),
            at,
        })
    });
    deferred.collect()
}

fn lease(
    sweep: &Sweep,
    ChosenTrial { index, granted, chosen }: ChosenTrial,
    worker: WorkerId,
    LeaseTerm { at, until }: LeaseTerm,
) -> Event {
    let last = sweep.newest_attempt(index).map_or(0, |newest| newest.number);
    let number = last.max(sweep.attempt_floor) + 1;
    let attempt = AttemptId::new(TrialId::new(sweep.name().clone(), index), number);
    let suggestion = chosen.recorded();
    Event::TrialLeased(TrialLeased { attempt, worker, suggestion, at, until, granted })
}

pub(super) fn renew(
    state: &State,
    worker: WorkerId,
    held: &[HeldAttempt],
    LeaseTerm { at, until }: LeaseTerm,
) -> Result<Vec<Event>, Rejection> {
    if !state.workers.contains_key(&worker) {
        return Err(Rejection::UnknownWorker(worker));
    }
    let held = held.iter().filter(|held| state.is_held(worker, held));
    let attempts: Vec<AttemptId> = held.map(|held| held.attempt.clone()).collect();
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::LeasesRenewed(LeasesRenewed { worker, attempts, at, until })])
}

pub(super) fn commit(
    state: &State,
    claim: &AttemptClaim,
    work: &CommitManifest,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    match admit(state, claim)? {
        None => Ok(Vec::new()),
        Some((_, trial)) => Ok(vec![Event::TrialCommitted(commit_event(claim, trial, work, now)?)]),
    }
}

pub(super) fn finish(
    state: &State,
    claim: &AttemptClaim,
    work: Option<&CommitManifest>,
    ending: &AttemptEnd,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let Some((sweep, trial)) = admit(state, claim)? else {
        return Ok(Vec::new());
    };
    let mut events = Vec::new();
    let mut trial = trial.clone();
    if let Some(work) = work {
        let committed = commit_event(claim, &trial, work, now)?;
        trial.on_committed(&committed);
        events.push(Event::TrialCommitted(committed));
    }
    let end = end_of(ending, sweep, &trial, claim);
    events.extend(end_attempt(sweep, claim.attempt.trial.index, &trial, end, now));
    Ok(events)
}

/// Accepts rows only if they are exactly those between the durable ones and the checkpoint. This
/// check is what keeps rows from being lost or doubled.
fn commit_event(
    claim: &AttemptClaim,
    trial: &Trial,
    work: &CommitManifest,
    now: Timestamp,
) -> Result<TrialCommitted, Rejection> {
    let missing = work.produced.beyond(&trial.durable);
    if work.rows != missing {
        let (found, expected) = (work.rows.total(), missing.total());
        return Err(Rejection::RowsDiffer { attempt: claim.attempt.clone(), found, expected });
    }
    Ok(TrialCommitted {
        attempt: claim.attempt.clone(),
        sequence: claim.sequence,
        checkpoint: work.checkpoint,
        replaced: trial.checkpoint.filter(|replaced| *replaced != work.checkpoint),
        produced: work.produced.clone(),
        reports: work.reports.clone(),
        fraction: work.fraction.clamp(0.0, 1.0),
        at: now,
    })
}

fn end_of(
    ending: &AttemptEnd,
    sweep: &Sweep,
    trial: &Trial,
    claim: &AttemptClaim,
) -> AttemptEndRecord {
    let end = |outcome| AttemptEndRecord::new(outcome, claim.sequence);
    let failed = |outcome, message: &str| AttemptEndRecord {
        error: Some(message.to_owned()),
        ..end(outcome)
    };
    match ending {
        AttemptEnd::Completed { metrics, summary } => AttemptEndRecord {
            metrics: metrics.clone(),
            summary: Some(summary.clone()),
            ..end(AttemptOutcome::Completed)
        },
        AttemptEnd::Diverged { metrics, summary, detail } => AttemptEndRecord {
            metrics: metrics.clone(),
            summary: Some(summary.clone()),
            ..failed(AttemptOutcome::Diverged, detail)
        },
        // A worker that stops without a request is being preempted.
        AttemptEnd::Stopped => {
            end(trial.stop.map_or(AttemptOutcome::Preempted, StopReason::outcome))
        }
        AttemptEnd::Preempted => end(AttemptOutcome::Preempted),
        AttemptEnd::TimedOut => failed(AttemptOutcome::TimedOut, &time_limit(sweep, claim)),
        AttemptEnd::OutOfMemory { message } => failed(AttemptOutcome::OutOfMemory, message),
        AttemptEnd::Error { message } => failed(AttemptOutcome::Error, message),
        AttemptEnd::CheckpointUnusable { message } => {
            AttemptEndRecord { discard_checkpoint: true, ..failed(AttemptOutcome::Error, message) }
        }
        AttemptEnd::Unfit { need, message } => {
            AttemptEndRecord { need: Some(need.clone()), ..failed(AttemptOutcome::Unfit, message) }
        }
    }
}

/// Returns the error text for an attempt that exceeded its time limit.
fn time_limit(sweep: &Sweep, claim: &AttemptClaim) -> String {
    let planned = sweep.trial(claim.attempt.trial.index).ok();
    match planned.and_then(|trial| trial.terms.timeout) {
        Some(seconds) => format!(
            "the attempt took longer than `resources.timeout: {seconds}`, the seconds that each attempt may take"
        ),
        None => "the attempt took longer than its worker allows".to_owned(),
    }
}

/// Ends the leases of a departed worker as `outcome`. The worker is forgotten only later, because
/// the rows of its attempts name its host.
pub(super) fn depart(
    state: &State,
    worker: WorkerId,
    outcome: AttemptOutcome,
    reason: Option<&str>,
    at: Timestamp,
) -> Vec<Event> {
    let Some(known) = state.workers.get(&worker) else {
        return Vec::new();
    };
    let mut events = end_leases(state, outcome, at, |attempt, _| state.holds(worker, attempt));
    if known.departed.is_none() {
        let (lost, reason) = (outcome == AttemptOutcome::Lost, reason.map(str::to_owned));
        events.push(Event::WorkerDeparted(WorkerDeparted { worker, lost, reason, at }));
    }
    events
}

/// Ends every lease of the selected workers as `outcome`.
pub(crate) fn end_leases_of(
    state: &State,
    outcome: AttemptOutcome,
    now: Timestamp,
    which: impl Fn(WorkerId) -> bool,
) -> Vec<Event> {
    end_leases(state, outcome, now, |_, trial| {
        trial.lease.as_ref().is_some_and(|lease| which(lease.worker))
    })
}

/// Ends expired leases as lost, and forgets workers without leases that were silent for long.
pub(super) fn expire(state: &State, now: Timestamp) -> Vec<Event> {
    let mut events = end_leases(state, AttemptOutcome::Lost, now, |_, trial| {
        trial.lease.as_ref().is_some_and(|lease| lease.until < now)
    });
    let silent = state.workers.iter().filter(|(_, worker)| worker.seen + FORGET_AFTER < now);
    let mut silent: BTreeSet<WorkerId> = silent.map(|(id, _)| *id).collect();
    if !silent.is_empty() {
        for (_, lease) in state.leases() {
            silent.remove(&lease.worker);
        }
    }
    events.extend(silent.into_iter().map(|worker| Event::WorkerLeft(WorkerLeft { worker })));
    events
}

fn end_leases(
    state: &State,
    outcome: AttemptOutcome,
    now: Timestamp,
    which: impl Fn(&AttemptId, &Trial) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    for (attempt, _) in state.leases() {
        let TrialId { sweep, index } = &attempt.trial;
        let Some(sweep) = state.sweeps.get(sweep) else { continue };
        let Some(trial) = sweep.live.get(index).filter(|trial| which(&attempt, trial)) else {
            continue;
        };
        let end = AttemptEndRecord::new(outcome, trial.sequence);
        events.extend(end_attempt(sweep, *index, trial, end, now));
    }
    events
}
