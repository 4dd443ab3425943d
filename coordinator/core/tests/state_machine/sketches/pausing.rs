//! A pruner verdict that pauses a trial. A pause is the end of an attempt that uses no budget, with
//! a next attempt in the far future; the events for that exist. The verdict and an event that
//! brings the next attempt forward are missing, so the test applies the end a second time.

use rheo_core::id::TrialId;
use rheo_core::machine::{Event, TrialStatus, TrialView};
use rheo_core::sweep::{AttemptEnded, AttemptOutcome};
use rheo_core::time::Timestamp;

use crate::world::*;

#[test]
fn a_paused_trial_keeps_its_rows_and_resumes_from_its_checkpoint() {
    let mut world = World::new(GRID);
    world.join(worker(0));
    world.acquire(worker(0), 1);
    world.commit(worker(0), 0, 2);
    let job = world.take(worker(0), 0).unwrap();
    let index = job.attempt.trial.index;
    let before = world.sweep().live[&index].clone();
    let lease = before.lease.clone().unwrap();
    let pause = AttemptEnded {
        attempt: job.attempt.clone(),
        worker: lease.worker,
        since: lease.since,
        sequence: before.sequence,
        commits: lease.commits,
        epochs: lease.epochs,
        outcome: AttemptOutcome::Preempted,
        error: None,
        need: None,
        discard_checkpoint: false,
        at: world.now,
        not_before: Timestamp(u64::MAX),
    };
    world.state.apply(&Event::AttemptEnded(pause.clone()));
    assert_eq!(world.state.defects(), [""; 0]);

    // Everything else completes, while the paused trial and its sweep wait.
    while world.acquire(worker(0), 1) > 0 {
        world.finish(worker(0), 0, 0);
    }
    let paused = &world.sweep().live[&index];
    assert_eq!((paused.checkpoint, &paused.durable), (before.checkpoint, &before.durable));
    assert_eq!(TrialView::of(world.sweep(), index).unwrap().status, TrialStatus::Waiting);
    assert!(world.sweep().ended.is_none());

    let resume = AttemptEnded { not_before: world.now, ..pause };
    world.state.apply(&Event::AttemptEnded(resume));
    assert_eq!(world.acquire(worker(0), 1), 1);
    let resumed = world.take(worker(0), 0).unwrap();
    assert_eq!(resumed.attempt.trial, TrialId::new(demo(), index));
    assert_eq!(resumed.attempt.number, job.attempt.number + 1);
    assert_eq!((resumed.produced, resumed.durable), (2, 2));
}
