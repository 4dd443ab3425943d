//! The choice of the worker for the retry of a failed attempt.

use std::time::Duration;

use rheo_core::machine::{Command, KEPT_FOR_OTHERS};
use rheo_core::sweep::Trial;
use rheo_core::time::Timestamp;

use crate::world::*;

/// The pause of the sweep after the first error.
const BACKOFF: Duration = Duration::from_secs(2);

/// A sweep of one trial, which may fail once.
const ONE: &str = "
name: demo
retry: {error: 1, backoff: 2}
";

/// Worker 0 has failed the only trial, and the pause after that is over.
fn failed(how: u8) -> World {
    let mut world = World::new(ONE);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(0), 0, how);
    world.now = world.now + BACKOFF;
    world
}

#[test]
fn a_failed_attempt_is_tried_again_by_another_worker() {
    for how in [5, 9] {
        let mut world = failed(how);
        world.join(worker(1));
        assert_eq!(world.acquire(worker(0), 1), 0, "kept for the other");
        assert_eq!(world.acquire(worker(1), 1), 1);
    }
}

#[test]
fn a_worker_that_is_alone_tries_again_as_soon_as_it_may() {
    assert_eq!(failed(5).acquire(worker(0), 1), 1);
    // A worker that has left, or that does not meet the needs, does not count.
    let mut world = failed(5);
    world.join(worker(1));
    world.send(Command::Leave { worker: worker(1) }).unwrap();
    assert_eq!(world.acquire(worker(0), 1), 1);
}

#[test]
fn a_retry_is_kept_for_others_for_a_bounded_time() {
    let mut world = failed(5);
    world.join(worker(1));
    let until = world.now + KEPT_FOR_OTHERS;
    assert_eq!(
        world.state.next_ready(None, world.now),
        Some(until),
        "it is told when to ask again"
    );
    world.now = Timestamp(until.0 - 1);
    assert_eq!(world.acquire(worker(0), 1), 0);
    world.now = until;
    assert_eq!(world.acquire(worker(0), 1), 1);
}

#[test]
fn a_worker_takes_other_trials_meanwhile() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(0), 0, 5);
    world.join(worker(1));
    world.now = world.now + BACKOFF;
    assert_eq!(world.acquire(worker(0), 1), 1);
    assert_eq!(world.held(worker(0))[0].attempt.to_string(), "demo/1.1");
    assert_eq!(world.acquire(worker(1), 1), 1);
    assert_eq!(world.held(worker(1))[0].attempt.to_string(), "demo/0.2");
}

#[test]
fn an_end_that_says_nothing_of_the_worker_keeps_nothing_from_it() {
    let mut world = failed(8);
    world.join(worker(1));
    assert_eq!(world.acquire(worker(0), 1), 1, "preempted");
}

#[test]
fn a_state_of_an_older_version_keeps_no_retry() {
    let mut trial = serde_json::to_value(&failed(5).sweep().live[&0]).unwrap();
    assert!(trial.as_object_mut().unwrap().remove("failed_on").is_some());
    let old: Trial = serde_json::from_value(trial).unwrap();
    assert_eq!(old.failed_on, None);
}
