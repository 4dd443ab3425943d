//! Trials that a pruner pauses: they keep their rows and checkpoint, hold no lease, and resume on
//! any worker once they are among the best at their rung.

use std::time::Duration;

use rheo_core::history::TrialEnding;
use rheo_core::machine::{
    Command, Event, State, SweepRequest, TrialStatus, TrialView, WorkOutlook,
};
use rheo_core::sweep::{AttemptEnded, AttemptOutcome, StopReason, SweepEndReason, TrialOutcome};

use crate::world::*;

fn status(world: &World, index: u64) -> TrialStatus {
    TrialView::of(world.sweep(), index).unwrap().status
}

/// Has `worker` begin a trial, reach the first rung and obey the verdict; returns the trial.
fn reach_the_rung(world: &mut World, n: u8) -> u64 {
    assert_eq!(world.acquire(worker(n), 1), 1);
    let index = world.attempts_of(worker(n))[0].trial.index;
    world.commit(worker(n), 0, 1);
    let attempt = world.attempts_of(worker(n))[0].clone();
    if world.state.stop_reason(&attempt).is_some() {
        world.finish(worker(n), 0, 10);
    }
    index
}

#[test]
fn a_paused_trial_keeps_its_rows_and_resumes_elsewhere_from_its_checkpoint() {
    let mut world = World::new(PROMOTING);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.commit(worker(0), 0, 1);
    let attempt = world.attempts_of(worker(0))[0].clone();
    assert_eq!(world.state.stop_reason(&attempt), Some(StopReason::Parked));
    world.finish(worker(0), 0, 10);
    let Some(Event::AttemptEnded(AttemptEnded { outcome, .. })) =
        world.events.iter().rev().find(|event| matches!(event, Event::AttemptEnded(_)))
    else {
        panic!("no attempt ended")
    };
    assert_eq!(*outcome, AttemptOutcome::Paused);
    assert_eq!(status(&world, 0), TrialStatus::Parked);
    assert_eq!(world.sweep().counts().parked, 1);
    let parked = world.sweep().parked[&0].clone();
    assert!(parked.lease.is_none() && parked.checkpoint.is_some());
    assert_eq!(parked.durable.total(), 2, "the worker trained on until it heard");
    // Every checkpoint that is needed is known.
    assert!(world.state.checkpoints().contains(&parked.checkpoint.unwrap()));

    world.snapshot_step(usize::MAX);
    world.restart();
    assert_eq!(status(&world, 0), TrialStatus::Parked);
    // The second trial is worse, so the first is the best half.
    assert_eq!(reach_the_rung(&mut world, 3), 1);
    world.snapshot_step(1);
    world.restart();
    assert_eq!(world.acquire(worker(4), 1), 1);
    let resumed = world.take(worker(4), 0).unwrap();
    assert_eq!(resumed.attempt.to_string(), "demo/0.2");
    assert_eq!((resumed.produced, resumed.durable), (2, 2));
    assert_eq!(world.sweep().live[&0].ends[&AttemptOutcome::Paused], 1);
    world.jobs.entry(worker(4)).or_default().push(resumed);
    // It reached the second rung in its first attempt, and is judged there at its next commit.
    world.commit(worker(4), 0, 1);
    let attempt = world.attempts_of(worker(4))[0].clone();
    assert_eq!(world.state.stop_reason(&attempt), Some(StopReason::Parked));
    world.finish(worker(4), 0, 10);
    assert_eq!(world.sweep().parked[&0].rung, Some(2));
    world.run_to_the_end();
    assert_eq!(world.sweep().ended.map(|(reason, _)| reason), Some(SweepEndReason::Exhausted));
    assert!(world.sweep().count(TrialOutcome::Pruned) > 0);
    assert!(world.sweep().parked.is_empty());
}

#[test]
fn a_trial_to_be_parked_is_parked_however_its_attempt_ends() {
    for how in [8, 7] {
        let mut world = World::new(PROMOTING);
        assert_eq!(world.acquire(worker(0), 1), 1);
        world.commit(worker(0), 0, 1);
        world.finish(worker(0), 0, how);
        assert_eq!(status(&world, 0), TrialStatus::Parked, "{how}");
    }
    // The commit that reaches the rung is the last of a preempted attempt.
    let mut world = World::new(PROMOTING);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(0), 0, 8);
    assert_eq!(status(&world, 0), TrialStatus::Parked);
    // The worker vanishes before it obeys.
    let mut world = World::new(PROMOTING);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.commit(worker(0), 0, 1);
    world.now = world.now + LEASE * 2;
    world.send(Command::Tick).unwrap();
    assert_eq!(status(&world, 0), TrialStatus::Parked);
    assert_eq!(world.sweep().live.len(), 0);
}

#[test]
fn a_stopped_trial_without_a_lease_is_pruned_at_once() {
    let mut world = World::new(STOPPING);
    assert_eq!(world.acquire(worker(0), 2), 2);
    world.commit(worker(0), 0, 1);
    // The last of two at the rung, in the last commit of a preempted attempt.
    let jobs = world.jobs.get_mut(&worker(0)).unwrap();
    jobs.sort_by_key(|job| job.attempt.trial.index);
    world.finish(worker(0), 1, 8);
    assert_eq!(status(&world, 1), TrialStatus::Ended(TrialOutcome::Pruned));
    assert_eq!(status(&world, 0), TrialStatus::Running);
}

#[test]
fn cancelling_cancels_parked_trials_and_resuming_parks_them_again() {
    let mut world = World::new(PROMOTING);
    reach_the_rung(&mut world, 0);
    let id = world.request();
    world.send(Command::Client(SweepRequest::Cancel { id, sweep: demo() })).unwrap();
    assert_eq!(status(&world, 0), TrialStatus::Ended(TrialOutcome::Cancelled));
    assert_eq!(world.sweep().ended.map(|(reason, _)| reason), Some(SweepEndReason::Cancelled));
    let id = world.request();
    world.send(Command::Client(SweepRequest::Resume { id, sweep: demo() })).unwrap();
    assert_eq!(status(&world, 0), TrialStatus::Parked);
    world.run_to_the_end();
    assert_eq!(world.sweep().done.len() as u64, world.sweep().planned.plan.trials());
}

#[test]
fn no_worker_idles_while_a_trial_is_queued_or_promotable() {
    let mut world = World::new(PROMOTING);
    let trials = world.sweep().planned.plan.trials();
    for step in 0..400u64 {
        if world.sweep().ended.is_some() {
            break;
        }
        // Workers of different speeds: worker n trains in every (n + 1)th step.
        for n in 3..7u8 {
            if world.held(worker(n)).is_empty() && world.acquire(worker(n), 1) == 0 {
                let sweep = world.sweep();
                assert!(sweep.promotable().is_empty() && sweep.next == trials, "step {step}");
                let has_ended = sweep.ended.is_some();
                let outlook = if has_ended { WorkOutlook::None } else { WorkOutlook::Maybe };
                assert_eq!(world.state.work_outlook(worker(n), None), outlook);
                continue;
            }
            if step % u64::from(n - 2) == 0 {
                world.train_one_epoch(worker(n));
            }
        }
        world.now = world.now + Duration::from_secs(1);
    }
    let sweep = world.sweep();
    assert_eq!(sweep.ended.map(|(reason, _)| reason), Some(SweepEndReason::Exhausted));
    let (completed, pruned) =
        (sweep.count(TrialOutcome::Completed), sweep.count(TrialOutcome::Pruned));
    assert_eq!(completed + pruned, trials);
    // About a quarter passes both rungs.
    assert!((1..=trials / 3).contains(&completed), "{completed} of {trials}");
    let all = trials * EPOCHS;
    let trained: u64 = world.rows.values().sum();
    assert!(trained * 10 < all * 7, "{trained} of {all} epochs");
}

/// Checks that a parked trial that is leased is among the best half of those that have reached its
/// rung, or diverged on the way there.
pub(crate) fn check_promotion(state: &State, index: u64, rung: u32) {
    let sweep = &state.sweeps[&demo()];
    let is_last = sweep.live.is_empty() && sweep.next == sweep.planned.plan.trials();
    if is_last && sweep.count(TrialOutcome::Completed) == 0 {
        return;
    }
    let history = &sweep.history;
    let at_rung = |trial: u64| taste(trial, u64::from(rung) - 1);
    let below = u64::from(rung) / 2;
    let reached: Vec<u64> = history
        .trials()
        .filter(|(_, past)| past.epochs().min(past.compared_until.unwrap_or(rung)) >= rung)
        .map(|(other, _)| other)
        .collect();
    let diverged = history.trials().filter(|(_, past)| {
        let is_next = u64::from(past.epochs()) >= below && past.epochs() < rung;
        past.ending == Some(TrialEnding::Diverged) && past.compared_until.is_none() && is_next
    });
    let count = reached.len() + diverged.count();
    let is_better = |other: &&u64| (-at_rung(**other), **other) < (-at_rung(index), index);
    let better = reached.iter().filter(is_better).count();
    assert!(better < count / 2, "trial {index} is number {better} of {count} at {rung}");
}
