//! Making events of fleets true. Total and infallible, as all of `apply`.

use std::collections::BTreeMap;

use super::event::Event;
use super::name::{FleetName, PilotId};
use super::state::{Fleet, Mode, Phase, Pilot, Place, Trouble};
use crate::id::RequestId;

impl Event {
    /// The request that asked for it, if one did.
    pub(crate) fn request(&self) -> Option<RequestId> {
        match self {
            Self::Launched { request, .. }
            | Self::Scaled { request, .. }
            | Self::Drained { request, .. }
            | Self::Stopped { request, .. } => Some(*request),
            _ => None,
        }
    }

    /// The fleet that it is about.
    pub fn fleet(&self) -> &FleetName {
        match self {
            Self::Launched { spec, .. } => &spec.name,
            Self::Scaled { fleet, .. }
            | Self::Drained { fleet, .. }
            | Self::Stopped { fleet, .. }
            | Self::NodeUnfit { fleet, .. }
            | Self::Troubled { fleet, .. } => fleet,
            Self::PilotPlanned { pilot, .. }
            | Self::PilotSeen { pilot, .. }
            | Self::PilotRemoved { pilot, .. }
            | Self::PilotEnded { pilot, .. } => &pilot.fleet,
        }
    }
}

/// Makes `event` true.
pub(crate) fn apply(fleets: &mut BTreeMap<FleetName, Fleet>, event: &Event) {
    if let Event::Launched { spec, id, .. } = event {
        let fleet = fleets.entry(spec.name.clone());
        let fleet = fleet.or_insert_with(|| Fleet::new((**spec).clone(), *id));
        fleet.spec = (**spec).clone();
        fleet.mode = Mode::Active;
        fleet.forgive();
        return;
    }
    if let Some(fleet) = fleets.get_mut(event.fleet()) {
        fleet.apply(event);
    }
}

/// Notes that a worker of a pilot has joined: its fleet works.
pub(crate) fn on_joined(fleets: &mut BTreeMap<FleetName, Fleet>, place: &Place) {
    let Some(PilotId { fleet, number }) = &place.pilot else { return };
    let Some(fleet) = fleets.get_mut(fleet) else { return };
    let Some(pilot) = fleet.pilots.get_mut(number) else { return };
    pilot.joined += 1;
    // Failures are forgiven once a pilot has lasted: one that joins and dies may do so for ever.
    if fleet.failures > 0 {
        fleet.trouble = None;
    }
}

impl Fleet {
    fn forgive(&mut self) {
        self.failures = 0;
        self.not_before = crate::time::Timestamp::default();
        self.trouble = None;
        self.unfit.clear();
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Scaled { min, max, .. } => {
                (self.spec.min, self.spec.max) = (*min, *max);
                // Whoever asks for more wants it tried now.
                self.forgive();
            }
            Event::Drained { .. } => self.mode = Mode::Draining,
            Event::Stopped { .. } => self.mode = Mode::Stopped,
            Event::PilotPlanned { pilot, at } => {
                self.next = self.next.max(pilot.number + 1);
                let phase = Phase::Planned;
                let planned = *at;
                let fresh = Pilot {
                    planned,
                    handle: None,
                    phase,
                    since: planned,
                    removing: false,
                    joined: 0,
                };
                self.pilots.insert(pilot.number, fresh);
            }
            Event::PilotSeen { pilot, handle, phase, at } => {
                let Some(pilot) = self.pilots.get_mut(&pilot.number) else { return };
                if pilot.phase == Phase::Running && *phase != Phase::Running {
                    // In the queue again: its workers are gone, and others have to join.
                    pilot.joined = 0;
                }
                let again = pilot.phase == Phase::Running && pilot.handle.as_ref() != Some(handle);
                if again || pilot.phase.name() != phase.name() {
                    pilot.since = *at;
                }
                pilot.handle = Some(handle.clone());
                pilot.phase = phase.clone();
            }
            Event::PilotRemoved { pilot, .. } => {
                if let Some(pilot) = self.pilots.get_mut(&pilot.number) {
                    pilot.removing = true;
                }
            }
            Event::PilotEnded { pilot, cause, .. } => {
                if self.pilots.remove(&pilot.number).is_some() {
                    *self.ended.entry(*cause).or_default() += 1;
                }
            }
            Event::NodeUnfit { node, .. } => *self.unfit.entry(node.clone()).or_default() += 1,
            Event::Troubled { trouble, failure, not_before, at, .. } => {
                self.failures = match trouble {
                    None => 0,
                    Some(_) => self.failures + u32::from(*failure),
                };
                self.not_before = *not_before;
                let since = self.trouble.as_ref().map_or(*at, |trouble| trouble.since);
                self.trouble = trouble.clone().map(|text| Trouble { text, since });
            }
            Event::Launched { .. } => {}
        }
    }
}
