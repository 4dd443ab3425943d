//! Decisions about fleets: from requests and observed pilots to events.
//!
//! Pilots are planned and removed only by [`FleetCommand::Reconcile`], which reports *every* live
//! pilot. While the cluster cannot report all of them, nothing is decided: a pilot that was merely
//! not seen would be replaced, and the upper bound broken.

use super::reconcile::reconcile;
use crate::fleet::{
    Fleet, FleetCommand, FleetDegraded, FleetDrained, FleetEvent, FleetLaunched, FleetName,
    FleetScaled, FleetStopped, PilotEndCause, PilotEnded, PilotId, PilotObserved, PilotPhase,
    failure_event,
};
use crate::id::WorkerId;
use crate::machine::{self, Rejection, State};
use crate::time::Timestamp;

pub(crate) fn decide(
    state: &State,
    command: &FleetCommand,
    now: Timestamp,
) -> Result<Vec<machine::Event>, Rejection> {
    let known = |name: &FleetName| {
        state.fleets.get(name).ok_or_else(|| Rejection::UnknownFleet(name.clone()))
    };
    let wrap =
        |events: Vec<FleetEvent>| Ok(events.into_iter().map(machine::Event::Fleet).collect());
    match command {
        FleetCommand::Launch { request, .. }
        | FleetCommand::Scale { request, .. }
        | FleetCommand::Drain { request, .. }
        | FleetCommand::Stop { request, .. }
            if state.requests.contains(*request) =>
        {
            Ok(Vec::new())
        }
        FleetCommand::Launch { spec, id, request } => {
            machine::limits::check_room_for_fleet(state, &spec.name)?;
            wrap(vec![FleetEvent::FleetLaunched(FleetLaunched {
                spec: spec.clone(),
                id: *id,
                request: *request,
            })])
        }
        FleetCommand::Scale { fleet, min, max, request } => {
            let spec = &known(fleet)?.spec;
            let max = max.unwrap_or(spec.max);
            let min = min.unwrap_or(spec.min.min(max)).min(max);
            wrap(vec![FleetEvent::FleetScaled(FleetScaled {
                fleet: fleet.clone(),
                min,
                max,
                request: *request,
            })])
        }
        FleetCommand::Drain { fleet, request } => {
            let fleet = known(fleet)?.spec.name.clone();
            wrap(vec![FleetEvent::FleetDrained(FleetDrained { fleet, request: *request })])
        }
        FleetCommand::Stop { fleet, request } => {
            let fleet = known(fleet)?.spec.name.clone();
            wrap(vec![FleetEvent::FleetStopped(FleetStopped { fleet, request: *request })])
        }
        FleetCommand::Reconcile { fleet, statuses } => {
            Ok(reconcile(state, known(fleet)?, statuses, now))
        }
        FleetCommand::Submitted { pilot, handle } => {
            let unseen = known(&pilot.fleet)?.pilots.get(&pilot.number);
            let unseen = unseen.filter(|known| known.handle.as_ref() != Some(handle));
            let phase = PilotPhase::Waiting { reason: String::new() };
            let (pilot, handle, at) = (pilot.clone(), handle.clone(), now);
            wrap(
                unseen
                    .map(|_| FleetEvent::PilotObserved(PilotObserved { pilot, handle, phase, at }))
                    .into_iter()
                    .collect(),
            )
        }
        FleetCommand::Refused { fleet, pilots, text, is_limit } => {
            let given_up = refusal_events(known(fleet)?, pilots, text, *is_limit, now);
            // A refused pilot may have run before its reply was lost.
            let theirs = |worker: WorkerId| {
                let pilot = state.pilot_of(worker);
                pilot.is_some_and(|pilot| pilot.fleet == *fleet && pilots.contains(&pilot.number))
            };
            let outcome = PilotEndCause::Refused.attempt_outcome();
            let lost = machine::decide::end_leases_of(state, outcome, now, theirs);
            Ok(given_up.into_iter().map(machine::Event::Fleet).chain(lost).collect())
        }
        FleetCommand::Unavailable { fleet, text } => {
            wrap(obstacle_event(known(fleet)?, text, now).into_iter().collect())
        }
    }
}

/// Ends refused pilots; the next one is planned after a pause.
fn refusal_events(
    fleet: &Fleet,
    pilots: &[u64],
    text: &str,
    is_limit: bool,
    at: Timestamp,
) -> Vec<FleetEvent> {
    let mut events = Vec::new();
    for number in pilots.iter().copied().filter(|number| fleet.pilots.contains_key(number)) {
        let pilot = PilotId { fleet: fleet.spec.name.clone(), number };
        let detail = text.to_owned();
        events.push(FleetEvent::PilotEnded(PilotEnded {
            pilot,
            cause: PilotEndCause::Refused,
            detail,
            at,
        }));
    }
    if !events.is_empty() {
        events.extend(failure_event(fleet, text, !is_limit, at));
    }
    events
}

/// Reports a new obstacle that does not count as a failure; none if it is already reported.
fn obstacle_event(fleet: &Fleet, text: &str, at: Timestamp) -> Option<FleetEvent> {
    let said = fleet.problem.as_ref().is_some_and(|problem| problem.text == text);
    let (name, not_before) = (fleet.spec.name.clone(), fleet.not_before);
    let problem = Some(text.to_owned());
    (!said).then_some(FleetEvent::FleetDegraded(FleetDegraded {
        fleet: name,
        problem,
        failure: false,
        not_before,
        at,
    }))
}
