//! Application of events to fleets. It is total and infallible.

use std::collections::BTreeMap;

use super::event::{FleetDegraded, FleetEvent, PilotObserved, PilotPlanned};
use super::name::{FleetName, PilotId};
use super::state::{Fleet, FleetMode, FleetProblem, Pilot, PilotPhase, WorkerLocation};
use crate::id::RequestId;

impl FleetEvent {
    /// Returns the client's request behind the event, if any.
    pub(crate) fn request(&self) -> Option<RequestId> {
        match self {
            Self::FleetLaunched(launched) => Some(launched.request),
            Self::FleetScaled(scaled) => Some(scaled.request),
            Self::FleetDrained(drained) => Some(drained.request),
            Self::FleetStopped(stopped) => Some(stopped.request),
            Self::PilotPlanned(_)
            | Self::PilotObserved(_)
            | Self::PilotRemoved(_)
            | Self::PilotEnded(_)
            | Self::NodeUnfit(_)
            | Self::FleetDegraded(_) => None,
        }
    }

    /// Returns the fleet that the event is about.
    pub fn fleet(&self) -> &FleetName {
        match self {
            Self::FleetLaunched(launched) => &launched.spec.name,
            Self::FleetScaled(scaled) => &scaled.fleet,
            Self::FleetDrained(drained) => &drained.fleet,
            Self::FleetStopped(stopped) => &stopped.fleet,
            Self::NodeUnfit(unfit) => &unfit.fleet,
            Self::FleetDegraded(degraded) => &degraded.fleet,
            Self::PilotPlanned(planned) => &planned.pilot.fleet,
            Self::PilotObserved(observed) => &observed.pilot.fleet,
            Self::PilotRemoved(removed) => &removed.pilot.fleet,
            Self::PilotEnded(ended) => &ended.pilot.fleet,
        }
    }
}

/// Applies `event`.
pub(crate) fn apply(fleets: &mut BTreeMap<FleetName, Fleet>, event: &FleetEvent) {
    if let FleetEvent::FleetLaunched(launched) = event {
        let fleet = fleets.entry(launched.spec.name.clone());
        fleet.or_insert_with(|| Fleet::new((*launched.spec).clone(), launched.id));
    }
    if let Some(fleet) = fleets.get_mut(event.fleet()) {
        fleet.apply(event);
    }
}

/// Records that a worker of a pilot joined.
pub(crate) fn on_joined(fleets: &mut BTreeMap<FleetName, Fleet>, place: &WorkerLocation) {
    let Some(PilotId { fleet, number }) = &place.pilot else { return };
    let Some(fleet) = fleets.get_mut(fleet) else { return };
    let Some(pilot) = fleet.pilots.get_mut(number) else { return };
    pilot.joined += 1;
    // Failures are reset only once a pilot has run for a while: a pilot may join and die forever.
    if fleet.failures > 0 {
        fleet.problem = None;
    }
}

impl Fleet {
    fn forgive(&mut self) {
        self.failures = 0;
        self.not_before = crate::time::Timestamp::default();
        self.problem = None;
        self.unfit.clear();
    }

    pub(crate) fn apply(&mut self, event: &FleetEvent) {
        match event {
            FleetEvent::FleetLaunched(launched) => {
                self.spec = (*launched.spec).clone();
                self.mode = FleetMode::Active;
                self.forgive();
            }
            FleetEvent::FleetScaled(scaled) => {
                (self.spec.min, self.spec.max) = (scaled.min, scaled.max);
                // A user who scales a fleet wants it tried now.
                self.forgive();
            }
            FleetEvent::FleetDrained(_) => self.mode = FleetMode::Draining,
            FleetEvent::FleetStopped(_) => self.mode = FleetMode::Stopped,
            FleetEvent::PilotPlanned(planned) => self.on_planned(planned),
            FleetEvent::PilotObserved(observed) => self.on_observed(observed),
            FleetEvent::PilotRemoved(removed) => {
                if let Some(pilot) = self.pilots.get_mut(&removed.pilot.number) {
                    pilot.removing = true;
                }
            }
            FleetEvent::PilotEnded(ended) => {
                if self.pilots.remove(&ended.pilot.number).is_some() {
                    *self.ended.entry(ended.cause).or_default() += 1;
                }
            }
            FleetEvent::NodeUnfit(unfit) => *self.unfit.entry(unfit.node.clone()).or_default() += 1,
            FleetEvent::FleetDegraded(degraded) => self.on_degraded(degraded),
        }
    }

    fn on_planned(&mut self, PilotPlanned { pilot, at }: &PilotPlanned) {
        self.next = self.next.max(pilot.number + 1);
        let fresh = Pilot {
            planned: *at,
            handle: None,
            phase: PilotPhase::Planned,
            since: *at,
            removing: false,
            joined: 0,
        };
        self.pilots.insert(pilot.number, fresh);
    }

    fn on_observed(&mut self, PilotObserved { pilot, handle, phase, at }: &PilotObserved) {
        let Some(pilot) = self.pilots.get_mut(&pilot.number) else { return };
        if pilot.phase == PilotPhase::Running && *phase != PilotPhase::Running {
            // Requeued: its workers are gone, and new ones must join.
            pilot.joined = 0;
        }
        let again = pilot.phase == PilotPhase::Running && pilot.handle.as_ref() != Some(handle);
        if again || pilot.phase.name() != phase.name() {
            pilot.since = *at;
        }
        pilot.handle = Some(handle.clone());
        pilot.phase = phase.clone();
    }

    fn on_degraded(&mut self, degraded: &FleetDegraded) {
        self.failures = match degraded.problem {
            None => 0,
            Some(_) => self.failures + u32::from(degraded.failure),
        };
        self.not_before = degraded.not_before;
        let since = self.problem.as_ref().map_or(degraded.at, |problem| problem.since);
        self.problem = degraded.problem.clone().map(|text| FleetProblem { text, since });
    }
}
