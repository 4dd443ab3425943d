//! One reconciliation of a fleet: ends of pilots and of their leases, then scaling, then health.

use std::collections::BTreeMap;

use super::demand::Demand;
use super::health::health_events;
use super::pilot_status::{EndedLeases, interpret_status};
use super::scale::scale;
use super::unfit_pilot::UnfitPilot;
use crate::fleet::{Fleet, FleetEvent, FleetName, PilotStatus};
use crate::id::WorkerId;
use crate::machine::{self, State};
use crate::sweep::AttemptOutcome;
use crate::time::Timestamp;

/// Returns the events that follow from the observed statuses of all live pilots of a fleet.
pub(super) fn reconcile(
    state: &State,
    fleet: &Fleet,
    statuses: &BTreeMap<u64, PilotStatus>,
    now: Timestamp,
) -> Vec<machine::Event> {
    let mut events = Vec::new();
    let mut ends: BTreeMap<AttemptOutcome, BTreeMap<u64, Option<String>>> = BTreeMap::new();
    // The fleet as it will be once the events are applied.
    let mut fleet = fleet.clone();
    for (number, status) in statuses {
        let Some(pilot) = fleet.pilots.get(number) else { continue };
        let (over, mut happened) = interpret_status(&fleet, *number, pilot, status, now);
        let is_end = happened.iter().any(|event| matches!(event, FleetEvent::PilotEnded(_)));
        if is_end
            && !pilot.removing
            && let Some(unfit) = UnfitPilot::of(state, &fleet, *number)
        {
            happened.retain(|event| !matches!(event, FleetEvent::FleetDegraded(_)));
            happened.extend(unfit.events(&fleet, now));
        }
        if happened.iter().any(|event| matches!(event, FleetEvent::PilotRemoved(_)))
            && is_at_work(state, &fleet.spec.name, *number)
        {
            continue;
        }
        if let Some(EndedLeases { outcome, job }) = over {
            ends.entry(outcome).or_default().insert(*number, job);
        }
        apply_all(&mut fleet, &mut events, happened);
    }
    for (outcome, pilots) in ends {
        let theirs = |worker: WorkerId| {
            let ours = state.pilot_of(worker).filter(|pilot| pilot.fleet == fleet.spec.name);
            let job = ours.and_then(|pilot| pilots.get(&pilot.number));
            job.is_some_and(|job| job.as_ref().is_none_or(|job| is_in(state, worker, job)))
        };
        events.extend(machine::decide::end_leases_of(state, outcome, now, theirs));
    }
    let demand = Demand::of(state, &fleet, now);
    let further = scale(state, &fleet, &demand, now);
    apply_all(&mut fleet, &mut events, further);
    let problem = health_events(&fleet, demand.too_large, now);
    apply_all(&mut fleet, &mut events, problem);
    events
}

/// Whether a worker of the pilot holds a trial. It may have joined before the cluster reported the
/// pilot as running.
fn is_at_work(state: &State, fleet: &FleetName, number: u64) -> bool {
    let mut pilots = state.leases().filter_map(|(_, lease)| state.pilot_of(lease.worker));
    pilots.any(|pilot| pilot.fleet == *fleet && pilot.number == number)
}

fn apply_all(fleet: &mut Fleet, events: &mut Vec<machine::Event>, happened: Vec<FleetEvent>) {
    for event in happened {
        fleet.apply(&event);
        events.push(machine::Event::Fleet(event));
    }
}

fn is_in(state: &State, worker: WorkerId, job: &str) -> bool {
    state.place_of(worker).is_some_and(|place| place.job.as_deref() == Some(job))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fleet::WorkerLocation;
    use crate::machine::{WorkerInfo, WorkerJoined};

    #[test]
    fn workers_are_told_apart_by_their_job() {
        let mut state = State::default();
        let worker = WorkerId(Uuid::from_u128(1));
        let place = WorkerLocation { job: Some("pod-a".to_owned()), ..WorkerLocation::default() };
        let info = WorkerInfo { place, ..WorkerInfo::default() };
        state.apply(&machine::Event::WorkerJoined(WorkerJoined {
            worker,
            info,
            at: Timestamp::default(),
        }));
        assert!(is_in(&state, worker, "pod-a"));
        assert!(!is_in(&state, worker, "pod-b"));
    }
}
