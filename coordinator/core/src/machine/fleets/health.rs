//! Health of a fleet: reports a problem that is no failure, and clears it once pilots work.

use std::time::Duration;

use crate::fleet::{Fleet, FleetDegraded, FleetEvent, FleetMode, Pilot, PilotPhase};
use crate::time::Timestamp;

/// The running time after which a pilot counts as healthy.
pub(super) const MIN_HEALTHY_RUN: Duration = Duration::from_mins(2);

/// Reports a fleet whose workers are too small, and clears the report once the fleet is healthy.
pub(super) fn health_events(
    fleet: &Fleet,
    too_large: Option<String>,
    at: Timestamp,
) -> Vec<FleetEvent> {
    let large = too_large.filter(|_| fleet.mode == FleetMode::Active);
    let lasted = |pilot: &Pilot| {
        pilot.joined > 0
            && pilot.phase == PilotPhase::Running
            && at.since(pilot.since) > MIN_HEALTHY_RUN
    };
    let works = fleet.failures == 0 || fleet.pilots.values().any(lasted);
    let said = fleet.problem.as_ref().map(|problem| &problem.text);
    let other = said.is_some() && said != large.as_ref();
    let over = (other || fleet.failures > 0) && works && at >= fleet.not_before;
    let mut events: Vec<FleetEvent> = over.then(|| recovery(fleet, at)).into_iter().collect();
    if let Some(text) = large.filter(|_| over || said.is_none()) {
        let (fleet, problem, not_before) = (fleet.spec.name.clone(), Some(text), fleet.not_before);
        events.push(FleetEvent::FleetDegraded(FleetDegraded {
            fleet,
            problem,
            failure: false,
            not_before,
            at,
        }));
    }
    events
}

/// Clears the problem of a fleet.
pub(super) fn recovery(fleet: &Fleet, at: Timestamp) -> FleetEvent {
    let fleet = fleet.spec.name.clone();
    FleetEvent::FleetDegraded(FleetDegraded {
        fleet,
        problem: None,
        failure: false,
        not_before: at,
        at,
    })
}
