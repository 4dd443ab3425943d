//! Trials that take slots, GPUs and memory of heterogeneous workers. No worker is ever
//! over-committed, and a large trial is not overtaken forever.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rheo_core::id::{AttemptId, IncarnationId, StateId, WorkerId};
use rheo_core::machine::{
    AttemptClaim, AttemptEnd, Caller, Command, Event, HeldAttempt, State, WorkerInfo, execute,
};
use rheo_core::resources::{FreeResources, GrantedResources, ResourceOffer};
use rheo_core::spec;
use rheo_core::sweep::TrialLeased;
use rheo_core::time::Timestamp;
use uuid::Uuid;

use super::*;
use crate::brewing::BREWING;

/// A coordinator, and workers that report their free resources.
struct Kitchen {
    state: State,
    now: Timestamp,
    /// The running attempts, by worker.
    running: BTreeMap<WorkerId, BTreeMap<AttemptId, GrantedResources>>,
    offers: BTreeMap<WorkerId, ResourceOffer>,
}

impl Kitchen {
    fn new(offers: &[ResourceOffer]) -> Self {
        let mut kitchen = Self {
            state: State::new(workloads()),
            now: Timestamp(1000),
            running: BTreeMap::new(),
            offers: BTreeMap::new(),
        };
        let (state, incarnation) = (StateId(Uuid::from_u128(1)), IncarnationId(Uuid::from_u128(2)));
        kitchen.send(&Command::Start { lease: LEASE, state, incarnation });
        for (n, offer) in (0..).zip(offers) {
            let worker = worker(n);
            let info =
                WorkerInfo { offer: *offer, workloads: vec![BREWING], ..WorkerInfo::default() };
            kitchen.send(&Command::Join { worker, info, state: None });
            kitchen.offers.insert(worker, *offer);
        }
        kitchen
    }

    /// Sends a command and checks that no worker is over-committed.
    fn send(&mut self, command: &Command) -> Vec<Event> {
        let events = execute(&mut self.state, Caller::Coordinator, command, self.now).unwrap();
        assert_eq!(self.state.defects(), [""; 0], "after {command:?}");
        events
    }

    fn submit(&mut self, name: &str, rest: &str) {
        let source = format!("name: {name}\n{rest}");
        let definition = spec::parse(&workloads(), "x.yaml", &source).unwrap().definition;
        self.send(&Command::Submit { definition: Box::new(definition), source });
    }

    /// Has a worker ask for trials; returns those that it gets.
    fn acquire(&mut self, worker: WorkerId) -> Vec<AttemptId> {
        let held = self.running.entry(worker).or_default();
        let mut free = FreeResources::of(self.offers[&worker]);
        for granted in held.values() {
            free.take(granted);
        }
        let held = held.keys().map(|attempt| HeldAttempt {
            origin: self.state.origin(attempt),
            attempt: attempt.clone(),
        });
        let held = held.collect();
        let events = self.send(&Command::Acquire { worker, held, free, only: None, lease: LEASE });
        let mut got = Vec::new();
        for event in events {
            let Event::TrialLeased(TrialLeased { attempt, granted, .. }) = event else { continue };
            self.running.entry(worker).or_default().insert(attempt.clone(), granted);
            got.push(attempt);
        }
        got
    }

    fn finish(&mut self, worker: WorkerId, attempt: &AttemptId) {
        self.running.entry(worker).or_default().remove(attempt);
        let (attempt, origin) = (attempt.clone(), self.state.origin(attempt));
        let claim = AttemptClaim { attempt, worker, sequence: 1, origin };
        let (metrics, summary) = Default::default();
        let ending = AttemptEnd::Completed { metrics, summary };
        self.send(&Command::Finish { claim, work: None, ending });
    }

    /// Ends the longest-running trial of a worker.
    fn finish_one(&mut self, worker: WorkerId, which: usize) {
        let running = self.running.entry(worker).or_default();
        let count = running.len().max(1);
        let attempt = running.keys().nth(which % count).cloned();
        if let Some(attempt) = attempt {
            self.finish(worker, &attempt);
        }
    }

    fn gpus(&self, attempt: &AttemptId) -> &[u32] {
        let held = self.running.values().find_map(|held| held.get(attempt));
        &held.unwrap().gpus.ordinals
    }
}

const GPUS: ResourceOffer = ResourceOffer { cpus: 8, gpus: 2, memory_mb: None };

#[test]
fn four_quarters_share_a_gpu_and_the_next_four_the_other() {
    let mut kitchen = Kitchen::new(&[GPUS]);
    kitchen.submit("small", "replicates: 20\nresources: {gpus: 0.25}\n");
    let got = kitchen.acquire(worker(0));
    let gpus: Vec<&[u32]> = got.iter().map(|attempt| kitchen.gpus(attempt)).collect();
    assert_eq!(gpus, [[0], [0], [0], [0], [1], [1], [1], [1]]);
    // The next trial takes the same GPU as the one that ended.
    kitchen.finish(worker(0), &got[1]);
    let next = kitchen.acquire(worker(0));
    assert_eq!(next.len(), 1);
    assert_eq!(kitchen.gpus(&next[0]), [0]);
}

#[test]
fn three_of_six_tenths_do_not_fit_on_two_gpus() {
    let mut kitchen = Kitchen::new(&[GPUS]);
    kitchen.submit("large", "replicates: 20\nresources: {gpus: 0.6}\n");
    assert_eq!(kitchen.acquire(worker(0)).len(), 2);
}

#[test]
fn memory_counts_where_a_worker_has_been_given_some() {
    let thrifty = ResourceOffer { memory_mb: Some(1000), ..GPUS };
    let mut kitchen = Kitchen::new(&[thrifty, GPUS]);
    kitchen.submit("wet", "replicates: 20\nresources: {memory_mb: 400}\n");
    assert_eq!(kitchen.acquire(worker(0)).len(), 2);
    assert_eq!(kitchen.acquire(worker(1)).len(), 8);
}

#[test]
fn a_trial_waiting_for_a_gpu_leaves_unneeded_slots_to_others() {
    let mut kitchen = Kitchen::new(&[GPUS]);
    kitchen.submit("whole", "replicates: 9\nresources: {gpus: 1}\n");
    kitchen.submit("plain", "replicates: 90\n");
    kitchen.submit("shared", "replicates: 9\nresources: {gpus: 0.1}\n");
    let got = kitchen.acquire(worker(0));
    let of = |name: &str| got.iter().filter(|attempt| attempt.trial.sweep.as_str() == name).count();
    // One slot is reserved for the waiting trial, and none of the GPU is granted.
    assert_eq!((of("whole"), of("plain"), of("shared")), (2, 5, 0));
}

#[test]
fn a_large_trial_gets_its_turn_while_small_ones_come_and_go() {
    let mut kitchen = Kitchen::new(&[GPUS]);
    kitchen.submit("small", "replicates: 8\nresources: {gpus: 0.25}\n");
    assert_eq!(kitchen.acquire(worker(0)).len(), 8);
    kitchen.submit("huge", "replicates: 1\nresources: {gpus: 2, threads: 8}\n");
    kitchen.submit("later", "replicates: 90\nresources: {gpus: 0.25}\n");
    for _ in 0..8 {
        assert_eq!(kitchen.acquire(worker(0)), []);
        kitchen.finish_one(worker(0), 0);
    }
    let got = kitchen.acquire(worker(0));
    assert_eq!(got[0].trial.sweep.as_str(), "huge");
    assert_eq!((got.len(), kitchen.gpus(&got[0])), (1, &[0, 1][..]));
}

#[test]
fn a_worker_without_gpus_is_told_what_it_lacks() {
    let mut kitchen = Kitchen::new(&[ResourceOffer { gpus: 0, ..GPUS }]);
    kitchen.submit("whole", "resources: {gpus: 1}\n");
    assert_eq!(kitchen.acquire(worker(0)), []);
    let cause = kitchen.state.unfit_for_waiting(worker(0), None);
    let expected = "a trial takes 1 of a GPU (`resources.gpus`), and the worker has 0 GPUs";
    assert_eq!(cause.as_deref(), Some(expected));
}

/// Demands of trials: threads, thousandths of GPUs, megabytes.
fn takes() -> impl Strategy<Value = (u32, u32, u32)> {
    let gpus = prop_oneof![2 => Just(0u32), 4 => 1..1000u32, 1 => Just(1000), 1 => Just(2000)];
    (1..5u32, gpus, prop_oneof![Just(0u32), 1..3000u32])
}

fn offers() -> impl Strategy<Value = Vec<ResourceOffer>> {
    let memory = prop::option::of(3000..8000u64);
    let offer = (4..9u32, 2..4u32, memory).prop_map(|(cpus, gpus, memory_mb)| ResourceOffer {
        cpus,
        gpus,
        memory_mb,
    });
    prop::collection::vec(offer, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    /// Arbitrary sweeps on arbitrary workers, which ask and finish in any order. No worker is ever
    /// over-committed (checked by `Kitchen::send`), shares are exact, and every trial runs in the
    /// end, even if others overtake it.
    #[test]
    fn every_trial_runs_and_nobody_is_over_committed(
        offers in offers(),
        sweeps in prop::collection::vec(takes(), 1..5),
        steps in prop::collection::vec((0..3u8, 0..8usize), 0..120),
    ) {
        let mut kitchen = Kitchen::new(&offers);
        for (number, (threads, gpus, memory)) in sweeps.iter().enumerate() {
            let gpus = f64::from(*gpus) / 1000.0;
            let gpus = if gpus > 0.0 { format!(", gpus: {gpus}") } else { String::new() };
            let text = format!(
                "replicates: 6\nresources: {{threads: {threads}, memory_mb: {memory}{gpus}}}\n"
            );
            kitchen.submit(&format!("sweep{number}"), &text);
        }
        let workers: Vec<WorkerId> = kitchen.offers.keys().copied().collect();
        let mut seen = BTreeSet::new();
        let mut check = |kitchen: &Kitchen, got: Vec<AttemptId>| {
            for attempt in got {
                let granted = &kitchen.running.values().find_map(|held| held.get(&attempt)).unwrap();
                let number: usize = attempt.trial.sweep.as_str()[5..].parse().unwrap();
                let (threads, gpus, memory) = sweeps[number];
                assert_eq!((granted.cpus, granted.gpus.thousandths(), granted.memory_mb), (threads, gpus, memory.into()));
                assert!(seen.insert(attempt.trial), "a trial ran twice");
            }
        };
        for (n, which) in steps {
            let worker = workers[usize::from(n) % workers.len()];
            let got = kitchen.acquire(worker);
            check(&kitchen, got);
            kitchen.finish_one(worker, which);
        }
        for _ in 0..200 {
            for worker in &workers {
                let got = kitchen.acquire(*worker);
                check(&kitchen, got);
                kitchen.finish_one(*worker, 0);
            }
        }
        prop_assert_eq!(seen.len(), sweeps.len() * 6);
    }
}
