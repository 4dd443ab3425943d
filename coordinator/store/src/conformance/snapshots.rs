//! Conformance tests of snapshots of sweeps with ended trials.

use rheo_core::definition::SearchMethod;
use rheo_core::machine::{State, SweepRequest, TrialSelection};
use rheo_core::part::Part;
use rheo_core::sweep::Sweep;

use crate::journal::SnapshotStep;

use super::test_coordinator::{TestCoordinator, workloads};
use super::{JournalOpener, sweep};

/// The number of concurrent trials.
const WORKERS: u64 = 100;

/// The number of ended trials: many chunks, the last one not full.
const MANY: u64 = 1_501;

/// Checks that the journal loads the state of `coordinator`, which then continues with the loaded state. Returns
/// the number of replayed events.
fn reload(open: JournalOpener<'_>, coordinator: &mut TestCoordinator) -> u64 {
    let loaded = open().load(&workloads()).unwrap();
    assert_eq!(loaded.position, coordinator.position);
    assert!(loaded.state == coordinator.state, "the loaded state differs");
    assert_eq!(loaded.state.defects(), [""; 0]);
    let best = |state: &State| state.sweeps.values().map(Sweep::best).collect::<Vec<_>>();
    assert_eq!(best(&loaded.state), best(&coordinator.state));
    coordinator.state = loaded.state;
    loaded.replayed
}

fn snapshot(open: JournalOpener<'_>, coordinator: &mut TestCoordinator) {
    coordinator.snapshot(&*open()).unwrap();
    assert_eq!(reload(open, coordinator), 0);
}

/// A coordinator with one sweep of which `ended` trials have ended.
fn with_trials(open: JournalOpener<'_>, method: SearchMethod, ended: u64) -> TestCoordinator {
    let journal = open();
    let mut coordinator = TestCoordinator::start(&*journal).unwrap();
    coordinator.submit(&*journal, &sweep(), method).unwrap();
    drop(journal);
    run(open, &mut coordinator, ended);
    coordinator
}

fn run(open: JournalOpener<'_>, coordinator: &mut TestCoordinator, ended: u64) {
    let journal = open();
    let mut left = ended;
    while left > 0 {
        left -= coordinator.run_trials(&*journal, left.min(WORKERS)).unwrap();
    }
}

pub(super) fn ended_trials_are_restored(open: JournalOpener<'_>) {
    let mut coordinator = with_trials(open, SearchMethod::Grid, MANY);
    snapshot(open, &mut coordinator);
    // Changes stored chunks and appends new ones.
    run(open, &mut coordinator, 250);
    coordinator.lease(&*open(), WORKERS).unwrap();
    assert!(reload(open, &mut coordinator) > 0);
    snapshot(open, &mut coordinator);
    let stored = &coordinator.state.sweeps[&sweep()];
    assert_eq!(stored.done.len() as u64, MANY + 250);
    assert_eq!(stored.live.len() as u64, WORKERS);
    assert!(!stored.retryable.is_empty());
}

pub(super) fn suggestions_are_restored_in_order(open: JournalOpener<'_>) {
    // Three trials for each point, and a chunk that is nearly full.
    let mut coordinator = with_trials(open, SearchMethod::Random, 3 * 1_020);
    snapshot(open, &mut coordinator);
    run(open, &mut coordinator, 100);
    snapshot(open, &mut coordinator);
    run(open, &mut coordinator, 100);
    reload(open, &mut coordinator);
    let history = &coordinator.state.sweeps[&sweep()].history;
    assert!(history.suggestions().len() > 1_024);
}

pub(super) fn trials_of_stored_chunks_can_be_retried(open: JournalOpener<'_>) {
    let mut coordinator = with_trials(open, SearchMethod::Grid, MANY);
    snapshot(open, &mut coordinator);
    let counts = |coordinator: &TestCoordinator| {
        let sweep = &coordinator.state.sweeps[&sweep()];
        (sweep.live.len(), sweep.retryable.len())
    };
    let (_, failed) = counts(&coordinator);
    assert!(failed > 2);
    coordinator.retry(&*open(), &sweep(), TrialSelection::Trials(vec![7])).unwrap();
    reload(open, &mut coordinator);
    snapshot(open, &mut coordinator);
    coordinator.retry(&*open(), &sweep(), TrialSelection::Failed).unwrap();
    snapshot(open, &mut coordinator);
    assert_eq!(counts(&coordinator), (failed, 0));
    let damaged = vec![3, 1_000, 1_407];
    let start_over = |id| {
        let (sweep, trials, parts) = (sweep(), damaged.clone(), Vec::<Part>::new());
        SweepRequest::StartOver { id, sweep, trials, parts }
    };
    coordinator.request(&*open(), start_over).unwrap();
    reload(open, &mut coordinator);
    snapshot(open, &mut coordinator);
    assert!(
        damaged.iter().all(|index| !coordinator.state.sweeps[&sweep()].done.contains_key(index))
    );
    run(open, &mut coordinator, 100);
    snapshot(open, &mut coordinator);
    assert_eq!(counts(&coordinator).0, 0, "all of them have ended again");
}

pub(super) fn a_snapshot_in_steps_is_stored_although_the_state_changes(open: JournalOpener<'_>) {
    let mut coordinator = with_trials(open, SearchMethod::Random, MANY);
    snapshot(open, &mut coordinator);
    coordinator.retry(&*open(), &sweep(), TrialSelection::Failed).unwrap();
    for limit in [3, 11, 40] {
        // Interrupted by a crash: what was staged is stored once more.
        let journal = open();
        coordinator.snapshot_step(&*journal, limit).unwrap();
        coordinator.run_trials(&*journal, 2).unwrap();
        coordinator.snapshot_step(&*journal, limit).unwrap();
        drop(journal);
        reload(open, &mut coordinator);
        snapshot_in_steps(open, &mut coordinator, limit);
        assert_eq!(reload(open, &mut coordinator), 0);
        run(open, &mut coordinator, 300);
    }
    // A deleted sweep is forgotten in steps, too.
    coordinator.delete(&*open(), &sweep()).unwrap();
    snapshot_in_steps(open, &mut coordinator, 11);
    assert!(coordinator.state.orphans().next().is_some());
    coordinator.tidy_step(&*open(), 11).unwrap();
    reload(open, &mut coordinator);
    while !coordinator.tidy_step(&*open(), 11).unwrap() {}
    reload(open, &mut coordinator);
    assert_eq!(coordinator.state.orphans().next(), None);
}

/// Takes a snapshot in steps, between which trials run.
fn snapshot_in_steps(open: JournalOpener<'_>, coordinator: &mut TestCoordinator, limit: usize) {
    let journal = open();
    let mut steps = 0;
    while coordinator.snapshot_step(&*journal, limit).unwrap() == SnapshotStep::Unfinished {
        if steps % 3 == 0 {
            coordinator.run_trials(&*journal, 2).unwrap();
        }
        steps += 1;
    }
}

pub(super) fn a_sweep_inherits_nothing_from_a_deleted_namesake(open: JournalOpener<'_>) {
    let mut coordinator = with_trials(open, SearchMethod::Grid, MANY);
    snapshot(open, &mut coordinator);
    // Deleted and submitted again between two snapshots.
    coordinator.delete(&*open(), &sweep()).unwrap();
    reload(open, &mut coordinator);
    coordinator.submit(&*open(), &sweep(), SearchMethod::Random).unwrap();
    reload(open, &mut coordinator);
    snapshot(open, &mut coordinator);
    run(open, &mut coordinator, 50);
    snapshot(open, &mut coordinator);
    assert_eq!(coordinator.state.sweeps[&sweep()].done.len(), 50);
    // Deleted before a snapshot, submitted after it.
    coordinator.delete(&*open(), &sweep()).unwrap();
    snapshot(open, &mut coordinator);
    coordinator.submit(&*open(), &sweep(), SearchMethod::Grid).unwrap();
    snapshot(open, &mut coordinator);
    assert_eq!(coordinator.state.sweeps[&sweep()].done.len(), 0);
}

pub(super) fn a_new_state_replaces_a_stored_one(open: JournalOpener<'_>) {
    let mut coordinator = with_trials(open, SearchMethod::Grid, MANY);
    snapshot(open, &mut coordinator);
    coordinator.state = State::new(workloads());
    snapshot(open, &mut coordinator);
    // Its first sweep has the same serial as the sweep of the replaced state.
    coordinator.submit(&*open(), &sweep(), SearchMethod::Grid).unwrap();
    snapshot(open, &mut coordinator);
    assert_eq!(coordinator.state.sweeps[&sweep()].done.len(), 0);
}
