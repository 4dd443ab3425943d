//! Sweep files that are written: the parser reads back what the writer wrote, and a sweep of chosen
//! points has the trials that the points had.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;
use rheo_core::definition::SweepDefinition;
use rheo_core::id::SweepName;
use rheo_core::plan::{Plan, PlannedTrial};
use rheo_core::rerun::{Error, RerunSeeds, rerun};
use rheo_core::sampler::Suggestion;
use rheo_core::space::Point;
use rheo_core::spec;
use rheo_model::networks;
use serde_json::{Value as Json, json};

use crate::mistakes::{files, name};
use crate::schema;

/// A sweep with a swept seed and conditions on conditions.
const SEEDED: &str = "
name: seeded
description: 'with \"quotes\": yes'
network: {hidden: 12, controller: 9}
method: random
run_cap: 40
seed: 5
parameters:
  seed: {min: 3, max: 9}
  network.kind: {values: [relu, heterogeneous, adaptive]}
  network.n0: {values: [null, 5], when: {network.kind: [heterogeneous, adaptive]}}
  network.n0_spread: {value: 0.5, when: {network.kind: heterogeneous, network.n0: 5}}
  training.optimizer.lr: {distribution: log_uniform_values, min: 1.0e-7, max: 0.01}
enqueue:
  - {seed: 4, network.kind: relu, training.optimizer.lr: 0.001}
";

/// Rules that stop trials early.
const EARLY: [&str; 5] = [
    "{type: asha, eta: 2}",
    "{type: hyperband, min_epochs: 1, max_epochs: 9}",
    "{type: hyperband, max_iter: 9, s: 2, strict: true}",
    "{type: percentile, percentile: 25, warmup_epochs: 3}",
    "{type: patience, patience: 5, min_delta: 0.001}",
];

fn parse(file: &str, text: &str) -> SweepDefinition {
    let parsed = spec::parse(&networks::workloads(), file, text);
    parsed.unwrap_or_else(|mistakes| panic!("{text}\n{}", mistakes.render())).definition
}

/// Every sweep of the repository and of these tests.
static SWEEPS: LazyLock<Vec<SweepDefinition>> = LazyLock::new(|| {
    let folders = ["../../../sweeps", "../../../sweeps/paper", "sweeps"];
    let paths: Vec<PathBuf> = folders.iter().flat_map(|folder| files(folder)).collect();
    let read = |path: &PathBuf| parse(name(path), &fs::read_to_string(path).unwrap());
    let early = |rule: &&str| parse("early", &format!("name: early\nearly_terminate: {rule}\n"));
    let early = EARLY.iter().map(early);
    paths.iter().map(read).chain([parse("seeded", SEEDED)]).chain(early).collect()
});

/// Returns the first points of a sweep, at most 60.
fn points(definition: &SweepDefinition) -> Vec<Point> {
    let plan = Plan::new(definition, &schema());
    let mut history = plan.history();
    let count = plan.trials().div_ceil(definition.seeds.len() as u64).min(60);
    let next = |point| {
        let suggestion = plan.suggest(&history, point).unwrap();
        history.record_suggestion(&suggestion);
        Point::clone(&suggestion.point)
    };
    (0..count).map(next).collect()
}

fn trials(definition: &SweepDefinition) -> Vec<PlannedTrial> {
    let plan = Plan::new(definition, &schema());
    let suggest = |index| plan.suggest(&plan.history(), plan.point_of(index)).unwrap();
    (0..plan.trials()).map(|index| plan.trial(index, &suggest(index)).unwrap()).collect()
}

/// Returns the configurations of `points` in their sweep, with each seed.
fn expected(definition: &SweepDefinition, points: &[Point], seeds: &[u64]) -> Vec<Json> {
    let one = SweepDefinition { seeds: vec![0], ..definition.clone() };
    let plan = Plan::new(&one, &schema());
    let mut configs: Vec<Json> = Vec::new();
    for point in points {
        let suggestion = Suggestion { point: point.clone().into(), draw: None };
        let mut config = plan.trial(0, &suggestion).unwrap().resolved;
        let swept = point.get("seed").cloned();
        for seed in seeds {
            config["seed"] = json!(seed);
            if let Some(swept) = swept.as_ref().filter(|_| seeds == definition.seeds) {
                config["seed"] = swept.clone();
            }
            if !configs.contains(&config) {
                configs.push(config.clone());
            }
        }
    }
    configs
}

#[test]
fn a_written_sweep_reads_back() {
    for definition in SWEEPS.iter() {
        let text = spec::write(definition);
        assert_eq!(parse(definition.name.as_str(), &text), *definition, "{text}");
    }
}

/// Repeats `points`, and compares the trials.
fn check(definition: &SweepDefinition, points: &[Point], seeds: RerunSeeds) {
    let name = SweepName::parse("again").unwrap();
    let again = match rerun(definition, &schema(), name, points, seeds) {
        Err(Error::PartialParameter { .. }) if points.len() > 1 => return,
        again => again.unwrap(),
    };
    let text = spec::write(&again);
    let parsed = spec::parse(&networks::workloads(), "again", &text)
        .unwrap_or_else(|mistakes| panic!("{text}\n{}", mistakes.render()));
    assert!(parsed.warnings.is_empty(), "{text}\n{:?}", parsed.warnings);
    assert_eq!(parsed.definition, again, "{text}");
    let seeds = match seeds {
        RerunSeeds::Same => definition.seeds.clone(),
        RerunSeeds::New(count) => {
            assert_eq!(again.seeds.len() as u64, count);
            let swept = points.iter().filter_map(|point| point.get("seed")?.as_u64());
            let old: Vec<u64> = definition.seeds.iter().copied().chain(swept).collect();
            assert!(again.seeds.iter().all(|seed| !old.contains(seed)), "{old:?} {text}");
            again.seeds.clone()
        }
    };
    let found: Vec<Json> = trials(&again).into_iter().map(|trial| trial.resolved).collect();
    assert_eq!(found, expected(definition, points, &seeds), "{text}");
}

#[test]
fn every_point_alone_can_be_repeated() {
    for definition in SWEEPS.iter() {
        for point in points(definition) {
            check(definition, std::slice::from_ref(&point), RerunSeeds::Same);
            check(definition, &[point], RerunSeeds::New(2));
        }
    }
}

#[test]
fn points_of_one_kind_stand_in_one_file() {
    let definition = parse("seeded", SEEDED);
    let points = points(&definition);
    let is_relu = |point: &&Point| point.get("network.kind") == Some(&json!("relu"));
    let relu: Vec<Point> = points.iter().filter(is_relu).take(3).cloned().collect();
    let again = |seeds| {
        let name = SweepName::parse("again").unwrap();
        spec::write(&rerun(&definition, &schema(), name, &relu, seeds).unwrap())
    };
    insta::assert_snapshot!(again(RerunSeeds::Same));
    insta::assert_snapshot!(again(RerunSeeds::New(2)));
    let name = SweepName::parse("again").unwrap();
    let mixed = rerun(&definition, &schema(), name, &points, RerunSeeds::Same);
    assert_eq!(
        mixed.unwrap_err(),
        Error::PartialParameter { path: "network.n0".to_owned() },
        "points of different kinds"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn several_points_have_the_trials_that_they_had(
        sweep in any::<prop::sample::Index>(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        new in prop::option::of(1_u64..4),
    ) {
        let definition = sweep.get(&SWEEPS);
        let points = points(definition);
        let mut numbers: Vec<usize> = picks.iter().map(|pick| pick.index(points.len())).collect();
        numbers.dedup();
        let chosen: Vec<Point> = numbers.iter().map(|number| points[*number].clone()).collect();
        check(definition, &chosen, new.map_or(RerunSeeds::Same, RerunSeeds::New));
    }
}
