//! The state machine under arbitrary commands: workers crash, repeat messages, freeze and come
//! back; clients change their minds; and the coordinator restarts.
//!
//! After every command, the invariants hold and replaying the events gives the same state. At the
//! end, a healthy worker finishes the rest, and every trial has each of its rows exactly once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../brewing/mod.rs"]
mod brewing;
mod looks;
mod parking;
mod resources;
mod retry;
mod sketches;
mod states;
mod stop;
mod stored;
mod undone;
mod unfit;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use rheo_core::definition::SweepDefinition;
use rheo_core::machine::{
    Command, Event, Rejection, State, SweepRequest, TrialSelection, WorkOutlook,
};
use rheo_core::ranking::PointStanding;
use rheo_core::spec;
use rheo_core::sweep::{AttemptOutcome, SweepEndReason, TrialOutcome};

use crate::brewing::workloads;

use crate::world::*;

/// An event in the world.
#[derive(Debug, Clone)]
enum Happening {
    Acquire(u8, u32),
    Renew(u8),
    Commit(u8, usize, u64),
    Finish(u8, usize, u8),
    /// The worker crashes; its leases remain.
    Crash(u8),
    Leave(u8),
    ReportLost(u8),
    Pass(u64),
    Pause,
    Resume,
    Cancel,
    Retry(Option<u64>),
    /// Rows or checkpoints of these trials are damaged.
    StartOver(Vec<u64>),
    Restart,
    /// A step of a snapshot that stores at most so many chunks.
    Snapshot(usize),
    /// The inventory of the worker changes this many times.
    Change(u8, u32),
    LeaveUnfit(u8),
    Delete,
    /// A sweep of the same name is submitted: the same one or another.
    Submit(u8),
    /// An earlier command is repeated.
    Again(prop::sample::Index),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{
        Acquire, Again, Cancel, Change, Commit, Crash, Delete, Finish, Leave, LeaveUnfit, Pass,
        Pause, Renew, ReportLost, Restart, Resume, Retry, Snapshot, StartOver, Submit,
    };
    let worker = || 0..3u8;
    prop_oneof![
        8 => (worker(), 1..3u32).prop_map(|(worker, slots)| Acquire(worker, slots)),
        3 => worker().prop_map(Renew),
        8 => (worker(), any::<usize>(), 0..3u64).prop_map(|(w, which, n)| Commit(w, which, n)),
        8 => (worker(), any::<usize>(), 0..13u8).prop_map(|(w, which, how)| Finish(w, which, how)),
        2 => worker().prop_map(Crash),
        1 => worker().prop_map(Leave),
        1 => worker().prop_map(ReportLost),
        4 => (1..40u64).prop_map(Pass),
        1 => Just(Pause),
        2 => Just(Resume),
        1 => Just(Cancel),
        2 => prop::option::of(0..8u64).prop_map(Retry),
        2 => prop::collection::vec(0..8u64, 1..4).prop_map(StartOver),
        1 => Just(Restart),
        3 => (1..8usize).prop_map(Snapshot),
        3 => (worker(), 0..9u32).prop_map(|(worker, revision)| Change(worker, revision)),
        1 => worker().prop_map(LeaveUnfit),
        2 => Just(Delete),
        2 => (0..4u8).prop_map(Submit),
        6 => any::<prop::sample::Index>().prop_map(Again),
    ]
}

fn happen(world: &mut World, happening: &Happening) {
    let sweep = demo();
    match *happening {
        Happening::Acquire(n, slots) => {
            world.acquire(worker(n), slots);
        }
        Happening::Renew(n) => {
            let held = world.held(worker(n));
            // A forgotten worker is told so.
            let _ = world.send(Command::Renew { worker: worker(n), held, lease: LEASE });
        }
        Happening::Commit(n, which, epochs) => world.commit(worker(n), which, epochs),
        Happening::Finish(n, which, how) => world.finish(worker(n), which, how),
        Happening::Crash(n) => {
            world.jobs.remove(&worker(n));
        }
        Happening::Leave(n) => {
            world.jobs.remove(&worker(n));
            world.send(Command::Leave { worker: worker(n) }).unwrap();
        }
        Happening::ReportLost(n) => {
            world.send(Command::ReportLost { worker: worker(n) }).unwrap();
        }
        Happening::Pass(seconds) => {
            world.now = world.now + Duration::from_secs(seconds);
            world.send(Command::Tick).unwrap();
        }
        Happening::Pause => {
            let id = world.request();
            // An ended sweep cannot be paused or cancelled.
            let _ = world.send(Command::Client(SweepRequest::Pause { id, sweep }));
        }
        Happening::Resume => {
            let id = world.request();
            // It may have been deleted.
            let _ = world.send(Command::Client(SweepRequest::Resume { id, sweep }));
        }
        Happening::Cancel => {
            let id = world.request();
            let _ = world.send(Command::Client(SweepRequest::Cancel { id, sweep }));
        }
        Happening::Retry(index) => {
            let id = world.request();
            let trials =
                index.map_or(TrialSelection::Failed, |index| TrialSelection::Trials(vec![index]));
            // A trial that has not failed cannot be retried.
            let _ = world.send(Command::Client(SweepRequest::Retry { id, sweep, trials }));
        }
        Happening::StartOver(ref trials) => {
            if world.state.sweeps.contains_key(&sweep) {
                world.start_over(trials);
            }
        }
        Happening::Restart => world.restart(),
        Happening::Snapshot(limit) => world.snapshot_step(limit),
        Happening::Change(n, revision) => world.join_as(worker(n), revision),
        Happening::LeaveUnfit(n) => {
            world.jobs.remove(&worker(n));
            let reason = "no disk".to_owned();
            world.send(Command::LeaveUnfit { worker: worker(n), reason }).unwrap();
        }
        Happening::Delete => {
            let id = world.request();
            // Deleting is refused while a worker holds a trial.
            let _ = world.send(Command::Client(SweepRequest::Delete { id, sweep }));
        }
        Happening::Submit(which) => {
            let file = [GRID, WEIGHTED, LIMITED, PROMOTING][usize::from(which)];
            // Refused if a different sweep of this name exists.
            let _ = world.submit(file);
        }
        Happening::Again(ref index) => {
            let command = index.get(&world.sent).clone();
            // Repeated, late and out of order: it may be refused, but must do no harm.
            let _ = world.send(command);
        }
    }
}

fn replayed(events: &[Event]) -> State {
    let mut state = State::new(workloads());
    for event in events {
        // Through text, because events are read from a journal.
        let text = serde_json::to_string(event).unwrap();
        state.apply(&serde_json::from_str(&text).unwrap());
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_trial_is_lost_or_run_twice_whatever_happens(
        file in prop::sample::select(vec![
            GRID, WEIGHTED, MODELLED, LIMITED, MIXED, PROMOTING, STOPPING,
            stop::STOPPED, stop::STOPPED_PROMOTING,
        ]),
        happenings in prop::collection::vec(happening(), 0..120),
    ) {
        let mut world = World::new(file);
        for happening in happenings {
            happen(&mut world, &happening);
        }
        prop_assert_eq!(&replayed(&world.events), &world.state);
        let loaded = world.stored.load();
        prop_assert_eq!(&loaded, &world.state);
        let best = |state: &State| state.sweeps.get(&demo()).map(rheo_core::sweep::Sweep::best);
        prop_assert_eq!(best(&loaded), best(&world.state));

        if world.state.sweeps.is_empty() {
            world.submit(file).unwrap();
        }
        let id = world.request();
        world.send(Command::Client(SweepRequest::Resume { id, sweep: demo() })).unwrap();
        world.run_to_the_end();
        let replayed = replayed(&world.events);
        prop_assert_eq!(&replayed, &world.state);
        check_the_end(&world, &replayed);
    }
}

/// Checks U01, U05 and U14: the total is exact, and a trial is completed if and only if its rows
/// are.
fn check_the_end(world: &World, replayed: &State) {
    let sweep = world.sweep();
    let (reason, _) = sweep.ended.unwrap();
    let trials = sweep.planned.plan.trials();
    if matches!(reason, SweepEndReason::Exhausted | SweepEndReason::RunCap) {
        assert_eq!(sweep.done.len() as u64, trials);
    }
    for (index, done) in &sweep.done {
        if done.outcome == TrialOutcome::Completed {
            assert_eq!(world.rows.get(index), Some(&EPOCHS), "rows of trial {index}");
        }
    }
    assert_eq!(world.state.work_outlook(worker(9), None), WorkOutlook::None);
    // U32: a replayed coordinator plans the same trials.
    let again = &replayed.sweeps[&demo()];
    for index in 0..sweep.next {
        let planned = |sweep: &rheo_core::sweep::Sweep| {
            sweep.planned.trial(&sweep.history, index).unwrap().resolved.clone()
        };
        assert_eq!(planned(sweep), planned(again));
    }
}

#[test]
fn u10_a_worker_frozen_for_ten_leases_is_refused_and_takes_new_work() {
    let mut world = World::new(GRID);
    world.join(worker(0));
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.now = world.now + LEASE * 10;
    world.send(Command::Tick).unwrap();
    assert_eq!(world.acquire(worker(1), 1), 1);
    let mut frozen = world.take(worker(0), 0).unwrap();
    assert_eq!(frozen.attempt.trial, world.attempts_of(worker(1))[0].trial);
    let work = frozen.train(1);
    let claim = frozen.claim(worker(0));
    let refused = world.send(Command::Commit { claim, work }).unwrap_err();
    assert_eq!(refused, Rejection::StaleAttempt(frozen.attempt));
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(1), 0, 0);
    assert_eq!(world.sweep().count(TrialOutcome::Completed), 1);
}

#[test]
fn u11_a_hundred_preemptions_use_no_budget_of_failures() {
    let mut world = World::new(GRID);
    for _ in 0..100 {
        assert_eq!(world.acquire(worker(0), 1), 1);
        world.finish(worker(0), 0, 8);
    }
    assert_eq!(world.sweep().live[&0].ends, BTreeMap::from([(AttemptOutcome::Preempted, 100)]));
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(0), 0, 0);
    assert_eq!(world.sweep().done[&0].outcome, TrialOutcome::Completed);
}

#[test]
fn u12_a_vanished_worker_holds_a_trial_for_one_lease_and_no_longer() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.now = world.now + LEASE;
    world.send(Command::Tick).unwrap();
    assert_eq!(world.state.leases().count(), 1, "it lasts as long as it was granted");
    world.now = world.now + Duration::from_millis(1);
    world.send(Command::Tick).unwrap();
    assert_eq!(world.state.leases().count(), 0);
    assert_eq!(world.acquire(worker(1), 1), 1);
    assert_eq!(world.attempts_of(worker(1))[0].number, 2);
}

#[test]
fn u06_retrying_failed_trials_runs_those_and_no_others() {
    let mut world = World::new(LIMITED);
    for how in [5, 0, 5] {
        assert_eq!(world.acquire(worker(0), 1), 1);
        world.finish(worker(0), 0, how);
    }
    // Two failed trials reach the limit.
    assert_eq!(
        world.sweep().ended.map(|(reason, _)| reason),
        Some(SweepEndReason::MaxFailedTrials)
    );
    let id = world.request();
    let retry = SweepRequest::Retry { id, sweep: demo(), trials: TrialSelection::Failed };
    world.send(Command::Client(retry.clone())).unwrap();
    world.send(Command::Client(retry)).unwrap();
    let mut tried = Vec::new();
    while world.acquire(worker(0), 1) > 0 {
        tried.push(world.attempts_of(worker(0))[0].to_string());
        world.finish(worker(0), 0, 0);
    }
    assert_eq!(tried, ["demo/0.2", "demo/2.2"]);
    assert_eq!(world.sweep().count(TrialOutcome::Completed), 3);
    assert_eq!(world.sweep().next, 3);
}

#[test]
fn u36_a_lucky_seed_does_not_reach_the_target() {
    let metric = "metric: {name: bitterness, goal: minimize, target: 0.16}";
    let mut world = World::new(&format!("{GRID}{metric}\n"));
    // Losses grow with the trial number: 0.05, 0.1 and so on.
    for _ in 0..2 {
        assert_eq!(world.acquire(worker(0), 1), 1);
        assert_eq!(world.sweep().closed, None);
        world.finish(worker(0), 0, 0);
    }
    assert_eq!(world.sweep().closed, Some(SweepEndReason::Target), "both seeds of a point count");
}

#[test]
fn u47_best_is_a_completed_point_and_follows_what_is_tried_again() {
    let metric = "metric: {name: bitterness, goal: minimize}";
    let mut world = World::new(&format!("{GRID}{metric}\n"));
    assert_eq!(world.acquire(worker(0), 6), 6);
    let best = |world: &World| world.sweep().best().map(|best| (best.point, best.tally.completed));
    // The first seed of the first point diverges, with the lowest loss of all.
    for (how, expected) in [
        (4, None),
        (0, None),
        (0, Some((1, 1))),
        (0, Some((1, 2))),
        (0, Some((1, 2))),
        (0, Some((1, 2))),
    ] {
        world.finish(worker(0), 0, how);
        let jobs = world.jobs.get_mut(&worker(0)).unwrap();
        jobs.sort_by_key(|job| job.attempt.trial.index);
        assert_eq!(best(&world), expected);
    }
    let standing = |point| world.sweep().point_result(point).standing;
    assert_eq!(
        [0, 1, 2].map(standing),
        [PointStanding::Diverged, PointStanding::Completed, PointStanding::Completed]
    );
}

#[test]
fn u09_one_failing_trial_stops_no_other() {
    let mut world = World::new(GRID);
    let mut completed = 0;
    for _ in 0..40 {
        world.now = world.now + Duration::from_secs(400);
        while world.acquire(worker(0), 1) > 0 {
            let fails = world.attempts_of(worker(0))[0].trial.index == 0;
            completed += u32::from(!fails);
            world.finish(worker(0), 0, if fails { 5 } else { 0 });
        }
    }
    assert_eq!((completed, world.sweep().count(TrialOutcome::Failed)), (5, 1));
    let error = world.sweep().retryable[&0].error.clone().unwrap();
    assert_eq!(error, "ended as error 2 times (retry.error: 1): no memory left on this device");
    assert_eq!(world.sweep().ended.map(|(reason, _)| reason), Some(SweepEndReason::Exhausted));
}

#[test]
fn u29_a_free_worker_gets_a_trial_at_once_while_others_run() {
    for file in [GRID, WEIGHTED] {
        let mut world = World::new(file);
        for index in 0..world.sweep().planned.plan.trials() {
            let n = u8::try_from(index).unwrap();
            assert_eq!(world.acquire(worker(n), 1), 1, "trial {index} waits for no other");
        }
    }
}

#[test]
fn u02_resubmitting_changes_nothing_and_another_definition_is_refused_with_the_difference() {
    let mut world = World::new(GRID);
    let submit =
        |text: &str| Command::Submit { definition: definition(text), source: text.to_owned() };
    let again = GRID.replace("[8, 16, 32]}", "[ 8, 0x10,  32 ]} # the same");
    assert_eq!(world.send(submit(&again)).unwrap(), []);
    let other = GRID.replace("[8, 16, 32]", "[8, 16, 64]");
    let refused = world.send(submit(&other)).unwrap_err();
    let Rejection::SweepDiffers { diff, .. } = refused else { panic!("{refused}") };
    assert!(diff.contains("- parameters.grams"), "{diff}");
    assert!(diff.contains("+ parameters.grams"), "{diff}");
    assert_eq!(diff.lines().count(), 2, "{diff}");
}

#[test]
fn a_lost_reply_is_told_again_and_takes_no_second_trial() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 1), 1);
    let lost = world.jobs.remove(&worker(0)).unwrap();
    assert_eq!(world.acquire(worker(0), 1), 1);
    assert_eq!(world.attempts_of(worker(0)), [lost[0].attempt.clone()]);
    assert_eq!(world.sweep().next, 1);
}

#[test]
fn a_late_repetition_of_a_pause_does_not_pause_again() {
    let mut world = World::new(GRID);
    let (pause, resume) = (world.request(), world.request());
    let pause = Command::Client(SweepRequest::Pause { id: pause, sweep: demo() });
    world.send(pause.clone()).unwrap();
    assert_eq!(world.acquire(worker(0), 1), 0);
    world.send(Command::Client(SweepRequest::Resume { id: resume, sweep: demo() })).unwrap();
    world.send(pause).unwrap();
    assert_eq!(world.acquire(worker(0), 1), 1);
}

#[test]
fn cancelling_stops_running_trials_and_resuming_takes_them_up_again() {
    let mut world = World::new(GRID);
    assert_eq!(world.acquire(worker(0), 2), 2);
    let id = world.request();
    world.send(Command::Client(SweepRequest::Cancel { id, sweep: demo() })).unwrap();
    assert_eq!(world.acquire(worker(1), 1), 0);
    assert!(world.attempts_of(worker(0)).iter().all(|id| world.state.stop_reason(id).is_some()));
    world.finish(worker(0), 0, 10);
    assert!(world.sweep().ended.is_none());
    world.finish(worker(0), 0, 10);
    assert_eq!(world.sweep().ended.map(|(reason, _)| reason), Some(SweepEndReason::Cancelled));
    assert_eq!(world.sweep().count(TrialOutcome::Cancelled), 2);
    let id = world.request();
    world.send(Command::Client(SweepRequest::Resume { id, sweep: demo() })).unwrap();
    world.run_to_the_end();
    assert_eq!(world.sweep().count(TrialOutcome::Completed), 6);
}

#[test]
fn an_attempt_that_took_too_long_names_the_limit() {
    let mut world = World::new(&format!("{GRID}\nresources: {{timeout: 2.5}}\n"));
    assert_eq!(world.acquire(worker(0), 1), 1);
    world.finish(worker(0), 0, 7);
    let error = world.sweep().live[&0].error.clone().unwrap();
    assert!(error.contains("`resources.timeout: 2.5`, the seconds that each attempt"), "{error}");
}

/// Parses a sweep file.
fn definition(text: &str) -> Box<SweepDefinition> {
    let parsed = spec::parse(&workloads(), "demo.yaml", text);
    Box::new(parsed.unwrap_or_else(|mistakes| panic!("{}", mistakes.render())).definition)
}
