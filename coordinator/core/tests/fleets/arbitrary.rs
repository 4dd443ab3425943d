//! Fleets under arbitrary events in any order.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use rheo_core::fleet::{FleetCommand, PilotEndCause};
use rheo_core::id::SweepName;
use rheo_core::machine::{Command, Event, SweepRequest};
use rheo_core::sweep::{AttemptEnded, AttemptOutcome, TrialEnded, TrialOutcome};

use crate::runner::Fate;
use crate::world::{World, name, replayed};

/// Retry budgets are ample: nothing lost in an outage is the fault of a trial.
const AMPLE: &str = "
name: sim
parameters:
  grams: {values: [8, 16, 32]}
replicates: 4
resources: {threads: 2}
retry: {lost: 1000, error: 1000, out_of_memory: 1000, backoff: 2}
";

/// No attempt may end in any other way than preempted.
const STRICT: &str = "
name: sim
parameters:
  grams: {values: [8, 16, 32]}
replicates: 4
resources: {threads: 2}
retry: {lost: 0, error: 0, out_of_memory: 0}
";

#[derive(Debug, Clone)]
enum Happening {
    /// Some steps of the coordinator.
    Act(u8),
    Pass(u64),
    /// The coordinator crashes and stays down for some time.
    Crash(u64),
    Preempt(usize, bool, bool),
    End(usize, PilotEndCause),
    Nodes(usize),
    Limit(usize),
    Held(bool),
    Away(bool),
    Loses(Option<bool>),
    Refuses(bool),
    Fate(Fate),
    Scale(Option<u32>, Option<u32>),
    Drain,
    Stop,
    Launch(u32),
    /// An earlier request is repeated.
    Again(prop::sample::Index),
    Pause,
    Resume,
}

fn problem() -> impl Strategy<Value = Happening> {
    use Happening::{Away, Crash, End, Held, Limit, Loses, Nodes, Refuses};
    let causes = vec![
        PilotEndCause::NodeLost,
        PilotEndCause::Failed,
        PilotEndCause::OutOfMemory,
        PilotEndCause::Cancelled,
    ];
    prop_oneof![
        3 => (0..700u64).prop_map(Crash),
        3 => (any::<usize>(), prop::sample::select(causes)).prop_map(|(n, cause)| End(n, cause)),
        1 => (0..8usize).prop_map(Nodes),
        1 => (0..8usize).prop_map(Limit),
        1 => any::<bool>().prop_map(Held),
        2 => any::<bool>().prop_map(Away),
        2 => any::<Option<bool>>().prop_map(Loses),
        1 => any::<bool>().prop_map(Refuses),
        2 => prop::sample::select(vec![Fate::Works, Fate::Dies, Fate::Hangs])
            .prop_map(Happening::Fate),
    ]
}

fn wish() -> impl Strategy<Value = Happening> {
    use Happening::{Again, Drain, Launch, Pause, Resume, Scale, Stop};
    let bound = || prop::option::of(0..8u32);
    prop_oneof![
        4 => (bound(), bound()).prop_map(|(min, max)| Scale(min, max)),
        1 => Just(Drain),
        1 => Just(Stop),
        2 => (1..8u32).prop_map(Launch),
        2 => any::<prop::sample::Index>().prop_map(Again),
        1 => Just(Pause),
        2 => Just(Resume),
    ]
}

fn course() -> impl Strategy<Value = Happening> {
    use Happening::{Act, Pass, Preempt};
    let preemption = (any::<usize>(), any::<bool>(), any::<bool>());
    prop_oneof![
        6 => (1..12u8).prop_map(Act),
        4 => (1..60u64).prop_map(Pass),
        2 => preemption.prop_map(|(n, requeued, noticed)| Preempt(n, requeued, noticed)),
    ]
}

fn happen(world: &mut World, happening: &Happening) {
    match *happening {
        Happening::Act(steps) => {
            for _ in 0..steps {
                world.act();
            }
        }
        Happening::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
        Happening::Crash(seconds) => {
            world.crash();
            world.pass(Duration::from_secs(seconds));
            world.restart();
        }
        Happening::Preempt(n, requeued, noticed) => {
            if let Some(id) = world.cluster.nth_running(n) {
                world.preempt(id, requeued, noticed);
            }
        }
        Happening::End(n, cause) => {
            if let Some(id) = world.cluster.nth_running(n) {
                world.kill(id, cause);
            }
        }
        Happening::Nodes(n) => world.cluster.nodes = n,
        Happening::Limit(n) => world.cluster.limit = n,
        Happening::Held(held) => world.cluster.held = held,
        Happening::Away(away) => world.cluster.away = away,
        Happening::Loses(loses) => world.cluster.loses = loses,
        Happening::Refuses(refuses) => world.cluster.refuses = refuses,
        Happening::Fate(fate) => world.fate = fate,
        ref wish => ask(world, wish),
    }
    world.check();
}

fn ask(world: &mut World, wish: &Happening) {
    let (fleet, request, sweep) = (name(), world.request(), SweepName::parse("sim").unwrap());
    match *wish {
        Happening::Scale(min, max) => {
            world.ask(FleetCommand::Scale { fleet, min, max, request });
        }
        Happening::Drain => world.ask(FleetCommand::Drain { fleet, request }),
        Happening::Stop => world.ask(FleetCommand::Stop { fleet, request }),
        Happening::Launch(max) => world.launch((0, max), 5),
        Happening::Again(ref index) => {
            let before = world.state.clone();
            let again = index.get(&world.sent).clone();
            assert_eq!(world.send(Command::Fleet(again)).unwrap(), []);
            assert_eq!(world.state, before);
        }
        // A sweep that has ended cannot be paused.
        Happening::Pause => {
            let _ = world.send(Command::Client(SweepRequest::Pause { id: request, sweep }));
        }
        _ => {
            drop(world.send(Command::Client(SweepRequest::Resume { id: request, sweep })).unwrap());
        }
    }
}

fn world(file: &str) -> World {
    let mut world = World::new(4);
    // Two trials, and one slot that is unusable.
    world.threads = 2;
    // A pilot that hangs after it was requeued within one round ends only at its time limit.
    world.cluster.walltime = Duration::from_hours(1);
    world.submit(file);
    world.launch((0, 4), 5);
    world
}

/// Checks that once nothing fails any more, every trial completes once and the cluster is left
/// empty.
fn recover(world: &mut World) {
    let (id, sweep) = (world.request(), SweepName::parse("sim").unwrap());
    world.cluster.heal();
    world.fate = Fate::Works;
    world.launch((0, 3), 5);
    world.send(Command::Client(SweepRequest::Resume { id, sweep })).unwrap();
    world.until(600, World::all_ended);
    world.until(600, |world| world.cluster.living() == 0 && world.fleet().pilots.is_empty());
    let mut ended: BTreeMap<u64, u32> = BTreeMap::new();
    for event in &world.events {
        if let Event::TrialEnded(TrialEnded { trial, outcome, .. }) = event {
            assert_eq!(*outcome, TrialOutcome::Completed, "{trial}");
            *ended.entry(trial.index).or_default() += 1;
        }
    }
    assert_eq!(ended, (0..12).map(|index| (index, 1)).collect());
}

/// Counts attempts by outcome.
fn attempts(world: &World) -> BTreeMap<AttemptOutcome, u32> {
    let mut outcomes = BTreeMap::new();
    for event in &world.events {
        if let Event::AttemptEnded(AttemptEnded { outcome, .. }) = event {
            *outcomes.entry(*outcome).or_default() += 1;
        }
    }
    outcomes
}

fn config(cases: u32) -> ProptestConfig {
    let failure_persistence = Box::new(FileFailurePersistence::WithSource("regressions"));
    ProptestConfig { cases, failure_persistence: Some(failure_persistence), ..Default::default() }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn u15_u16_no_pilot_is_forgotten_or_doubled_whatever_happens(
        happenings in prop::collection::vec(
            prop_oneof![3 => course(), 1 => problem(), 1 => wish()], 0..120),
    ) {
        let mut world = world(AMPLE);
        for happening in &happenings {
            happen(&mut world, happening);
            let before = world.fleet().pilots.len();
            prop_assert!(before <= world.bound);
        }
        prop_assert_eq!(&replayed(&world.events), &world.state);
        recover(&mut world);
        prop_assert_eq!(&replayed(&world.events), &world.state);
    }

    #[test]
    fn a_late_submission_is_a_duplicate_only_until_it_is_seen(
        happenings in prop::collection::vec(
            prop_oneof![4 => course(), 1 => problem()], 0..80),
    ) {
        let mut world = world(AMPLE);
        world.doubles = true;
        world.cluster.late = Some(Duration::from_secs(12));
        for happening in &happenings {
            happen(&mut world, happening);
        }
        recover(&mut world);
        prop_assert_eq!(&replayed(&world.events), &world.state);
    }

    #[test]
    fn u17_preemption_uses_no_budget_of_trials_or_fleets(
        happenings in prop::collection::vec(course(), 0..120),
    ) {
        let mut world = world(STRICT);
        for happening in &happenings {
            // The coordinator polls in time: an expired lease would count as lost.
            happen(&mut world, happening);
            world.round();
            if let Happening::Pass(seconds) = happening {
                for _ in 0..seconds / 10 {
                    world.pass(Duration::from_secs(10));
                    world.round();
                }
            }
            prop_assert_eq!(world.fleet().failures, 0);
        }
        recover(&mut world);
        let ends = attempts(&world);
        let others = ends.keys().any(|outcome| {
            !matches!(outcome, AttemptOutcome::Completed | AttemptOutcome::Preempted)
        });
        prop_assert!(!others, "{ends:?}");
    }

    #[test]
    fn fleets_that_are_to_go_leave_nothing_behind(
        happenings in prop::collection::vec(
            prop_oneof![3 => course(), 1 => problem(), 1 => wish()], 0..60),
        stops in any::<bool>(),
    ) {
        let mut world = world(AMPLE);
        for happening in &happenings {
            happen(&mut world, happening);
        }
        world.cluster.heal();
        world.fate = Fate::Works;
        let (fleet, request) = (name(), world.request());
        world.ask(if stops {
            FleetCommand::Stop { fleet, request }
        } else {
            FleetCommand::Drain { fleet, request }
        });
        world.until(600, |world| world.cluster.living() == 0 && world.fleet().pilots.is_empty());
        prop_assert_eq!(world.state.leases().count(), 0);
        recover(&mut world);
    }
}
