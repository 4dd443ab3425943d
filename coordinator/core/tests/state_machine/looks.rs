//! Viewing trials: it chooses no point, and a running trial is resolved only once.

use std::sync::Arc;

use rheo_core::machine::{TrialStatus, TrialView};

use crate::stored::reloaded;
use crate::world::*;

#[test]
fn a_queued_trial_whose_point_is_not_chosen_is_shown_without_one() {
    let mut world = World::new(WEIGHTED);
    let look = |world: &World, index: u64| TrialView::of(world.sweep(), index).unwrap();
    let queued = look(&world, 0);
    assert_eq!((queued.status, queued.swept.iter().count()), (TrialStatus::Queued, 0));
    assert_ne!(look(&world, 1).seed, queued.seed, "seeds need no point");
    assert!(world.sweep().trial(0).is_err());
    world.join(worker(0));
    assert_eq!(world.acquire(worker(0), 1), 1);
    assert_eq!(look(&world, 0).swept.iter().count(), 2);
    // The other seed of the chosen point.
    assert_eq!(look(&world, 1).swept, look(&world, 0).swept);
    assert_eq!(look(&world, 2).swept.iter().count(), 0);
}

#[test]
fn a_queued_trial_of_a_grid_is_shown_with_its_point() {
    let world = World::new(GRID);
    let queued = TrialView::of(world.sweep(), 5).unwrap();
    assert_eq!(queued.swept.to_string(), "grams=32");
}

#[test]
fn a_trial_that_runs_is_resolved_once_and_forgotten_when_it_ends() {
    let mut world = World::new(WEIGHTED);
    world.join(worker(0));
    assert_eq!(world.acquire(worker(0), 1), 1);
    let first = world.sweep().trial(0).unwrap();
    assert!(Arc::ptr_eq(&first, &world.sweep().trial(0).unwrap()));
    // A loaded state resolves it again, in the same way.
    let loaded = reloaded(&world.state);
    assert_eq!(loaded, world.state);
    assert_eq!(loaded.sweeps[&demo()].trial(0).unwrap(), first);
}
