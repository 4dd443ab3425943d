//! Turning commands into events. Deciding is pure: a rejected or repeated command changes nothing.

mod admit;
mod attempt_end;
mod client;
mod judgement;
mod worker;

pub(super) use self::worker::end_leases_of;
use self::worker::{AcquireRequest, LeaseTerm};
use super::caller::Caller;
use super::command::Command;
use super::event::{CoordinatorStarted, Event};
use super::rejection::Rejection;
use super::state::State;
use crate::id::SweepName;
use crate::metric::Goal;
use crate::ranking::PointStanding;
use crate::sweep::{
    AttemptOutcome, PointChosen, Sweep, SweepClosed, SweepEndReason, SweepEnded, TrialCommitted,
    TrialEnded, TrialOutcome,
};
use crate::time::Timestamp;

/// Returns the events that `command` of `caller` causes at `now`, or its rejection.
pub fn decide(
    state: &State,
    caller: Caller,
    command: &Command,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    if !caller.may_ask(command) {
        return Err(Rejection::NotAllowed(caller));
    }
    match command {
        Command::Start { lease, state: candidate, incarnation } => {
            Ok(vec![Event::CoordinatorStarted(CoordinatorStarted {
                at: now,
                leases_until: now + *lease,
                state: state.id.unwrap_or(*candidate),
                incarnation: *incarnation,
            })])
        }
        Command::Submit { definition, source } => client::submit(state, definition, source, now),
        Command::Fleet(command) => super::fleets::decide(state, command, now),
        Command::Client(request) => client::request(state, request, now),
        Command::ChoosePoint { sweep, point, suggestion, version } => {
            let waits = state.sweeps.get(sweep).is_some_and(|it| it.requested == Some(*point));
            let chosen = PointChosen {
                sweep: sweep.clone(),
                point: *point,
                suggestion: suggestion.clone(),
                version: *version,
            };
            Ok(waits.then_some(Event::PointChosen(chosen)).into_iter().collect())
        }
        Command::Join { worker, info, state: of } => worker::join(state, *worker, info, *of, now),
        Command::Acquire { worker, held, free, only, lease } => {
            let request = AcquireRequest { held, free, only: only.as_ref() };
            worker::acquire(state, *worker, request, LeaseTerm { at: now, until: now + *lease })
        }
        Command::Renew { worker, held, lease } => {
            worker::renew(state, *worker, held, LeaseTerm { at: now, until: now + *lease })
        }
        Command::Commit { claim, work } => worker::commit(state, claim, work, now),
        Command::Finish { claim, work, ending } => {
            worker::finish(state, claim, work.as_ref(), ending, now)
        }
        Command::Leave { worker } => {
            Ok(worker::depart(state, *worker, AttemptOutcome::Preempted, None, now))
        }
        Command::LeaveUnfit { worker, reason } => {
            let why = Some(reason.as_str());
            Ok(worker::depart(state, *worker, AttemptOutcome::Preempted, why, now))
        }
        Command::ReportLost { worker } => {
            Ok(worker::depart(state, *worker, AttemptOutcome::Lost, None, now))
        }
        Command::Tick => {
            let mut events = worker::expire(state, now);
            events.extend(rule_events(state, now));
            Ok(events)
        }
    }
}

/// Executes `command` of `caller` on `state` and returns the events in order, ready to be
/// journaled.
///
/// [`Command::Acquire`] is repeated until the slots are full or no trial fits. Consequences of the
/// events (a trial is pruned, a sweep reaches a limit, a sweep ends) follow at once.
pub fn execute(
    state: &mut State,
    caller: Caller,
    command: &Command,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let mut happened = Vec::new();
    loop {
        let mut pending = decide(state, caller, command, now)?;
        let repeat = matches!(command, Command::Acquire { .. }) && !pending.is_empty();
        while !pending.is_empty() {
            for event in &pending {
                state.apply(event);
            }
            let consequences = consequences(state, &pending, now);
            happened.append(&mut pending);
            pending = consequences;
        }
        if !repeat {
            return Ok(happened);
        }
    }
}

/// Returns the events that follow from `events`, which have been applied.
fn consequences(state: &State, events: &[Event], now: Timestamp) -> Vec<Event> {
    let mut names: Vec<&SweepName> = events.iter().filter_map(Event::sweep).collect();
    names.sort_unstable();
    names.dedup();
    let mut follow = Vec::new();
    for sweep in names.iter().filter_map(|name| state.sweeps.get(*name)) {
        let own = events.iter().filter(|event| event.sweep() == Some(sweep.name()));
        let mut caused: Vec<Event> =
            own.clone().flat_map(|event| consequence(sweep, event, now)).collect();
        // Trials that end together close the sweep once.
        let mut is_closed = false;
        caused.retain(|event| {
            !matches!(event, Event::SweepClosed(_)) || !std::mem::replace(&mut is_closed, true)
        });
        if !is_closed && own.clone().any(spends) {
            caused.extend(rule_event(sweep, now));
        }
        if caused.is_empty() {
            follow.extend(cancel_waiting(sweep, now));
        }
        follow.extend(caused);
    }
    if follow.is_empty() {
        let touched = names.into_iter().filter_map(|name| state.sweeps.get(name));
        follow.extend(touched.flat_map(|sweep| end_events(sweep, now)));
    }
    follow
}

/// Returns the events that stop, park or prune a trial after a report, or the one that closes a sweep
/// that has reached a limit.
fn consequence(sweep: &Sweep, event: &Event, now: Timestamp) -> Vec<Event> {
    match event {
        Event::TrialCommitted(TrialCommitted { attempt, .. }) => {
            judgement::judge(sweep, attempt.trial.index, now)
        }
        Event::TrialEnded(_) if sweep.closed.is_none() => {
            limit_reached(sweep, event).map(|reason| closed(sweep, reason)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a sweep may have reached a rule of `stop:` with `event`.
fn spends(event: &Event) -> bool {
    matches!(event, Event::TrialCommitted(_) | Event::TrialEnded(_) | Event::TrialParked(_))
}

/// Returns the event that closes a sweep that has reached a rule of `stop:`.
fn rule_event(sweep: &Sweep, now: Timestamp) -> Option<Event> {
    sweep.reached_rule(now).map(|reason| closed(sweep, reason))
}

/// Returns the events that close the sweeps that have reached a rule of `stop:` as time passed.
fn rule_events(state: &State, now: Timestamp) -> impl Iterator<Item = Event> {
    state.sweeps.values().filter_map(move |sweep| rule_event(sweep, now))
}

fn closed(sweep: &Sweep, reason: SweepEndReason) -> Event {
    Event::SweepClosed(SweepClosed { sweep: sweep.name().clone(), reason, request: None })
}

fn limit_reached(sweep: &Sweep, ended: &Event) -> Option<SweepEndReason> {
    let definition = &sweep.planned.definition;
    let failed = sweep.count(TrialOutcome::Failed);
    if definition.max_failed_trials.is_some_and(|most| failed >= most) {
        return Some(SweepEndReason::MaxFailedTrials);
    }
    let Event::TrialEnded(TrialEnded { trial, outcome: TrialOutcome::Completed, .. }) = ended
    else {
        return None;
    };
    let target = definition.objective.target?;
    // The value over all seeds must reach the target: one lucky seed does not.
    let point = sweep.point_result(sweep.planned.plan.point_of(trial.index));
    let value = point.aggregate.filter(|_| point.standing == PointStanding::Completed)?.value?;
    let reached = match definition.objective.goal {
        Goal::Minimize => value <= target,
        Goal::Maximize => value >= target,
    };
    reached.then_some(SweepEndReason::Target)
}

/// Ends trials that must stop and have no lease.
fn cancel_waiting(sweep: &Sweep, now: Timestamp) -> Vec<Event> {
    if !sweep.closed.is_some_and(SweepEndReason::stops_running_trials) {
        return Vec::new();
    }
    let waiting = sweep.live.iter().chain(&sweep.parked);
    let waiting = waiting.filter(|(_, trial)| trial.lease.is_none());
    let stopped = waiting.filter(|(_, trial)| trial.stop.is_some());
    stopped
        .map(|(index, trial)| {
            let outcome = TrialOutcome::Cancelled;
            attempt_end::end_without_lease(sweep, *index, trial, outcome, now)
        })
        .collect()
}

/// Returns the events that end a sweep without a trial left to run: the ends of its parked trials,
/// and after those its own.
fn end_events(sweep: &Sweep, now: Timestamp) -> Vec<Event> {
    if sweep.ended.is_some() || !sweep.is_over() {
        return Vec::new();
    }
    if !sweep.parked.is_empty() {
        return judgement::prune_parked(sweep, now);
    }
    let reason = sweep.closed.unwrap_or_else(|| sweep.planned.plan.end_reason().into());
    vec![Event::SweepEnded(SweepEnded { sweep: sweep.name().clone(), reason, at: now })]
}
