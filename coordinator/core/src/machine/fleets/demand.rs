//! The demand for pilots: the trials that could run, and the capacity that is free for them.
//!
//! Trials are counted by the resources that they take and packed into the free resources of each
//! worker. A remainder in which no trial fits counts as no capacity.

use std::collections::BTreeMap;

use crate::fleet::{Fleet, FleetSpec};
use crate::fleet::{FleetName, PilotId};
use crate::id::WorkerId;
use crate::machine::State;
use crate::resources::{FreeResources, Resources};
use crate::sweep::Sweep;
use crate::time::Timestamp;

/// The demand on a fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Trials without a lease: never started, or waiting for another attempt.
    pub unleased: UnleasedTrials,
    /// Whether some sweep has not ended. Only then the lower bound of pilots applies.
    pub unfinished: bool,
    /// A message about a sweep whose trials need more than a worker of the fleet offers.
    pub too_large: Option<String>,
}

/// Numbers of trials without a lease, by the resources that each takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnleasedTrials(Vec<(Resources, u64)>);

impl UnleasedTrials {
    /// Returns the number of trials.
    pub fn trials(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, trials)| sum.saturating_add(*trials))
    }

    /// Packs trials into the free resources of workers; returns the number that fit.
    fn pack(&mut self, workers: &[FreeResources]) -> u64 {
        let mut packed = 0;
        for worker in workers {
            let mut free = worker.clone();
            for (resources, trials) in &mut self.0 {
                let taken = free.fill(resources, *trials);
                *trials -= taken;
                packed += taken;
            }
        }
        packed
    }
}

/// A trial that waits for its next attempt at most this long justifies a pilot.
const SOON: std::time::Duration = std::time::Duration::from_mins(2);

impl Demand {
    /// Computes the demand on `fleet`.
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
            let (trials, resources) = unleased_trials(sweep, now);
            if trials == 0 {
                continue;
            }
            match fleet.spec.worker.shortage(&resources, "a worker of this fleet") {
                Some(shortage) => {
                    let name = sweep.name();
                    let text = format!("a trial of `{name}` {shortage}: launch a larger one");
                    demand.too_large = Some(text);
                }
                None => demand.unleased.0.push((resources, trials)),
            }
        }
        demand
    }
}

/// Returns the number of trials of `sweep` without a lease, and the resources that the next one
/// takes.
fn unleased_trials(sweep: &Sweep, now: Timestamp) -> (u64, Resources) {
    let ready = |trial: &&crate::sweep::Trial| {
        let over = sweep.closed.is_some() && trial.is_deferred();
        trial.lease.is_none() && trial.stop.is_none() && trial.not_before <= now + SOON && !over
    };
    let waiting = sweep.live.iter().find(|(_, trial)| ready(trial)).map(|(index, _)| *index);
    let waits = sweep.live.values().filter(ready).count() as u64;
    let queued = if sweep.is_open() { sweep.planned.plan.trials() - sweep.next } else { 0 };
    let promotable = sweep.promotable();
    let waits = waits + promotable.len() as u64;
    let next = promotable.first().copied().or(waiting).unwrap_or(sweep.next);
    if waits + queued == 0 {
        return (0, Resources::default());
    }
    let resources = sweep.trial(next).map(|trial| trial.terms.resources);
    // If the point is not chosen yet, the resources common to all trials.
    let common = || sweep.planned.resources().unwrap_or_default();
    (waits + queued, resources.unwrap_or_else(|_| common()))
}

/// The load of a pilot.
#[derive(Debug, Clone, Default)]
pub(super) struct PilotLoad {
    /// Slots in use.
    pub(super) taken: u64,
    /// The free resources of each worker.
    pub(super) free: Vec<FreeResources>,
}

/// The loads of all pilots, by fleet and number.
pub(super) type PilotLoads<'a> = BTreeMap<&'a FleetName, BTreeMap<u64, PilotLoad>>;

/// Computes the loads of the pilots whose workers have joined, from the resources that the workers
/// report.
pub(super) fn loads(state: &State) -> PilotLoads<'_> {
    let mut left: BTreeMap<WorkerId, (u64, FreeResources)> = BTreeMap::new();
    let trials = state.sweeps.values().flat_map(|sweep| sweep.live.values());
    for lease in trials.filter_map(|trial| trial.lease.as_ref()) {
        let offer = state.workers.get(&lease.worker).map(|worker| worker.info.offer);
        let whole = || (0, FreeResources::of(offer.unwrap_or_default()));
        let (taken, free) = left.entry(lease.worker).or_insert_with(whole);
        *taken += u64::from(lease.granted.cpus);
        free.take(&lease.granted);
    }
    let mut loads = PilotLoads::new();
    // Only the newest worker of each task is alive.
    let mut newest: BTreeMap<&FleetName, BTreeMap<(u64, u32), WorkerAge>> = BTreeMap::new();
    for (id, worker) in &state.workers {
        let place = &worker.info.place;
        let Some(PilotId { fleet, number }) = &place.pilot else { continue };
        let taken = left.get(id).map_or(0, |(taken, _)| *taken);
        loads.entry(fleet).or_default().entry(*number).or_default().taken += taken;
        let this = (place.restarts, worker.joined, *id);
        let entry = newest.entry(fleet).or_default().entry((*number, place.task)).or_insert(this);
        *entry = (*entry).max(this);
    }
    let mut free = |id: &WorkerId| {
        let offer = || state.workers.get(id).map(|worker| worker.info.offer);
        let left = left.remove(id).map(|(_, free)| free);
        left.unwrap_or_else(|| FreeResources::of(offer().unwrap_or_default()))
    };
    for (fleet, newest) in newest {
        let loads = loads.entry(fleet).or_default();
        for ((number, _), (_, _, id)) in newest {
            loads.entry(number).or_default().free.push(free(&id));
        }
    }
    loads
}

/// A worker, ordered by age.
type WorkerAge = (u32, Timestamp, WorkerId);

/// Returns the free resources of each worker of a pilot that has not joined yet.
fn new_pilot(spec: &FleetSpec) -> Vec<FreeResources> {
    let count = usize::try_from(spec.workers.max(1)).unwrap_or(1);
    vec![FreeResources::of(spec.worker); count]
}

/// The capacity for trials without a lease, in the pilots of a fleet and of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct FleetCapacity<'a> {
    /// The state.
    pub(super) state: &'a State,
    /// The fleet.
    pub(super) fleet: &'a Fleet,
    /// The loads of all pilots.
    pub(super) loads: &'a PilotLoads<'a>,
}

/// The result of packing waiting trials into the pilots of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackingResult {
    /// Pilots that are missing.
    pub(super) missing: usize,
    /// The number of pilots, counted from the first, that got no trial.
    pub(super) unused: usize,
}

impl<'a> FleetCapacity<'a> {
    /// Packs waiting trials into the free capacity of other fleets, then into `pilots` from the
    /// last to the first, then into at most `most` new pilots.
    pub(super) fn fit(
        self,
        mut waiting: UnleasedTrials,
        pilots: &[u64],
        most: usize,
    ) -> PackingResult {
        for free in self.free_elsewhere() {
            waiting.pack(free);
        }
        let spec = &self.fleet.spec;
        let (ours, fresh) = (self.loads.get(&spec.name), new_pilot(spec));
        let mut unused = pilots.len();
        for (position, number) in pilots.iter().enumerate().rev() {
            let load = ours.and_then(|ours| ours.get(number));
            if waiting.pack(load.map_or(&fresh[..], |load| &load.free)) > 0 {
                unused = position;
            }
        }
        let mut missing = 0;
        while missing < most && waiting.trials() > 0 && waiting.pack(&fresh) > 0 {
            missing += 1;
        }
        PackingResult { missing, unused }
    }

    /// Returns the free resources of the running workers of other fleets. Queued pilots are not
    /// counted: they may wait for days.
    fn free_elsewhere(self) -> impl Iterator<Item = &'a [FreeResources]> {
        let spec = &self.fleet.spec;
        let others = self.loads.iter().filter_map(move |(name, loads)| {
            let other =
                self.state.fleets.get(*name).filter(|other| other.spec.name != spec.name)?;
            let serves = other.spec.sweep.is_none() || other.spec.sweep == spec.sweep;
            serves.then_some((other, loads))
        });
        others.flat_map(|(other, loads)| {
            let takes = |number: u64| other.pilot_takes_trials(number);
            let takers = loads.iter().filter(move |(number, _)| takes(**number));
            takers.map(|(_, load)| &load.free[..])
        })
    }
}
