//! The number of pilots of a fleet: plans missing pilots and removes superfluous ones.

use super::demand::{self, Demand, FleetCapacity};
use crate::fleet::{
    Fleet, FleetEvent, FleetMode, Pilot, PilotId, PilotPhase, PilotPlanned, PilotRemoved,
};
use crate::machine::State;
use crate::time::Timestamp;

/// The largest number of pilots planned in one step.
const MAX_PLANNED: usize = 100;

/// Plans missing pilots and removes superfluous ones.
pub(super) fn scale(
    state: &State,
    fleet: &Fleet,
    demand: &Demand,
    at: Timestamp,
) -> Vec<FleetEvent> {
    let loads = demand::loads(state);
    let ours = loads.get(&fleet.spec.name);
    let load = |number: u64| ours.and_then(|ours| ours.get(&number));
    let remove = |number: u64, reason: &str| {
        FleetEvent::PilotRemoved(PilotRemoved {
            pilot: PilotId { fleet: fleet.spec.name.clone(), number },
            reason: reason.to_owned(),
            at,
        })
    };
    let mut live: Vec<(u64, &Pilot)> =
        fleet.pilots.iter().filter(|(_, p)| !p.removing).map(|(n, p)| (*n, p)).collect();
    // The cheapest to remove come first: queued pilots, then those with the fewest trials, then the
    // newest.
    live.sort_by_cached_key(|(number, pilot)| {
        let runs = pilot.phase == PilotPhase::Running;
        (runs, load(*number).map_or(0, |load| load.taken), std::cmp::Reverse(*number))
    });
    let queued = live.iter().take_while(|(_, pilot)| pilot.phase != PilotPhase::Running).count();
    match fleet.mode {
        FleetMode::Stopped => {
            return live.iter().map(|(n, _)| remove(*n, "the fleet was stopped")).collect();
        }
        FleetMode::Draining => {
            let queued = live.iter().take(queued);
            return queued.map(|(n, _)| remove(*n, "the fleet is draining")).collect();
        }
        FleetMode::Active => {}
    }
    let (min, max) = (fleet.spec.min as usize, fleet.spec.max as usize);
    if live.len() > max {
        let surplus = live.iter().take(live.len() - max);
        return surplus
            .map(|(n, _)| remove(*n, "the fleet has more pilots than its maximum"))
            .collect();
    }
    let numbers: Vec<u64> = live.iter().map(|(number, _)| *number).collect();
    let capacity = FleetCapacity { state, fleet, loads: &loads };
    let fit = capacity.fit(demand.unleased.clone(), &numbers, max - live.len());
    let least = if demand.unfinished { min } else { 0 };
    let target = (live.len() + fit.missing).max(least).min(max);
    if target > live.len() {
        return plan_pilots(fleet, target - live.len(), at);
    }
    let spare = fit.unused.min(queued).min(live.len().saturating_sub(least));
    live.iter().take(spare).map(|(n, _)| remove(*n, "no work is left for it")).collect()
}

fn plan_pilots(fleet: &Fleet, missing: usize, at: Timestamp) -> Vec<FleetEvent> {
    if at < fleet.not_before {
        return Vec::new();
    }
    // Pilots that are being removed count.
    let room = (fleet.spec.max as usize).saturating_sub(fleet.pilots.len());
    // After a failure, a single pilot probes whether the fleet works again.
    let untried = fleet.pilots.values().filter(|pilot| pilot.joined == 0).count();
    let most = match fleet.failures {
        0 if is_limited(fleet) => 1,
        0 => MAX_PLANNED,
        _ => 1usize.saturating_sub(untried),
    };
    let count = missing.min(room).min(most) as u64;
    let pilot = |number| PilotId { fleet: fleet.spec.name.clone(), number };
    (fleet.next..fleet.next + count)
        .map(|number| FleetEvent::PilotPlanned(PilotPlanned { pilot: pilot(number), at }))
        .collect()
}

/// Whether the cluster accepted no more pilots at the last try. A single pilot then probes it.
fn is_limited(fleet: &Fleet) -> bool {
    fleet.problem.as_ref().is_some_and(|problem| fleet.not_before > problem.since)
}
