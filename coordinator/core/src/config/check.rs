//! What the type of a configuration cannot say: fields that contradict each other.
//!
//! Every rule names the fields it looked at, so that a mistake can be shown where it was written.

use super::{Analysis, Evaluation, EvaluationKind, NetworkKind, Task, TaskKind, TrialConfig};

/// Side of the images of MNIST, in pixels.
const MNIST_SIDE: u32 = 28;
/// Images in the parts of MNIST: training, validation, test (science: section 4).
const MNIST_SIZES: [u32; 3] = [50_000, 10_000, 10_000];
/// Gains closer to zero than this are replaced when the network runs (science: gain policy).
const SMALLEST_GAIN: f64 = 1e-3;

/// Fields that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted paths of the fields involved, the one to change first.
    pub paths: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Problem {
    fn new(paths: &[&str], message: impl Into<String>, help: impl Into<String>) -> Self {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        Self { paths, message: message.into(), help: help.into() }
    }
}

impl TrialConfig {
    /// Finds fields that contradict each other; a configuration that came from a checked sweep has
    /// none.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        check_task(&self.task, &mut problems);
        self.check_gain(&mut problems);
        check_evaluations(&self.evaluate, &mut problems);
        check_analyses(&self.analyze, self.training.epochs, &mut problems);
        problems
    }

    fn check_gain(&self, problems: &mut Vec<Problem>) {
        let Some(n0) = self.network.n0 else { return };
        if self.network.kind != NetworkKind::Relu && n0.abs() < SMALLEST_GAIN {
            problems.push(Problem::new(
                &["network.n0"],
                format!("a gain of `{n0}` is too close to zero"),
                format!(
                    "write a gain of at least {SMALLEST_GAIN} in size: smaller ones are replaced"
                ),
            ));
        }
    }
}

fn check_task(task: &Task, problems: &mut Vec<Problem>) {
    match task.kind {
        TaskKind::Digits => {
            if matches!(task.side, 14 | 28) {
                check_pool(task, task.side, problems);
            } else {
                problems.push(Problem::new(
                    &["task.side", "task.kind"],
                    format!("digits are 14 or 28 pixels wide, not `{}`", task.side),
                    "write `side: 14` or `side: 28`",
                ));
            }
            if !task.permute && task.permutation_seed != Task::default().permutation_seed {
                problems.push(Problem::new(
                    &["task.permutation_seed", "task.permute"],
                    "`task.permutation_seed` has no effect without `task.permute: true`",
                    "delete it, or permute the pixels",
                ));
            }
        }
        TaskKind::Smnist | TaskKind::Psmnist => {
            check_pool(task, MNIST_SIDE, problems);
            check_mnist_sizes(task, problems);
            check_paper_seeds(task, problems);
        }
        TaskKind::Copy => {}
    }
}

fn check_pool(task: &Task, side: u32, problems: &mut Vec<Problem>) {
    if side.is_multiple_of(task.pool) {
        return;
    }
    let divisors: Vec<String> =
        (1..=side).filter(|pool| side.is_multiple_of(*pool)).map(|pool| pool.to_string()).collect();
    problems.push(Problem::new(
        &["task.pool", "task.side"],
        format!("an image of {side} by {side} pixels has no squares of {0} by {0}", task.pool),
        format!("`task.pool` must divide {side}: one of {}", divisors.join(", ")),
    ));
}

fn check_mnist_sizes(task: &Task, problems: &mut Vec<Problem>) {
    let sizes = [
        ("task.train_size", task.train_size),
        ("task.validation_size", task.validation_size),
        ("task.test_size", task.test_size),
    ];
    for ((path, size), most) in sizes.into_iter().zip(MNIST_SIZES) {
        if size > most {
            problems.push(Problem::new(
                &[path, "task.kind"],
                format!("MNIST has {most} images for `{path}`, not {size}"),
                format!("write {most} or less"),
            ));
        }
    }
}

fn check_paper_seeds(task: &Task, problems: &mut Vec<Problem>) {
    if !task.paper_seeds {
        return;
    }
    let usual = Task::default();
    let seeds = [
        ("task.permutation_seed", task.permutation_seed, usual.permutation_seed),
        ("task.split_seed", task.split_seed, usual.split_seed),
    ];
    for (path, seed, usual) in seeds {
        if seed != usual {
            problems.push(Problem::new(
                &[path, "task.paper_seeds"],
                format!("`{path}` has no effect with `task.paper_seeds: true`"),
                "delete one of the two",
            ));
        }
    }
}

/// A cell that is evaluated twice would be two rows that nothing tells apart.
fn check_evaluations(evaluations: &[Evaluation], problems: &mut Vec<Problem>) {
    for (index, one) in evaluations.iter().enumerate() {
        for (field, values) in [("level", &one.level), ("frequency", &one.frequency)] {
            if let Some(value) = values.as_ref().and_then(|values| repeated(values)) {
                problems.push(Problem::new(
                    &[&format!("evaluate[{index}].{field}")],
                    format!("`{value}` appears twice"),
                    "every level is evaluated once: delete one of the two",
                ));
            }
        }
        let earlier = evaluations.iter().take(index).position(|other| overlap(one, other));
        if let Some(other) = earlier {
            problems.push(Problem::new(
                &[&format!("evaluate[{index}]"), &format!("evaluate[{other}]")],
                format!("evaluates cells that entry {} of `evaluate` evaluates too", other + 1),
                "merge the two entries, or give them different levels",
            ));
        }
    }
}

#[expect(clippy::float_cmp, reason = "cells are the same if their numbers are")]
fn overlap(one: &Evaluation, other: &Evaluation) -> bool {
    fn meet(one: Option<&Vec<f64>>, other: Option<&Vec<f64>>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one.iter().any(|value| other.contains(value)),
            // Without values it is the grid of the paper, which is not known here but wide.
            _ => true,
        }
    }
    if one.kind != other.kind {
        return false;
    }
    match one.kind {
        EvaluationKind::None => true,
        EvaluationKind::Sine => {
            meet(one.level.as_ref(), other.level.as_ref())
                && meet(one.frequency.as_ref(), other.frequency.as_ref())
                && one.phase == other.phase
        }
        EvaluationKind::StepDrive => meet(one.level.as_ref(), other.level.as_ref()),
    }
}

fn check_analyses(analyses: &[Analysis], epochs: u32, problems: &mut Vec<Problem>) {
    for (index, analysis) in analyses.iter().enumerate() {
        let place = format!("analyze[{index}].epochs");
        for &epoch in analysis.epochs.iter().flatten() {
            if i64::from(epoch) >= i64::from(epochs) {
                problems.push(Problem::new(
                    &[&place, "training.epochs"],
                    format!(
                        "there is no epoch {epoch}: the epochs are 0 to {}",
                        epochs.saturating_sub(1)
                    ),
                    "write epochs from -1 (untrained) to the last, or delete the list",
                ));
            }
        }
        if let Some(epoch) = analysis.epochs.as_ref().and_then(|epochs| repeated(epochs)) {
            problems.push(Problem::new(
                &[&place],
                format!("epoch {epoch} appears twice"),
                "delete one of the two",
            ));
        }
        if analyses.iter().take(index).any(|other| other.kind == analysis.kind) {
            problems.push(Problem::new(
                &[&format!("analyze[{index}]")],
                "an analysis of this kind is given already",
                "give each kind once, with all its epochs",
            ));
        }
    }
}

/// The first value that an earlier one equals.
fn repeated<T: PartialEq + Copy>(values: &[T]) -> Option<T> {
    let is_repeated =
        |(index, value): &(usize, &T)| values.iter().take(*index).any(|v| v == *value);
    values.iter().enumerate().find(is_repeated).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The first path of every problem of a configuration.
    fn problems(config: serde_json::Value) -> Vec<String> {
        let config: TrialConfig = serde_json::from_value(config).unwrap();
        config.check().into_iter().map(|problem| problem.paths[0].clone()).collect()
    }

    #[test]
    fn the_defaults_are_consistent() {
        assert_eq!(TrialConfig::default().check(), []);
    }

    #[test]
    fn contradictions_are_found_and_near_misses_are_not() {
        let cases = [
            (json!({"task": {"side": 16}}), vec!["task.side"]),
            (json!({"task": {"side": 28, "pool": 4}}), vec![]),
            (json!({"task": {"side": 14, "pool": 4}}), vec!["task.pool"]),
            (json!({"task": {"kind": "smnist", "pool": 3}}), vec!["task.pool"]),
            (json!({"task": {"kind": "smnist", "test_size": 10_001}}), vec!["task.test_size"]),
            (json!({"task": {"permutation_seed": 1}}), vec!["task.permutation_seed"]),
            (json!({"task": {"permutation_seed": 1, "permute": true}}), vec![]),
            (
                json!({"task": {"kind": "psmnist", "paper_seeds": true, "split_seed": 1}}),
                vec!["task.split_seed"],
            ),
            (json!({"network": {"n0": 0.0}}), vec!["network.n0"]),
            (json!({"network": {"n0": 0.0, "kind": "relu"}}), vec![]),
            (json!({"network": {"n0": -2.5}}), vec![]),
            (
                json!({"evaluate": [{"kind": "sine", "level": [0.1, 0.2, 0.1]}]}),
                vec!["evaluate[0].level"],
            ),
            (
                json!({"evaluate": [
                    {"kind": "sine", "level": [0.1], "frequency": [1.0]},
                    {"kind": "sine", "level": [0.1], "frequency": [2.0]},
                    {"kind": "sine", "level": [0.1, 0.2], "frequency": [1.0]},
                    {"kind": "step_drive", "level": [0.1]},
                    {"kind": "step_drive"},
                ]}),
                vec!["evaluate[2]", "evaluate[4]"],
            ),
            (json!({"training": {"epochs": 5}, "analyze": [{"epochs": [-1, 4]}]}), vec![]),
            (
                json!({"training": {"epochs": 5}, "analyze": [{"epochs": [5]}]}),
                vec!["analyze[0].epochs"],
            ),
            (json!({"analyze": [{}, {}]}), vec!["analyze[1]"]),
        ];
        for (config, expected) in cases {
            assert_eq!(problems(config.clone()), expected, "{config}");
        }
    }
}
