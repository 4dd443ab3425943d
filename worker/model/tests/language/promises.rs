//! Promises of the sweep language, each tested by a file and its trials.

use std::collections::BTreeSet;

use rheo_core::plan::{Plan, PlanEndReason, PlannedTrial};
use rheo_core::spec;
use rheo_model::config::NetworkKind;
use rheo_model::networks;
use serde_json::json;

use crate::config;
use crate::schema;

fn plan(text: &str) -> Plan {
    Plan::new(&definition(text), &schema())
}

fn definition(text: &str) -> rheo_core::definition::SweepDefinition {
    spec::parse(&networks::workloads(), "sweep.yaml", text)
        .unwrap_or_else(|mistakes| panic!("{}", mistakes.render()))
        .definition
}

/// Returns every trial of a sweep.
fn trials(text: &str) -> Vec<PlannedTrial> {
    let definition = definition(text);
    let plan = Plan::new(&definition, &schema());
    let mut history = plan.history();
    let mut trials = Vec::new();
    let mut suggestion = None;
    for index in 0..plan.trials() {
        if index % definition.seeds.len() as u64 == 0 {
            let next = plan.suggest(&history, plan.point_of(index)).unwrap();
            history.record_suggestion(&next);
            suggestion = Some(next);
        }
        trials.push(plan.trial(index, suggestion.as_ref().unwrap()).unwrap());
    }
    trials
}

/// Returns the message and help of every error of a text.
fn mistakes(text: &str) -> Vec<String> {
    let mistakes = spec::parse(&networks::workloads(), "sweep.yaml", text).unwrap_err();
    mistakes.list().iter().map(|mistake| mistake.message.clone()).collect()
}

#[test]
fn u33_inactive_parameters_never_reach_a_trial() {
    let trials = trials(
        "name: demo
parameters:
  network.kind: {values: [heterogeneous, adaptive, relu]}
  network.controller: {values: [10, 20], when: {network.kind: adaptive}}
  network.n0: {values: [2.5, 5.0], when: {network.kind: [heterogeneous, adaptive]}}
",
    );
    assert_eq!(trials.len(), 2 + 2 * 2 + 1);
    for trial in trials {
        let network = &trial.resolved["network"];
        let kind = config(&trial).network.kind;
        let has = |field: &str| {
            (network.get(field).is_some(), trial.swept.get(&format!("network.{field}")).is_some())
        };
        assert_eq!(has("controller").0, kind == NetworkKind::Adaptive, "{network}");
        assert_eq!(has("controller").1, kind == NetworkKind::Adaptive, "{network}");
        assert_eq!(has("n0").0, kind != NetworkKind::Relu, "{network}");
        assert_eq!(has("n0").1, kind != NetworkKind::Relu, "{network}");
    }
}

#[test]
fn u33_a_condition_reads_the_trial_not_the_declaration() {
    // Where `shuffle` is inactive it keeps its default, true.
    let shuffled = trials(
        "name: demo
parameters:
  network.bias_init: {values: [paper, zero]}
  training.shuffle: {values: [false], when: {network.bias_init: zero}}
  training.epochs: {values: [1, 2], when: {training.shuffle: true}}
",
    );
    let points: Vec<String> = shuffled.iter().map(|trial| trial.swept.to_string()).collect();
    assert_eq!(
        points,
        [
            "network.bias_init=paper training.epochs=1",
            "network.bias_init=paper training.epochs=2",
            "network.bias_init=zero training.shuffle=false",
        ]
    );
    // A field that the kind does not use has no value, not even its default.
    let controlled = trials(
        "name: demo
parameters:
  network.kind: {values: [relu, adaptive]}
  network.hidden: {values: [32, 64], when: {network.controller: 50}}
",
    );
    let points: Vec<String> = controlled.iter().map(|trial| trial.swept.to_string()).collect();
    assert_eq!(
        points,
        [
            "network.kind=relu",
            "network.kind=adaptive network.hidden=32",
            "network.kind=adaptive network.hidden=64",
        ]
    );
}

#[test]
fn u33_log_scale_works_on_every_numeric_kind() {
    let trials = trials(
        "name: demo
method: random
run_cap: 200
parameters:
  training.optimizer.lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  training.optimizer.epsilon: {distribution: log_uniform, min: -20, max: -15}
  network.hidden: {distribution: q_log_uniform_values, min: 16, max: 1024, q: 16}
  task.train_size: {distribution: q_log_uniform_values, min: 100, max: 10000}
",
    );
    let share_below = |limit: f64, value: &dyn Fn(&PlannedTrial) -> f64| {
        trials.iter().filter(|trial| value(trial) < limit).count()
    };
    // Half of the draws are below the geometric mean of the bounds, within five standard errors.
    let halves = [
        share_below(1e-3, &|trial| config(trial).training.optimizer.lr),
        share_below((-17.5f64).exp(), &|trial| config(trial).training.optimizer.epsilon),
        share_below(128.0, &|trial| f64::from(config(trial).network.hidden)),
        share_below(1000.0, &|trial| f64::from(config(trial).task.train_size)),
    ];
    for below in halves {
        assert!((65..=135).contains(&below), "{halves:?}");
    }
    for trial in &trials {
        assert!(config(trial).network.hidden.is_multiple_of(16));
        assert!(trial.resolved["network"]["hidden"].is_u64());
        assert!(trial.resolved["training"]["optimizer"]["lr"].is_f64());
    }
}

#[test]
fn u34_zip_pairs_lists() {
    let trials = trials(
        "name: demo
parameters:
  network.n0: {values: [2.5, 5.0, 7.5]}
  training.epochs: {values: [1, 2]}
  network.s0: {values: [0.0, 0.25, 0.25]}
zip: [[network.s0, network.n0]]
",
    );
    let found: Vec<_> = trials
        .iter()
        .map(|trial| {
            (
                config(trial).network.n0.unwrap(),
                config(trial).network.s0,
                config(trial).training.epochs,
            )
        })
        .collect();
    let expected = [
        (2.5, 0.0, 1),
        (2.5, 0.0, 2),
        (5.0, 0.25, 1),
        (5.0, 0.25, 2),
        (7.5, 0.25, 1),
        (7.5, 0.25, 2),
    ];
    assert_eq!(found, expected);
}

#[test]
fn u34_unequal_lengths_are_an_error_at_parse_time() {
    let found = mistakes(
        "name: demo
parameters:
  network.n0: {values: [2.5, 5.0]}
  network.s0: {values: [0.0]}
zip: [[network.n0, network.s0]]
",
    );
    assert_eq!(found, ["zipped parameters have different numbers of values"]);
}

#[test]
fn u35_nothing_is_silently_ignored() {
    // Each line would have no effect if it were accepted.
    let ignored = [
        "network: {controller: 20}",
        "task: {kind: copy, train_size: 100}",
        "task: {permutation_seed: 3}",
        "evaluate: [{kind: step_drive, level: [1], phase: 0.5}]",
        "parameters: {network.controller: {values: [10, 20]}}",
        "parameters: {network.hidden: {values: [10, 20], when: {task.kind: copy}}}",
        "parameters: {network.hidden: {values: [10, 20], q: 10}}",
        "early_terminate: {type: hyperband}",
        "constraints: [1 < 2]",
        "unknown: 3",
    ];
    for line in ignored {
        assert_eq!(mistakes(&format!("name: demo\n{line}\n")).len(), 1, "{line}");
    }
    let warned = [
        "network: {hidden: 10}\nparameters: {network.hidden: {values: [10, 20]}}",
        "seed: 3\nreplicates: {seeds: [1, 2]}",
    ];
    for line in warned {
        let parsed =
            spec::parse(&networks::workloads(), "sweep.yaml", &format!("name: demo\n{line}\n"))
                .unwrap();
        assert_eq!(parsed.warnings.len(), 1, "{line}");
    }
}

#[test]
fn u36_every_point_runs_with_every_seed() {
    let trials = trials(
        "name: demo
parameters:
  network.hidden: {values: [32, 64]}
replicates: {seeds: [400, 200, 600]}
",
    );
    let found: Vec<_> = trials
        .iter()
        .map(|trial| (trial.index, trial.point, config(trial).network.hidden, config(trial).seed))
        .collect();
    let expected = [
        (0, 0, 32, 400),
        (1, 0, 32, 200),
        (2, 0, 32, 600),
        (3, 1, 64, 400),
        (4, 1, 64, 200),
        (5, 1, 64, 600),
    ];
    assert_eq!(found, expected);
    assert!(trials.iter().all(|trial| trial.seed == config(trial).seed));
}

#[test]
fn u32_points_do_not_depend_on_the_order_of_requests() {
    let text = "name: demo
method: random
seed: 3
run_cap: 50
parameters:
  network.kind: {values: [heterogeneous, adaptive]}
  training.optimizer.lr: {distribution: log_uniform_values, min: 1.0e-4, max: 1.0e-2}
  network.s0: {distribution: normal, sigma: 0.1}
constraints: [network.s0 < 0.1]
";
    let plan = plan(text);
    let history = plan.history();
    assert!(!plan.records_points());
    let forwards: Vec<_> = (0..50).map(|index| plan.suggest(&history, index).unwrap()).collect();
    let backwards: Vec<_> =
        (0..50).rev().map(|index| plan.suggest(&history, index).unwrap()).collect();
    assert!(forwards.iter().eq(backwards.iter().rev()));
    let other = self::plan(&text.replace("seed: 3", "seed: 4"));
    assert_ne!(forwards[0], other.suggest(&history, 0).unwrap());
}

#[test]
fn equivalent_files_are_equal() {
    let one = definition(
        "name: demo
method: grid
task: {kind: digits, side: 14}
training: {optimizer: {lr: 1e-3}, epochs: 10}
parameters:
  network.hidden: {values: [32, 64]}
  network.n0: {values: [1, 5], when: {network.hidden: [64, 32]}}
constraints: [network.hidden>=32]
",
    );
    let other = definition(
        "# the same sweep
\"training\":
  epochs: 10.0
  optimizer:
    lr: 0.001    # one in a thousand
parameters:
  network:
    parameters:
      hidden: {distribution: categorical, values: [32, 64]}
      n0:
        when: {network.hidden: [32, 64]}
        values: [1.0, 5.0]
constraints: 'network.hidden   >=   32'
task:
  side: 14
  kind: 'digits'
name: demo
seed: 0
",
    );
    assert_eq!(one, other);
    assert_eq!(one.to_string(), other.to_string());
    let stored = serde_json::to_string(&one).unwrap();
    assert_eq!(
        serde_json::from_str::<rheo_core::definition::SweepDefinition>(&stored).unwrap(),
        one
    );
    // The order of parameters is the order of the grid.
    let swapped = definition(
        "name: demo
task: {kind: digits, side: 14}
training: {optimizer: {lr: 1e-3}, epochs: 10}
parameters:
  network.n0: {values: [1, 5], when: {network.hidden: [64, 32]}}
  network.hidden: {values: [32, 64]}
constraints: [network.hidden>=32]
",
    );
    assert_ne!(one, swapped);
}

#[test]
fn journaled_definitions_stay_readable() {
    // A golden: later versions must be able to read the contents of a journal.
    let definition = definition(
        "name: demo
method: random
run_cap: 6
task: {kind: psmnist, pool: 2}
parameters:
  network.kind: {values: [heterogeneous, adaptive], probabilities: [0.75, 0.25]}
  network.controller: {distribution: q_uniform, min: 10, max: 50, q: 10, when: {network.kind: adaptive}}
  training.optimizer.lr: {distribution: log_uniform_values, min: 1.0e-4, max: 1.0e-2}
  network.n0: {values: [2.5, 5.0]}
  network.s0: {values: [0.0, 0.5]}
zip: [[network.n0, network.s0]]
constraints: [training.optimizer.lr * network.controller < 0.2]
replicates: 2
",
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&definition).unwrap());
    let least = json!({
        "name": "old",
        "workload": "networks",
        "method": "grid",
        "objective": {"name": "train.loss"},
        "base": {},
        "space": {},
        "seeds": [0],
    });
    let old: rheo_core::definition::SweepDefinition = serde_json::from_value(least).unwrap();
    assert_eq!(Plan::new(&old, &schema()).trials(), 1);
}

#[test]
fn run_cap_counts_trials_and_names_the_end() {
    let grid = "name: demo
parameters: {network.hidden: {values: [32, 64, 96]}}
replicates: 2
";
    let cases = [
        ("", 6, PlanEndReason::Exhausted),
        ("run_cap: 4", 4, PlanEndReason::RunCap),
        ("run_cap: 6", 6, PlanEndReason::Exhausted),
        ("run_cap: 100", 6, PlanEndReason::Exhausted),
    ];
    for (line, expected, reason) in cases {
        let plan = plan(&format!("{grid}{line}\n"));
        assert_eq!((plan.trials(), plan.end_reason()), (expected, reason), "{line}");
    }
}

#[test]
fn a_sweep_without_parameters_runs_one_point() {
    for method in ["grid", "random", "sobol"] {
        let trials = trials(&format!("name: demo\nmethod: {method}\nreplicates: 3\n"));
        assert_eq!(trials.iter().map(|trial| trial.seed).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(serde_json::to_value(&trials[0].swept).unwrap(), json!({}));
    }
}

#[test]
fn a_swept_seed_seeds_the_trial() {
    let trials =
        trials("name: demo\nparameters: {seed: {values: [7, 5]}, seeds.init: {values: [1, 2]}}\n");
    let found: Vec<_> = trials.iter().map(|trial| (trial.seed, config(trial).seeds.init)).collect();
    assert_eq!(found, [(7, Some(1)), (7, Some(2)), (5, Some(1)), (5, Some(2))]);
}

#[test]
fn random_search_draws_by_parameter_not_by_cell() {
    // One cell of the first kind, a hundred of the second: draws go by parameter.
    let text = "name: demo
method: random
run_cap: 20
parameters:
  network.kind: {values: [relu, adaptive, heterogeneous]}
  network.controller: {min: 1, max: 100, when: {network.kind: adaptive}}
  network.s0: {min: 0.0, max: 1.0, when: {network.kind: [adaptive, heterogeneous]}}
";
    let trials = trials(text);
    let count = |kind| trials.iter().filter(|trial| config(trial).network.kind == kind).count();
    assert_eq!(count(NetworkKind::Relu), 1, "there is only one point of this kind");
    assert!(count(NetworkKind::Heterogeneous) >= 4 && count(NetworkKind::Adaptive) >= 4);
    let points: BTreeSet<String> = trials.iter().map(|trial| trial.swept.to_string()).collect();
    assert_eq!(points.len(), 20);
}
