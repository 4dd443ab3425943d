//! Fleets as shown to users.

use std::collections::BTreeMap;

use crate::fleet::{Fleet, FleetMode, FleetProblem, FleetSpec, PilotEndCause, PilotPhase};
use crate::machine::State;
use crate::time::Timestamp;

/// A fleet as shown to users.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetView {
    /// The specification.
    pub spec: FleetSpec,
    /// The mode.
    pub mode: FleetMode,
    /// The pilots that have not ended.
    pub pilots: Vec<PilotView>,
    /// The numbers of ended pilots by cause.
    pub ended: BTreeMap<PilotEndCause, u64>,
    /// The obstacle that keeps pilots from running.
    pub problem: Option<FleetProblem>,
    /// The earliest time of the next submission.
    pub not_before: Timestamp,
    /// The nodes on which no further pilot may run.
    pub excluded: Vec<String>,
}

/// A pilot as shown to users.
#[derive(Debug, Clone, PartialEq)]
pub struct PilotView {
    /// The number of the pilot in its fleet.
    pub number: u64,
    /// The job name in the cluster.
    pub tag: String,
    /// The cluster's id of the job.
    pub handle: Option<String>,
    /// The life phase.
    pub phase: PilotPhase,
    /// The time since which the pilot is in this phase.
    pub since: Timestamp,
    /// Whether the pilot is being removed.
    pub removing: bool,
    /// The number of its workers that joined.
    pub workers: u32,
    /// The number of trials that its workers hold.
    pub trials: u32,
}

impl FleetView {
    /// Builds the view of `fleet`.
    pub fn of(state: &State, fleet: &Fleet) -> Self {
        let mut trials: BTreeMap<u64, u32> = BTreeMap::new();
        for (_, lease) in state.leases() {
            let pilot = state.pilot_of(lease.worker);
            if let Some(pilot) = pilot.filter(|pilot| pilot.fleet == fleet.spec.name) {
                *trials.entry(pilot.number).or_default() += 1;
            }
        }
        let pilots = fleet.pilots.iter().map(|(number, pilot)| PilotView {
            number: *number,
            tag: fleet.tag(*number),
            handle: pilot.handle.clone(),
            phase: pilot.phase.clone(),
            since: pilot.since,
            removing: pilot.removing,
            workers: pilot.joined,
            trials: trials.get(number).copied().unwrap_or(0),
        });
        Self {
            spec: fleet.spec.clone(),
            mode: fleet.mode,
            pilots: pilots.collect(),
            ended: fleet.ended.clone(),
            problem: fleet.problem.clone(),
            not_before: fleet.not_before,
            excluded: fleet.excluded(),
        }
    }

    /// Returns the number of pilots in the phase with this name.
    pub fn count(&self, phase: &str) -> usize {
        self.pilots.iter().filter(|pilot| pilot.phase.name() == phase).count()
    }

    /// Explains why nothing of the fleet runs; none if something runs or nothing is wanted.
    pub fn why_idle(&self) -> Option<String> {
        if let Some(problem) = &self.problem {
            return Some(problem.text.clone());
        }
        if self.count("running") > 0 {
            return None;
        }
        let reason = self.pilots.iter().find_map(|pilot| match &pilot.phase {
            PilotPhase::Waiting { reason } if !reason.is_empty() => Some(reason.clone()),
            _ => None,
        });
        reason.map(|reason| format!("its pilots wait in the queue: {reason}"))
    }
}
