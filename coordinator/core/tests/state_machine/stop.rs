//! The rules of `stop:`, each on its own and together, after a restart, and after the sweep is resumed.

use std::time::Duration;

use proptest::prelude::*;
use rheo_core::machine::{Command, SweepRequest};
use rheo_core::sweep::{SweepEndReason, TrialOutcome};

use crate::world::*;
use crate::{Happening, demo, happen, happening, replayed, worker};

/// A sweep with every rule that may end it.
pub(crate) const STOPPED: &str = "
name: demo
metric: {name: bitterness, goal: minimize}
parameters:
  grams: {values: [8, 16, 32]}
  grind: {values: [10, 20]}
replicates: 2
retry: {lost: 1, error: 1, backoff: 2}
stop: {trials: 7, epochs: 20, wall_time: 4min, worker_hours: 0.1, no_improvement: {points: 2}}
";

/// Two rules of which one is reached while trials are paused.
pub(crate) const STOPPED_PROMOTING: &str = "
name: demo
parameters:
  grams: {values: [8, 16, 32, 64, 128, 256]}
replicates: 2
retry: {lost: 1, error: 1, backoff: 2}
early_terminate: {type: asha, eta: 2, mode: promote}
stop: {trials: 8, no_improvement: {points: 1, min_delta: 0.01}}
";

/// Six points with one seed; the losses grow with the number of the trial.
fn world(stop: &str) -> World {
    World::new(&format!(
        "name: demo\nmetric: {{name: bitterness, goal: minimize}}\nparameters: {{grams: {{values: [1, 2, 3, 4, 5, 6]}}}}\nstop: {stop}\n"
    ))
}

/// Runs a trial to its end; false if none was left to start.
fn run_one(world: &mut World, how: u8) -> bool {
    let is_leased = world.acquire(worker(0), 1) == 1;
    world.finish(worker(0), 0, how);
    is_leased
}

fn pass(world: &mut World, time: Duration) {
    world.now = world.now + time;
    world.send(Command::Tick).unwrap();
}

/// Stores a snapshot, and starts the coordinator anew from it.
fn restart(world: &mut World) {
    world.snapshot_step(usize::MAX);
    world.restart();
}

fn resume(world: &mut World) {
    let id = world.request();
    world.send(Command::Client(SweepRequest::Resume { id, sweep: demo() })).unwrap();
}

/// Returns the reason for which the sweep was closed, the same after a replay.
fn reason(world: &World) -> Option<SweepEndReason> {
    let again = &replayed(&world.events).sweeps[&demo()];
    assert_eq!(again, world.sweep());
    world.sweep().closed
}

#[test]
fn a_number_of_ended_trials_ends_a_sweep_and_failures_count() {
    let mut world = world("{trials: 3}");
    assert_eq!(world.acquire(worker(1), 1), 1);
    for how in [0, 4] {
        assert!(run_one(&mut world, how));
        assert_eq!(reason(&world), None);
    }
    assert!(run_one(&mut world, 0));
    assert_eq!(reason(&world), Some(SweepEndReason::StopTrials));
    assert!(!run_one(&mut world, 0));
    assert_eq!(world.sweep().ended, None, "a trial runs");
    world.finish(worker(1), 0, 0);
    assert_eq!(world.sweep().ended.map(|(reason, _)| reason), Some(SweepEndReason::StopTrials));
    // Another three, of which two are left.
    resume(&mut world);
    assert!(run_one(&mut world, 0) && run_one(&mut world, 0));
    assert_eq!(world.sweep().ended.map(|(reason, _)| reason), Some(SweepEndReason::Exhausted));
}

#[test]
fn epochs_count_when_they_are_committed() {
    let mut world = world("{epochs: 5}");
    assert_eq!(world.acquire(worker(0), 2), 2);
    world.commit(worker(0), 0, 3);
    assert_eq!(reason(&world), None);
    restart(&mut world);
    world.commit(worker(0), 0, 1);
    assert_eq!(reason(&world), None);
    world.commit(worker(0), 0, 1);
    assert_eq!(reason(&world), Some(SweepEndReason::StopEpochs));
    assert_eq!(world.acquire(worker(1), 1), 0);
}

#[test]
fn wall_time_runs_from_the_first_lease_whoever_asks_first() {
    for by_tick in [true, false] {
        let mut world = world("{wall_time: 1min}");
        pass(&mut world, Duration::from_mins(10));
        assert!(run_one(&mut world, 0));
        pass(&mut world, Duration::from_millis(59_999));
        assert!(run_one(&mut world, 0));
        assert_eq!(reason(&world), None);
        world.now = world.now + Duration::from_millis(1);
        if by_tick {
            world.send(Command::Tick).unwrap();
            assert_eq!(reason(&world), Some(SweepEndReason::StopWallTime));
        }
        assert!(!run_one(&mut world, 0));
        assert_eq!(reason(&world), Some(SweepEndReason::StopWallTime));
        assert!(world.sweep().ended.is_some());
        resume(&mut world);
        pass(&mut world, Duration::from_mins(10));
        assert!(run_one(&mut world, 0), "the time runs from the next lease");
    }
}

#[test]
fn worker_hours_add_up_over_attempts_that_run_side_by_side() {
    let mut world = world("{worker_hours: 0.01}");
    // 36 seconds: two trials for 10 s each, then one for 16 s.
    assert_eq!(world.acquire(worker(0), 2), 2);
    pass(&mut world, Duration::from_secs(10));
    world.finish(worker(0), 0, 0);
    restart(&mut world);
    pass(&mut world, Duration::from_millis(15_999));
    assert_eq!(reason(&world), None);
    pass(&mut world, Duration::from_millis(1));
    assert_eq!(reason(&world), Some(SweepEndReason::StopWorkerHours));
    assert_eq!(world.acquire(worker(1), 1), 0);
    world.finish(worker(0), 0, 0);
    resume(&mut world);
    pass(&mut world, Duration::from_secs(1000));
    assert_eq!(world.acquire(worker(0), 1), 1, "no time passed for a trial");
}

#[test]
fn points_without_an_improvement_end_a_sweep() {
    let mut world = world("{no_improvement: {points: 2}}");
    // The first trial is the best; a diverged one is no better, a failed one says nothing.
    for (how, expected) in [(0, None), (4, None), (5, None), (5, None), (5, None)] {
        world.now = world.now + Duration::from_secs(400);
        assert!(run_one(&mut world, how));
        assert_eq!(reason(&world), expected);
        restart(&mut world);
    }
    assert!(run_one(&mut world, 0));
    assert_eq!(reason(&world), Some(SweepEndReason::StopNoImprovement));
}

#[test]
fn an_improvement_below_min_delta_is_none() {
    for (min_delta, ends) in [(0.0, false), (0.04, false), (0.06, true)] {
        // Larger is better: 0.05, 0.1, 0.15 and so on.
        let mut world = World::new(&format!(
            "name: demo\nmetric: {{name: bitterness, goal: maximize}}\nparameters: {{grams: {{values: [1, 2, 3]}}}}\nstop: {{no_improvement: {{points: 1, min_delta: {min_delta}}}}}\n"
        ));
        assert!(run_one(&mut world, 0) && run_one(&mut world, 0));
        let expected = ends.then_some(SweepEndReason::StopNoImprovement);
        assert_eq!(reason(&world), expected, "{min_delta}");
    }
}

#[test]
fn a_rule_that_is_reached_with_the_last_trial_changes_nothing() {
    let mut world = world("{trials: 6, wall_time: 30s}");
    assert_eq!(world.acquire(worker(0), 6), 6);
    pass(&mut world, Duration::from_secs(30));
    for _ in 0..6 {
        world.finish(worker(0), 0, 0);
    }
    assert_eq!(world.sweep().ended.map(|(reason, _)| reason), Some(SweepEndReason::Exhausted));
}

#[test]
fn paused_trials_count_and_end_as_pruned() {
    let file = PROMOTING.to_owned() + "stop: {trials: 2}\n";
    let mut world = World::new(&file);
    for _ in 0..2 {
        assert_eq!(world.sweep().closed, None);
        assert_eq!(world.acquire(worker(0), 1), 1);
        world.commit(worker(0), 0, 1);
        world.finish(worker(0), 0, 10);
    }
    assert_eq!(reason(&world), Some(SweepEndReason::StopTrials));
    assert_eq!(world.sweep().ended.map(|(reason, _)| reason), Some(SweepEndReason::StopTrials));
    assert_eq!(world.sweep().count(TrialOutcome::Pruned), 2);
    assert!(world.sweep().parked.is_empty());
    resume(&mut world);
    assert_eq!(world.acquire(worker(0), 1), 1, "another two");
}

#[test]
fn a_sweep_that_is_cancelled_after_it_reached_a_rule_gets_as_much_again() {
    let mut world = world("{trials: 1}");
    assert_eq!(world.acquire(worker(1), 1), 1);
    assert!(run_one(&mut world, 0));
    let id = world.request();
    world.send(Command::Client(SweepRequest::Cancel { id, sweep: demo() })).unwrap();
    world.finish(worker(1), 0, 10);
    assert_eq!(world.sweep().ended.map(|(reason, _)| reason), Some(SweepEndReason::Cancelled));
    resume(&mut world);
    assert_eq!(reason(&world), None);
    assert!(run_one(&mut world, 0));
    assert_eq!(reason(&world), Some(SweepEndReason::StopTrials));
}

/// Some of the rules, with small limits.
fn rules() -> impl Strategy<Value = String> {
    let rule = |name: &'static str, limits: std::ops::Range<u64>| {
        let limit = proptest::option::of(limits);
        limit.prop_map(move |limit| limit.map(|limit| format!("{name}: {limit}")))
    };
    let points = proptest::option::of(1_u64..5);
    let points = points.prop_map(|points| {
        points.map(|points| format!("no_improvement: {{points: {points}, min_delta: 0.02}}"))
    });
    let hours = proptest::option::of(1_u64..300);
    let hours =
        hours.prop_map(|seconds| seconds.map(|s| format!("worker_hours: {}", s as f64 / 3600.0)));
    let rules =
        (rule("trials", 1..12), rule("epochs", 1..40), rule("wall_time", 1..600), hours, points);
    rules.prop_map(|(trials, epochs, time, hours, points)| {
        let given: Vec<String> =
            [trials, epochs, time, hours, points].into_iter().flatten().collect();
        format!("stop: {{{}}}\n", given.join(", "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// [`World::observe`] checks at each lease that no trial starts after a rule is reached.
    #[test]
    fn no_trial_starts_after_a_rule_is_reached_and_a_replay_ends_alike(
        file in prop::sample::select(vec![PROMOTING, STOPPING, WEIGHTED, MODELLED]),
        rules in rules(),
        happenings in prop::collection::vec(happening(), 0..80),
    ) {
        let mut world = World::new(&(file.to_owned() + &rules));
        let foreign = |one: &Happening| matches!(one, Happening::Delete | Happening::Submit(_));
        for one in happenings.iter().filter(|one| !foreign(one)) {
            happen(&mut world, one);
        }
        // Time alone ends a sweep too.
        world.send(Command::Tick).unwrap();
        prop_assert_eq!(world.sweep().reached_rule(world.now), None);
        let id = world.request();
        world.send(Command::Client(SweepRequest::Resume { id, sweep: demo() })).unwrap();
        world.run_to_the_end();
        let (replayed, loaded) = (replayed(&world.events), world.stored.load());
        prop_assert_eq!(&replayed, &world.state);
        prop_assert_eq!(&loaded, &world.state);
        prop_assert!(world.sweep().ended.is_some());
        prop_assert!(world.sweep().parked.is_empty());
    }
}
