//! A fleet as people see it.

use std::collections::BTreeMap;

use crate::fleet::{Fleet, FleetMode, FleetProblem, FleetSpec, PilotEndCause, PilotPhase};
use crate::machine::State;
use crate::time::Timestamp;

/// A fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetView {
    /// What was asked for.
    pub spec: FleetSpec,
    /// Whether it grows.
    pub mode: FleetMode,
    /// Its pilots that have not ended.
    pub pilots: Vec<PilotView>,
    /// How many ended, and of what.
    pub ended: BTreeMap<PilotEndCause, u64>,
    /// What keeps pilots from running.
    pub problem: Option<FleetProblem>,
    /// No pilot is submitted before.
    pub not_before: Timestamp,
    /// Nodes on which its pilots were of no use.
    pub excluded: Vec<String>,
}

/// A pilot.
#[derive(Debug, Clone, PartialEq)]
pub struct PilotView {
    /// Its number in the fleet.
    pub number: u64,
    /// Under which name the cluster knows it.
    pub tag: String,
    /// What the cluster calls it.
    pub handle: Option<String>,
    /// Where it is in its life.
    pub phase: PilotPhase,
    /// Since when.
    pub since: Timestamp,
    /// Whether it is to go.
    pub removing: bool,
    /// Its workers that joined.
    pub workers: u32,
    /// Trials that they have.
    pub trials: u32,
}

impl FleetView {
    /// The view of `fleet`.
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

    /// How many pilots are in a phase of this name.
    pub fn count(&self, phase: &str) -> usize {
        self.pilots.iter().filter(|pilot| pilot.phase.name() == phase).count()
    }

    /// Why nothing of it runs although it is wanted, if that is so.
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
