//! Workers that do not meet the needs of trials.

use std::collections::BTreeMap;

use rheo_core::machine::{Command, Event, State, TrialCounts, TrialStatus, WorkerInfo};
use rheo_core::name::WorkloadName;
use rheo_core::sweep::{AttemptEnded, AttemptOutcome, TrialOutcome};

use crate::world::*;

fn outcomes(world: &World) -> BTreeMap<TrialOutcome, u64> {
    world.sweep().outcomes.clone()
}

#[test]
fn u42_an_unfit_end_uses_no_budget_and_another_worker_continues_at_once() {
    let mut world = World::new(GRID);
    for n in 0..20 {
        // Each worker is unfit once; a trial may not fail that often.
        assert_eq!(world.acquire(worker(n + 20), 1), 1);
        world.finish(worker(n + 20), 0, 11);
    }
    assert_eq!(world.sweep().live[&0].ends, BTreeMap::from([(AttemptOutcome::Unfit, 20)]));
    // Its earlier commit is not lost.
    assert!(world.sweep().live[&0].durable.total() > 0);
    assert_eq!(world.acquire(worker(0), 1), 1);
    assert_eq!(world.held(worker(0))[0].attempt.to_string(), "demo/0.21");
    world.finish(worker(0), 0, 0);
    assert_eq!(outcomes(&world), BTreeMap::from([(TrialOutcome::Completed, 1)]));
}

#[test]
fn u42_an_unfit_worker_gets_nothing_more_until_something_has_changed() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(0), 0, 11);
    for _ in 0..3 {
        assert_eq!(world.acquire(worker(0), 1), 0);
    }
    // Joining with the same inventory is no change.
    world.join(worker(0));
    assert_eq!(world.acquire(worker(0), 1), 0);
    let told = world.state.unfit_for_waiting(worker(0), None).unwrap();
    assert_eq!(told, "no memory left on this device");
    world.join_as(worker(0), 1);
    assert_eq!(world.acquire(worker(0), 1), 1);
    assert_eq!(world.state.unfit_workers(), []);
}

#[test]
fn u42_one_healthy_worker_completes_everything_beside_one_that_lacks_data() {
    let mut world = World::new(MIXED);
    let mut by_worker: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    for n in [1, 2, 0] {
        while world.acquire(worker(n), 2) > 0 {
            while let Some(attempt) = world.held(worker(n)).first() {
                by_worker.entry(n).or_default().push(attempt.attempt.trial.index);
                world.finish(worker(n), 0, 0);
            }
        }
    }
    assert_eq!(outcomes(&world), BTreeMap::from([(TrialOutcome::Completed, 6)]));
    // Kinds vary slowest: the last two are instant, and even ones take two threads.
    assert_eq!(by_worker[&1], [4, 5], "no data set: it takes what needs none, out of turn");
    assert_eq!(by_worker[&2], [1, 3], "one slot");
    assert_eq!(by_worker[&0], [0, 2]);
    let unfit: Vec<String> =
        world.state.unfit_workers().into_iter().map(|unfit| unfit.cause).collect();
    assert_eq!(
        unfit,
        [
            "no data set `beans`",
            "a trial takes 2 threads (`resources.threads`), and the worker has 1 slots"
        ]
    );
}

#[test]
fn a_deferred_trial_is_queued_and_starts_with_its_first_lease() {
    let mut world = World::new(MIXED);
    assert_eq!(world.acquire(worker(1), 2), 1);
    assert_eq!(world.held(worker(1))[0].attempt.trial.index, 4);
    let counts = TrialCounts { trials: 6, queued: 5, running: 1, ..TrialCounts::default() };
    assert_eq!(world.sweep().counts(), counts);
    assert_eq!(TrialStatus::of(world.sweep(), 0), TrialStatus::Queued);
    world.now = world.now + LEASE;
    assert_eq!(world.acquire(worker(0), 2), 1);
    assert_eq!(world.held(worker(0))[0].attempt.to_string(), "demo/0.1");
    assert_eq!(world.sweep().live[&0].started, world.now);
}

#[test]
fn u42_that_no_worker_fits_is_said_with_its_cause_and_since_when() {
    let mut world = World::new(GRID);
    let no_fit = |world: &World| world.state.placement_failure(world.sweep(), |_| true);
    assert_eq!(no_fit(&world), None, "there is no worker");
    assert_eq!(world.acquire(worker(0), 1), 1);
    assert_eq!(no_fit(&world), None, "one is at work");
    world.now = world.now + LEASE / 2;
    world.finish(worker(0), 0, 11);
    let told = no_fit(&world).unwrap();
    assert!(told.cause.ends_with("no memory left on this device"), "{}", told.cause);
    let since = told.since;
    world.now = world.now + LEASE;
    assert_eq!(no_fit(&world).unwrap().since, since);
    // A new worker may fit.
    world.join(worker(1));
    assert_eq!(no_fit(&world), None);
    let gone = world.state.placement_failure(world.sweep(), |id| id != worker(1));
    assert!(gone.is_some(), "the other is not there any more");
    // The explanation stays after the worker has left.
    let reason = "no disk".to_owned();
    for n in [0, 1] {
        let (worker, reason) = (worker(n), reason.clone());
        world.send(Command::LeaveUnfit { worker, reason }).unwrap();
    }
    assert!(no_fit(&world).unwrap().cause.contains("no disk"));
    assert_eq!(world.state.unfit_workers().len(), 2);
}

#[test]
fn a_state_of_an_older_version_knows_nothing_of_inventories() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(0), 0, 5);
    let mut state = serde_json::to_value(&world.state).unwrap();
    let workers = state["workers"].as_object_mut().unwrap();
    for worker in workers.values_mut() {
        let worker = worker.as_object_mut().unwrap();
        worker.remove("unfit");
        worker.remove("departed");
        worker["info"].as_object_mut().unwrap().remove("inventory");
    }
    let old: State = serde_json::from_value(state).unwrap();
    assert!(old.workers.values().all(|worker| worker.info.inventory.is_none()));
    let ended = world.events.iter().find(|event| matches!(event, Event::AttemptEnded(_)));
    let mut ended = serde_json::to_value(ended.unwrap()).unwrap();
    ended["attempt_ended"].as_object_mut().unwrap().remove("need").unwrap();
    let ended: Event = serde_json::from_value(ended).unwrap();
    assert!(matches!(ended, Event::AttemptEnded(AttemptEnded { need: None, .. })));
}

#[test]
fn a_worker_gets_no_trial_of_a_workload_that_it_cannot_run() {
    let mut world = World::new(GRID);
    let workloads = vec![WorkloadName::of("roasting")];
    let info = WorkerInfo { offer: slots(2), workloads, ..WorkerInfo::default() };
    world.send(Command::Join { worker: worker(0), info, state: None }).unwrap();
    assert_eq!(world.acquire(worker(0), 2), 0);
    assert_eq!(world.acquire(worker(1), 2), 2);
}
