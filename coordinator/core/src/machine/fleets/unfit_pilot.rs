//! Pilots whose workers were all unfit. A node is excluded after two such pilots, and the fleet
//! pauses if no other pilot of it works.

use crate::fleet::{Fleet, PilotId, failure_event};
use crate::fleet::{FleetEvent, NodeUnfit};
use crate::machine::{State, Worker};
use crate::time::Timestamp;

/// The number of unfit pilots after which a node is excluded.
pub(super) const UNFIT_PILOTS: u32 = 2;

/// A pilot that ended without a fit worker.
pub(super) struct UnfitPilot {
    pilot: PilotId,
    node: Option<String>,
    cause: String,
    /// Whether another pilot of the fleet has a fit worker.
    others_work: bool,
}

impl UnfitPilot {
    /// Describes pilot `number` of `fleet`, if none of its workers was fit.
    pub(super) fn of(state: &State, fleet: &Fleet, number: u64) -> Option<Self> {
        let workers = || {
            let ours = |worker: &&Worker| {
                let pilot = worker.info.place.pilot.as_ref();
                pilot.is_some_and(|pilot| pilot.fleet == fleet.spec.name)
            };
            state.workers.values().filter(ours)
        };
        let number_of =
            |worker: &Worker| worker.info.place.pilot.as_ref().map(|pilot| pilot.number);
        let mut found = None;
        for worker in workers().filter(|worker| number_of(worker) == Some(number)) {
            found = Some((worker, worker.unfit_reason()?));
        }
        let (worker, cause) = found?;
        let lives = |worker: &Worker| {
            number_of(worker).is_some_and(|n| n != number && fleet.pilots.contains_key(&n))
        };
        let others_work = workers().any(|worker| lives(worker) && worker.unfit.is_empty());
        Some(Self {
            pilot: PilotId { fleet: fleet.spec.name.clone(), number },
            node: worker.info.place.node.clone(),
            cause: cause.to_owned(),
            others_work,
        })
    }

    /// Returns the events for the fleet that follow its end.
    pub(super) fn events(self, fleet: &Fleet, at: Timestamp) -> Vec<FleetEvent> {
        let Self { pilot, node, cause, others_work } = self;
        let place = node.as_ref().map(|node| format!(" on `{node}`")).unwrap_or_default();
        let text = format!("pilot {pilot}{place} was unfit: {cause}");
        let fleet_name = fleet.spec.name.clone();
        let noted = node
            .map(|node| FleetEvent::NodeUnfit(NodeUnfit { fleet: fleet_name, node, cause, at }));
        let pause = (!others_work).then(|| failure_event(fleet, &text, true, at)).flatten();
        noted.into_iter().chain(pause).collect()
    }
}

impl Fleet {
    /// Returns the nodes on which no further pilot may run.
    pub fn excluded(&self) -> Vec<String> {
        let unfit = self.unfit.iter().filter(|(_, pilots)| **pilots >= UNFIT_PILOTS);
        unfit.map(|(node, _)| node.clone()).collect()
    }
}
