//! Invariants of the state, checked after every step of the property tests.

use std::collections::{BTreeMap, BTreeSet};

use super::limits;
use super::state::State;
use crate::fleet::{Fleet, FleetName, PilotPhase};
use crate::id::WorkerId;
use crate::resources::ResourceOffer;
use crate::sweep::{Sweep, Trial, TrialOutcome};

impl State {
    /// Returns every violated invariant; empty unless there is a bug.
    pub fn defects(&self) -> Vec<String> {
        let mut defects: Vec<String> = self.sweeps.values().flat_map(Sweep::defects).collect();
        if self.order.len() != self.sweeps.len()
            || !self.order.iter().all(|name| self.sweeps.contains_key(name))
        {
            defects.push("the order of sweeps does not list each sweep once".to_owned());
        }
        let mut serials = BTreeSet::new();
        for (name, sweep) in &self.sweeps {
            if sweep.serial >= self.submissions || !serials.insert(sweep.serial) {
                defects.push(format!("{name}: its serial is not its own"));
            }
            if self.attempt_floors.get(name).copied().unwrap_or(0) != sweep.attempt_floor {
                defects.push(format!("{name}: its attempts do not go on from those deleted"));
            }
        }
        for (attempt, lease) in self.leases() {
            if !self.workers.contains_key(&lease.worker) {
                defects.push(format!("{attempt} is leased to a worker that is gone"));
            }
        }
        defects.extend(self.over_committed());
        if self.workers.len() > limits::MAX_WORKERS || self.sweeps.len() > limits::MAX_SWEEPS {
            defects.push("there are more workers or sweeps than are kept".to_owned());
        }
        let fleets = self.fleets.iter();
        defects.extend(fleets.flat_map(|(name, fleet)| fleet.defects(name)));
        defects
    }
}

impl State {
    /// Returns a defect for each worker whose trials hold more than it offers.
    fn over_committed(&self) -> Vec<String> {
        let mut taken: BTreeMap<WorkerId, LeasedResources> = BTreeMap::new();
        for (_, lease) in self.leases() {
            let taken = taken.entry(lease.worker).or_default();
            taken.cpus += u64::from(lease.granted.cpus);
            taken.memory_mb += lease.granted.memory_mb;
            for ordinal in &lease.granted.gpus.ordinals {
                *taken.gpus.entry(*ordinal).or_default() += lease.granted.gpus.share.thousandths();
            }
        }
        let is_too_much = |(worker, taken): (&WorkerId, &LeasedResources)| {
            let ResourceOffer { cpus, gpus, memory_mb } = self.workers.get(worker)?.info.offer;
            let fits = taken.cpus <= u64::from(cpus)
                && memory_mb.is_none_or(|most| taken.memory_mb <= most)
                && taken.gpus.iter().all(|(ordinal, share)| *ordinal < gpus && *share <= 1000);
            (!fits).then(|| format!("worker {worker} offers less than its trials have"))
        };
        taken.iter().filter_map(is_too_much).collect()
    }
}

/// The resources leased from a worker.
#[derive(Default)]
struct LeasedResources {
    cpus: u64,
    memory_mb: u64,
    /// Thousandths by GPU ordinal.
    gpus: BTreeMap<u32, u32>,
}

impl Fleet {
    fn defects(&self, name: &FleetName) -> Vec<String> {
        let mut defects = Vec::new();
        let mut check = |holds: bool, what: &str| {
            if !holds {
                defects.push(format!("fleet {name}: {what}"));
            }
        };
        check(self.spec.name == *name, "it goes by another name");
        let numbers = self.pilots.keys();
        check(numbers.copied().all(|n| (1..self.next).contains(&n)), "a pilot is beyond `next`");
        let ended: u64 = self.ended.values().sum();
        let planned = self.pilots.len() as u64 + ended;
        check(planned == self.next - 1, "live and ended pilots are not all that were planned");
        for pilot in self.pilots.values() {
            let submitted = pilot.handle.is_some() || pilot.phase == PilotPhase::Planned;
            check(submitted, "a pilot is in the cluster, but nobody knows as what");
            check(pilot.planned <= pilot.since, "a pilot was seen before it was planned");
        }
        defects
    }
}

impl Sweep {
    fn defects(&self) -> Vec<String> {
        let mut defects = Vec::new();
        let mut check = |holds: bool, what: &str| {
            if !holds {
                defects.push(format!("{}: {what}", self.name()));
            }
        };
        let trials = self.planned.plan.trials();
        check(self.next <= trials, "more trials were started than there are");
        let started = self.live.len() + self.parked.len() + self.done.len();
        check(
            started as u64 == self.next,
            "live, parked and done are not exactly the trials that were started",
        );
        let indices = self.live.keys().chain(self.parked.keys()).chain(self.done.keys());
        check(indices.copied().all(|index| index < self.next), "a trial is beyond `next`");
        check(
            self.live.keys().chain(self.parked.keys()).all(|index| !self.done.contains_key(index)),
            "a trial both lives and is done",
        );
        check(
            self.done
                .iter()
                .all(|(index, done)| done.outcome.is_final() != self.retryable.contains_key(index)),
            "retryable is not exactly the failed and cancelled trials",
        );
        check(
            self.retryable.keys().all(|index| self.done.contains_key(index)),
            "a retryable trial is not done",
        );
        for outcome in TrialOutcome::ALL {
            let count = self.done.values().filter(|done| done.outcome == outcome).count() as u64;
            check(count == self.count(outcome), "the counts of outcomes are wrong");
        }
        let leases = self.live.values().filter_map(|trial| trial.lease.as_ref());
        let slots: u64 = leases.map(|lease| u64::from(lease.granted.cpus)).sum();
        check(slots == self.spent.leased_slots, "the leased slots are counted wrongly");
        check(self.is_ranked(), "the order of its points does not follow from its trials");
        check(
            self.history.is_ranked(),
            "the order of its trials does not follow from their reports",
        );
        let deferred = self.live.values().all(Trial::is_deferred);
        check(
            self.ended.is_none() || (deferred && self.parked.is_empty()),
            "it ended while trials live",
        );
        check(
            self.live
                .values()
                .all(|trial| trial.attempt == 0 || trial.attempt > self.attempt_floor),
            "an attempt has a number of a deleted sweep",
        );
        for trial in self.live.values() {
            check(trial.lease.is_none() || trial.attempt > 0, "a lease without an attempt");
            check(
                trial.covered.beyond(&trial.durable).total() == 0,
                "a checkpoint is ahead of the durable rows",
            );
        }
        defects.extend(self.parking_defects());
        defects
    }

    /// Returns the defects of parked trials.
    fn parking_defects(&self) -> Vec<String> {
        let is_parked = |(index, trial): (&u64, &Trial)| {
            let known = self.history.trial(*index).and_then(|past| past.parked);
            let idle = trial.lease.is_none() && trial.stop.is_none();
            idle && trial.rung.is_some() && trial.rung == known
        };
        let mut defects = Vec::new();
        if !self.parked.iter().all(is_parked) {
            let what = "a parked trial has a lease, must stop, or is unknown to the history";
            defects.push(format!("{}: {what}", self.name()));
        }
        let is_known = |index: u64| self.parked.contains_key(&index);
        if !self.history.trials().all(|(index, past)| past.parked.is_none() || is_known(index)) {
            let what = "a trial that is not parked is parked in the history";
            defects.push(format!("{}: {what}", self.name()));
        }
        defects
    }
}
