//! How many slots the sweeps could use: what fleets are scaled by.

use std::collections::BTreeMap;

use crate::fleet::{Fleet, Spec};
use crate::fleet::{FleetName, PilotId};
use crate::id::WorkerId;
use crate::machine::State;
use crate::sweep::Sweep;
use crate::time::Timestamp;

/// What a fleet is wanted for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Slots for trials that nobody has: never started, or waiting for another attempt.
    pub claimable: u64,
    /// Slots that the smallest of them takes; fewer free ones of a worker are of no use. At least 1.
    pub threads: u32,
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
            if trials > 0 && (demand.threads == 0 || threads < demand.threads) {
                demand.threads = threads;
            }
        }
        demand.threads = demand.threads.max(1);
        demand
    }
}

/// Trials that nobody has, and the threads of the next of them.
fn claimable(sweep: &Sweep, now: Timestamp) -> (u64, u32) {
    let ready = |trial: &&crate::sweep::Trial| {
        let over = sweep.closed.is_some() && trial.is_deferred();
        trial.lease.is_none() && trial.stop.is_none() && trial.not_before <= now + SOON && !over
    };
    let waiting = sweep.live.iter().find(|(_, trial)| ready(trial)).map(|(index, _)| *index);
    let waits = sweep.live.values().filter(ready).count() as u64;
    let queued = if sweep.is_open() { sweep.planned.plan.trials() - sweep.next } else { 0 };
    let next = waiting.unwrap_or(sweep.next);
    if waits + queued == 0 {
        return (0, 1);
    }
    let threads = sweep.trial(next).map(|trial| trial.terms.resources.cpus);
    // Not chosen yet: what all trials need, if that is the same.
    (waits + queued, threads.unwrap_or_else(|_| sweep.planned.resources().unwrap_or_default().cpus))
}

/// What the workers of a pilot have.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    /// Slots that trials have.
    pub(super) taken: u64,
    /// Slots that further trials can have.
    pub(super) free: u64,
}

/// Pilots of every fleet, by number.
pub(super) type Loads<'a> = BTreeMap<&'a FleetName, BTreeMap<u64, Load>>;

/// The loads of the pilots whose workers have joined, as these say: what a pilot brings in the end is
/// for its node to know. Free slots are counted by worker in whole trials of `threads`.
pub(super) fn loads(state: &State, threads: u32) -> Loads<'_> {
    let mut held: BTreeMap<WorkerId, u64> = BTreeMap::new();
    let trials = state.sweeps.values().flat_map(|sweep| sweep.live.values());
    for lease in trials.filter_map(|trial| trial.lease.as_ref()) {
        *held.entry(lease.worker).or_default() += u64::from(lease.threads);
    }
    let held = |worker: WorkerId| held.get(&worker).copied().unwrap_or(0);
    let mut loads = Loads::new();
    // A worker that took the place of another: that one no longer lives.
    let mut newest: BTreeMap<&FleetName, BTreeMap<(u64, u32), Newest>> = BTreeMap::new();
    for (id, worker) in &state.workers {
        let place = &worker.info.place;
        let Some(PilotId { fleet, number }) = &place.pilot else { continue };
        let taken = held(*id);
        loads.entry(fleet).or_default().entry(*number).or_default().taken += taken;
        let free = whole(u64::from(worker.info.slots).saturating_sub(taken), threads);
        let this = (place.restarts, worker.joined, *id, free);
        let entry = newest.entry(fleet).or_default().entry((*number, place.task)).or_insert(this);
        *entry = (*entry).max(this);
    }
    for (fleet, newest) in newest {
        let loads = loads.entry(fleet).or_default();
        for ((number, _), (_, _, _, free)) in newest {
            loads.entry(number).or_default().free += free;
        }
    }
    loads
}

/// A worker, ordered by age, and the slots that further trials can have of it.
type Newest = (u32, Timestamp, WorkerId, u64);

/// As much of `slots` as trials of `threads` can take.
fn whole(slots: u64, threads: u32) -> u64 {
    slots - slots % u64::from(threads.max(1))
}

/// Slots of a pilot that has not joined yet, as many as trials of `threads` can take.
pub(super) fn fresh(spec: &Spec, threads: u32) -> u64 {
    let slots = u64::from(spec.slots.max(1));
    let largest = u64::from(spec.largest).clamp(1, slots);
    slots / largest * whole(largest, threads) + whole(slots % largest, threads)
}

/// Slots that are free in running pilots of other fleets. Queued ones are not counted: they may wait
/// for days.
pub(super) fn free_elsewhere(state: &State, fleet: &Fleet, loads: &Loads<'_>) -> u64 {
    let others = loads.iter().filter_map(|(name, loads)| {
        let other = state.fleets.get(*name).filter(|other| other.spec.name != fleet.spec.name)?;
        let serves = other.spec.sweep.is_none() || other.spec.sweep == fleet.spec.sweep;
        serves.then_some((other, loads))
    });
    let free = others.map(|(other, loads)| {
        let takes = |number: u64| other.pilot_takes_trials(number);
        loads.iter().filter(|(number, _)| takes(**number)).map(|(_, load)| load.free).sum::<u64>()
    });
    free.sum()
}
