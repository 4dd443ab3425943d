//! A sampler that reads earlier points and their results, pending ones included.

use std::sync::Arc;

use rheo_core::history::{History, HistoryRetention, TrialEnding};
use rheo_core::machine::{AttemptEnd as RunEnding, Command, Event, State, TrialStatus, TrialView};
use rheo_core::metric::MetricReport;
use rheo_core::plan::Plan;
use rheo_core::sampler::{Sampler, Suggestion};
use rheo_core::space::Point;
use serde_json::json;

use crate::brewing::{BREWING, TASTE, workloads};
use crate::world::*;

const FILE: &str = "
name: demo
parameters:
  grams: {values: [1, 2, 4, 8, 16, 32, 64, 128]}
replicates: 2
";

const CANDIDATES: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Chooses the untried candidate whose nearest tried neighbour tastes best. A pending point counts
/// as the worst known one (a constant liar), so that points asked for together spread out.
#[derive(Debug)]
struct Climber {
    is_slow: bool,
}

impl Climber {
    /// Returns the mean over both seeds of a point; none while one of them is pending.
    fn taste(history: &History, point: u64) -> Option<f64> {
        let seeds = [2 * point, 2 * point + 1];
        let results = seeds.map(|trial| {
            let trial = history.trial(trial)?;
            let is_completed = trial.ending == Some(TrialEnding::Completed);
            trial.reports.last().filter(|_| is_completed).map(|(_, value)| *value)
        });
        Some(f64::midpoint(results[0]?, results[1]?))
    }
}

impl Sampler for Climber {
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion> {
        assert_eq!(history.suggestions().len() as u64, index, "asked once, in order");
        let position = |suggestion: &Suggestion| {
            let grams = suggestion.point.get("grams").and_then(serde_json::Value::as_u64);
            CANDIDATES.iter().position(|candidate| Some(*candidate) == grams).unwrap()
        };
        let tried: Vec<(usize, Option<f64>)> = (0..)
            .zip(history.suggestions())
            .map(|(point, suggestion)| (position(suggestion), Self::taste(history, point)))
            .collect();
        let worst = tried.iter().filter_map(|(_, taste)| *taste).fold(1.0, f64::min);
        let score = |at: usize| {
            let nearest = tried.iter().min_by_key(|(other, _)| other.abs_diff(at));
            nearest.map_or(0.0, |(_, taste)| taste.unwrap_or(worst))
        };
        let untried = (0..CANDIDATES.len()).filter(|at| tried.iter().all(|(other, _)| other != at));
        let best = untried.max_by(|a, b| score(*a).total_cmp(&score(*b)).then(b.cmp(a)))?;
        let point: Point = [("grams".to_owned(), json!(CANDIDATES[best]))].into_iter().collect();
        Some(Suggestion { point: Arc::new(point), draw: None })
    }

    fn is_slow(&self, _: &History) -> bool {
        self.is_slow
    }

    fn cardinality(&self) -> Option<u64> {
        Some(CANDIDATES.len() as u64)
    }

    fn is_stateless(&self) -> bool {
        false
    }

    fn retention(&self) -> HistoryRetention {
        HistoryRetention { points: true, reports: true }
    }
}

/// Sets the sampler of the sweep in `state`, as a method in its file would.
fn equip(state: &mut State, is_slow: bool) {
    let sweep = state.sweeps.get_mut(&demo()).unwrap();
    let plan = Plan::new(&sweep.planned.definition, &workloads().schema(&BREWING));
    let plan = plan.with_sampler(Box::new(Climber { is_slow }));
    sweep.history = plan.history();
    sweep.planned.plan = Arc::new(plan);
}

/// Finishes the first trial of `worker`; the taste is highest at 16 grams.
fn finish(world: &mut World, worker: rheo_core::id::WorkerId) {
    let mut job = world.take(worker, 0).unwrap();
    let trial = world.sweep().trial(job.attempt.trial.index).unwrap();
    let grams = trial.resolved["grams"].as_f64().unwrap();
    let taste = 1.0 / (1.0 + (grams.log2() - 4.0).abs());
    let mut work = job.train(EPOCHS);
    work.reports = vec![MetricReport { epoch: 3, metrics: [(TASTE, taste)].into() }];
    let (metrics, summary) = ([(TASTE, taste)].into(), Box::new(json!({})));
    let ending = RunEnding::Completed { metrics, summary };
    world.send(Command::Finish { claim: job.claim(worker), work: Some(work), ending }).unwrap();
}

fn points(world: &World) -> Vec<u64> {
    let suggestions = world.sweep().history.suggestions().iter();
    suggestions.map(|one| one.point.get("grams").unwrap().as_u64().unwrap()).collect()
}

#[test]
fn points_follow_results_and_pending_points_and_replay_exactly() {
    let mut world = World::new(FILE);
    equip(&mut world.state, false);
    for n in [0, 3] {
        world.join(worker(n));
    }
    // One worker has the first point; the other gets the second while the first is pending.
    assert_eq!(world.acquire(worker(0), 2), 2);
    assert_eq!(world.acquire(worker(3), 2), 2);
    assert_eq!(points(&world), [1, 2]);
    assert_eq!(TrialView::of(world.sweep(), 4).unwrap().status, TrialStatus::Queued);
    assert_eq!(TrialView::of(world.sweep(), 4).unwrap().swept.iter().count(), 0);

    while !world.held(worker(3)).is_empty() {
        finish(&mut world, worker(3));
    }
    // The second point tastes good and the first is unknown: choose next to the second.
    assert_eq!(world.acquire(worker(3), 2), 2);
    assert_eq!(points(&world), [1, 2, 4]);

    while world.sweep().ended.is_none() {
        for n in [0, 3] {
            if world.held(worker(n)).is_empty() {
                world.acquire(worker(n), 2);
            }
            while !world.held(worker(n)).is_empty() {
                finish(&mut world, worker(n));
            }
        }
    }
    let mut sorted = points(&world);
    sorted.sort_unstable();
    assert_eq!(sorted, CANDIDATES, "every point once");

    // A replay records the suggestions and asks no sampler.
    let mut replayed = State::new(workloads());
    for event in &world.events {
        replayed.apply(event);
        if matches!(event, Event::SweepSubmitted(_)) {
            equip(&mut replayed, false);
        }
    }
    assert_eq!(replayed, world.state);
}

/// Returns the command that gives the sweep its requested point.
fn choice(world: &World) -> Option<Command> {
    let sweep = world.sweep();
    let point = sweep.requested?;
    let suggestion = sweep.planned.plan.suggest(&sweep.history, point).unwrap();
    let version = sweep.history.version();
    Some(Command::ChoosePoint { sweep: demo(), point, suggestion, version })
}

#[test]
fn a_slow_sampler_is_asked_apart_and_workers_wait_for_its_point() {
    let mut world = World::new(FILE);
    equip(&mut world.state, true);
    for n in [0, 3] {
        world.join(worker(n));
    }
    // The first worker to ask requests the point, and only once.
    assert_eq!(world.acquire(worker(0), 2), 0);
    assert_eq!(world.acquire(worker(3), 2), 0);
    let is_request = |event: &&Event| matches!(event, Event::PointRequested(_));
    assert_eq!(world.events.iter().filter(is_request).count(), 1);
    assert_eq!(world.sweep().requested, Some(0));
    let early = choice(&world).unwrap();

    // A restart forgets who was choosing; the late choice is of no use, and it is requested again.
    world.state.apply(&Event::CoordinatorStarted(rheo_core::machine::CoordinatorStarted {
        at: world.now,
        leases_until: world.now,
        state: world.id,
        incarnation: rheo_core::id::IncarnationId(uuid::Uuid::from_u128(77)),
    }));
    assert_eq!(world.send(early.clone()).unwrap(), []);
    assert_eq!(world.acquire(worker(0), 2), 0);
    assert_eq!(world.send(early.clone()).unwrap().len(), 1);
    assert_eq!(world.send(early).unwrap(), [], "a repeated choice changes nothing");
    assert_eq!(world.acquire(worker(0), 2), 2, "both seeds of the point");
    assert_eq!(points(&world), [1]);
}

#[test]
fn every_point_of_a_slow_sampler_follows_from_the_version_of_the_history_with_it() {
    let mut world = World::new(FILE);
    equip(&mut world.state, true);
    let mut late = Vec::new();
    for round in 0..200 {
        if world.sweep().ended.is_some() {
            break;
        }
        for n in [0, 3] {
            if world.held(worker(n)).is_empty() {
                world.acquire(worker(n), 2);
            }
        }
        // The choice is made now and comes after other trials have ended.
        late.extend(choice(&world).filter(|_| late.is_empty()));
        for n in [0, 3] {
            if round % 3 == 0 && !world.held(worker(n)).is_empty() {
                finish(&mut world, worker(n));
            }
        }
        if round % 2 == 0
            && let Some(choice) = late.pop()
        {
            world.send(choice).unwrap();
        }
    }
    assert!(world.sweep().ended.is_some(), "a worker waits although work is left");
    let mut sorted = points(&world);
    sorted.sort_unstable();
    assert_eq!(sorted, CANDIDATES, "every point once");

    // Replay the events, and choose every point anew.
    let mut replayed = State::new(workloads());
    let mut histories = std::collections::BTreeMap::new();
    let mut checked = 0;
    for event in &world.events {
        if let Event::PointChosen(chosen) = event {
            let sweep = &replayed.sweeps[&demo()];
            let history = &histories[&chosen.version];
            let again = sweep.planned.plan.suggest(history, chosen.point).unwrap();
            assert_eq!(again, chosen.suggestion, "point {}", chosen.point);
            checked += 1;
        }
        replayed.apply(event);
        if matches!(event, Event::SweepSubmitted(_)) {
            equip(&mut replayed, true);
        }
        if let Some(sweep) = replayed.sweeps.get(&demo()) {
            histories.insert(sweep.history.version(), sweep.history.clone());
        }
    }
    assert_eq!(checked, CANDIDATES.len());
    assert_eq!(replayed, world.state);
}
