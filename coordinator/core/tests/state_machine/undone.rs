//! Undoing on purpose: restarting trials with damaged files, and deleting sweeps.

use std::time::Duration;

use rheo_core::machine::{Command, Event, Rejection, SweepRequest};
use rheo_core::sweep::{TrialOutcome, TrialsStartedOver};

use crate::world::*;

#[test]
fn a_damaged_checkpoint_makes_a_trial_start_over_without_doubling_rows() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.commit(worker(0), 0, 3);
    world.finish(worker(0), 0, 8);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(0), 0, 9);
    world.now = world.now + Duration::from_secs(400);
    assert_eq!(world.acquire(worker(0), 1), 1);
    let trial = &world.sweep().live[&0];
    assert_eq!((trial.checkpoint, trial.covered.total(), trial.durable.total()), (None, 0, 4));
    world.commit(worker(0), 0, 2);
    world.finish(worker(0), 0, 0);
    assert_eq!(world.rows[&0], EPOCHS);
    assert_eq!(world.sweep().done[&0].outcome, TrialOutcome::Completed);
}

#[test]
fn a_restarted_completed_trial_has_its_rows_exactly_once() {
    let mut world = World::new(GRID);
    world.run_to_the_end();
    let best = world.sweep().best();
    assert_eq!(best.map(|best| best.point), Some(0));
    let [event] = &world.start_over(&[0, 7])[..] else { panic!("one event") };
    let Event::TrialsStartedOver(TrialsStartedOver { trials, .. }) = event else {
        panic!("{event:?}")
    };
    assert_eq!(trials.iter().map(|trial| trial.index).collect::<Vec<_>>(), [0]);
    assert_eq!(trials[0].was, Some(TrialOutcome::Completed));
    assert!(trials[0].checkpoint.is_some(), "its checkpoint is named, to be removed");
    let trial = &world.sweep().live[&0];
    assert_eq!((trial.attempt, trial.checkpoint), (1, None));
    assert_eq!((trial.durable.total(), trial.covered.total()), (0, 0));
    assert!(world.sweep().ended.is_none(), "the sweep goes on");
    assert_ne!(world.sweep().best(), best, "a trial that starts over is not the best");
    world.run_to_the_end();
    assert_eq!((world.rows[&0], world.attempts[&0]), (EPOCHS, 2));
}

#[test]
fn a_running_trial_that_starts_over_takes_nothing_more_from_its_attempt() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.commit(worker(0), 0, 2);
    world.start_over(&[0]);
    let mut old = world.take(worker(0), 0).unwrap();
    let work = old.train(1);
    let claim = old.claim(worker(0));
    let refused = world.send(Command::Commit { claim, work }).unwrap_err();
    assert_eq!(refused, Rejection::StaleAttempt(old.attempt));
    assert_eq!(world.acquire(worker(0), 1), 1);
    assert_eq!(world.held(worker(0))[0].attempt.to_string(), "demo/0.2");
    world.finish(worker(0), 0, 0);
    assert_eq!(world.rows[&0], EPOCHS);
}

#[test]
fn a_trial_of_a_cancelled_sweep_that_starts_over_is_cancelled() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(0), 0, 0);
    let id = world.request();
    world.send(Command::Client(SweepRequest::Cancel { id, sweep: demo() })).unwrap();
    world.start_over(&[0]);
    assert_eq!(world.sweep().count(TrialOutcome::Cancelled), 1);
    assert_eq!(world.sweep().count(TrialOutcome::Completed), 0);
    let id = world.request();
    world.send(Command::Client(SweepRequest::Resume { id, sweep: demo() })).unwrap();
    world.run_to_the_end();
    assert_eq!(world.sweep().count(TrialOutcome::Completed), 6);
}

#[test]
fn u44_deleting_frees_the_name_and_late_commits_never_reach_the_successor() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.commit(worker(0), 0, 2);
    let id = world.request();
    let delete = Command::Client(SweepRequest::Delete { id, sweep: demo() });
    let refused = world.send(delete.clone()).unwrap_err();
    assert_eq!(refused, Rejection::SweepBusy { sweep: demo(), running: 1 });

    // The worker vanishes with a commit on its disk, and its lease expires.
    let mut late = world.take(worker(0), 0).unwrap();
    world.now = world.now + LEASE * 2;
    assert_ne!(world.send(delete.clone()).unwrap(), []);
    assert!(world.state.sweeps.is_empty() && world.state.order.is_empty());
    let work = late.train(1);
    let claim = late.claim(worker(0));
    let commit = Command::Commit { claim, work };
    let stale = Rejection::StaleAttempt(late.attempt.clone());
    assert_eq!(world.send(commit.clone()).unwrap_err(), stale);

    // The same sweep again; the same worker gets the same trial.
    world.submit(GRID).unwrap();
    assert_eq!(world.acquire(worker(0), 1), 1);
    assert_eq!(world.held(worker(0))[0].attempt.trial, late.attempt.trial);
    assert_ne!(world.held(worker(0))[0].attempt.number, late.attempt.number);
    assert_eq!(world.send(commit).unwrap_err(), stale);
    let view = rheo_core::machine::TrialView::of(world.sweep(), 0).unwrap();
    assert_eq!(view.attempt, 1, "people count from 1 again");
    // A late repetition deletes nothing more.
    assert_eq!(world.send(delete).unwrap(), []);
    world.run_to_the_end();
    assert_eq!(world.sweep().count(TrialOutcome::Completed), 6);
}
