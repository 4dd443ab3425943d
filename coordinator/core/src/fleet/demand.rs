//! How many slots the sweeps could use: what fleets are scaled by.

use std::collections::BTreeMap;

use super::name::FleetName;
use super::state::Fleet;
use crate::sweep::{State, Sweep};
use crate::time::Timestamp;

/// What a fleet is wanted for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Slots for trials that nobody has: never started, or waiting for another attempt.
    pub claimable: u64,
    /// Whether there is a sweep that has not ended: only then a lower bound holds.
    pub unfinished: bool,
    /// A sweep whose trials need more threads than a worker of the fleet has slots.
    pub too_large: Option<String>,
}

/// Trials that wait at most so long for another attempt are worth a pilot.
const SOON: std::time::Duration = std::time::Duration::from_mins(2);

impl Demand {
    /// What `fleet` could do.
    pub fn of(state: &State, fleet: &Fleet, now: Timestamp) -> Self {
        let mut demand = Self::default();
        let only = fleet.spec.sweep.as_ref();
        for sweep in
            state.sweeps.values().filter(|sweep| only.is_none_or(|only| only == sweep.name()))
        {
            if sweep.ended.is_some() || sweep.paused {
                continue;
            }
            demand.unfinished = true;
            let (trials, threads) = claimable(sweep, now);
            if trials > 0 && threads > fleet.spec.largest {
                let (name, largest) = (sweep.name(), fleet.spec.largest);
                demand.too_large = Some(format!(
                    "a trial of `{name}` takes {threads} threads (`resources.threads`), and a worker of this fleet has {largest} slots: launch a larger one"
                ));
                continue;
            }
            demand.claimable += trials.saturating_mul(u64::from(threads));
        }
        demand
    }
}

/// Trials that nobody has, and the threads of the next of them.
fn claimable(sweep: &Sweep, now: Timestamp) -> (u64, u32) {
    let ready = |trial: &&crate::sweep::Trial| {
        trial.lease.is_none() && trial.stop.is_none() && trial.not_before <= now + SOON
    };
    let waiting = sweep.live.iter().find(|(_, trial)| ready(trial)).map(|(index, _)| *index);
    let waits = sweep.live.values().filter(ready).count() as u64;
    let queued = if sweep.is_open() { sweep.planned.plan.trials() - sweep.next } else { 0 };
    let next = waiting.unwrap_or(sweep.next);
    if waits + queued == 0 {
        return (0, 1);
    }
    let threads = sweep.planned.trial(&sweep.history, next);
    (waits + queued, threads.map_or(1, |trial| trial.config.resources.threads))
}

/// Slots that trials have, by pilot of `fleet`.
pub(super) fn taken(state: &State, fleet: &FleetName) -> BTreeMap<u64, u64> {
    let mut taken = BTreeMap::new();
    for (_, lease) in state.leases() {
        let worker = state.workers.get(&lease.worker);
        let pilot = worker.and_then(|worker| worker.info.place.pilot.as_ref());
        if let Some(pilot) = pilot.filter(|pilot| pilot.fleet == *fleet) {
            *taken.entry(pilot.number).or_default() += u64::from(lease.threads);
        }
    }
    taken
}

/// Slots of the pilots of `fleet` whose workers have joined, as these say; what a pilot brings in
/// the end is for its node to know.
pub(super) fn capacity(state: &State, fleet: &FleetName) -> BTreeMap<u64, u64> {
    let mut newest: BTreeMap<(u64, u32), (u32, u64)> = BTreeMap::new();
    for worker in state.workers.values() {
        let place = &worker.info.place;
        let Some(pilot) = place.pilot.as_ref().filter(|pilot| pilot.fleet == *fleet) else {
            continue;
        };
        let entry = newest.entry((pilot.number, place.task)).or_default();
        *entry = (*entry).max((place.restarts, u64::from(worker.info.slots)));
    }
    let mut capacity = BTreeMap::new();
    for ((pilot, _), (_, slots)) in newest {
        *capacity.entry(pilot).or_default() += slots;
    }
    capacity
}

/// Slots that are free in running pilots of other fleets. Queued ones are not counted: they may wait
/// for days.
pub(super) fn free_elsewhere(state: &State, fleet: &Fleet) -> u64 {
    let others = state.fleets.values().filter(|other| {
        let serves = other.spec.sweep.is_none() || other.spec.sweep == fleet.spec.sweep;
        other.spec.name != fleet.spec.name && serves && other.takes_trials()
    });
    let free = |other: &Fleet| {
        let taken = taken(state, &other.spec.name);
        let capacity = capacity(state, &other.spec.name);
        let joined = other.pilots.iter().filter(|(_, pilot)| pilot.joined > 0 && !pilot.removing);
        let free = joined.map(|(number, _)| {
            let slots = capacity.get(number).copied().unwrap_or(0);
            slots.saturating_sub(taken.get(number).copied().unwrap_or(0))
        });
        free.sum::<u64>()
    };
    others.map(free).sum()
}
