//! Checks beyond the types of a configuration: fields that contradict each other.
//!
//! Every rule names the fields it read, so that the error can point to their position in the file.

mod analyze;
mod evaluate;
mod task;

use rheo_core::resources::GpuAmount;
use rheo_core::schema::FieldConflict;

use super::{Device, EvaluationKind, NetworkKind, Optimizer, Resources, TaskKind, TrialConfig};
use analyze::{check_analyses, check_windows};
use evaluate::check_evaluations;
use task::check_task;

/// Smallest absolute gain that the network does not replace (science: gain policy).
const SMALLEST_GAIN: f64 = 1e-3;

impl TrialConfig {
    /// Returns the fields that contradict each other; none for a configuration from a checked
    /// sweep.
    pub fn check(&self) -> Vec<FieldConflict> {
        let mut problems = Vec::new();
        check_task(&self.task, self.training.batch, &mut problems);
        self.check_gain(&mut problems);
        self.check_shape_learning(&mut problems);
        self.check_perturbations(&mut problems);
        self.check_groups(&mut problems);
        check_evaluations(&self.evaluate, &mut problems);
        check_analyses(&self.analyze, self.epochs(), &mut problems);
        check_windows(&self.analyze, self.task.steps(), &mut problems);
        check_gpus(&self.resources, &mut problems);
        problems
    }

    fn check_shape_learning(&self, problems: &mut Vec<FieldConflict>) {
        let training = &self.training;
        let second = training.readapt.as_ref();
        let fields = [
            ("training.learn_shape_from", training.learn_shape_from > 0),
            ("training.only_shape", training.only_shape),
            ("training.readapt.only_shape", second.is_some_and(|second| second.only_shape)),
        ];
        for (path, given) in fields {
            if given && !self.network.learns_shape() {
                problems.push(FieldConflict::new(
                    &[path, "network.kind"],
                    format!("`{path}` needs a network that learns the shape of its neurons"),
                    "delete it, or set `network.kind` to `homogeneous` or `heterogeneous`, without \
                     `learn_shape: false`",
                ));
            }
        }
        if training.only_shape && training.learn_shape_from > 0 {
            problems.push(FieldConflict::new(
                &["training.learn_shape_from", "training.only_shape"],
                format!(
                    "with `only_shape`, nothing is learned before epoch {}",
                    training.learn_shape_from
                ),
                "delete one of the two",
            ));
        }
        if second.is_some() && training.early_stop.is_some() {
            problems.push(FieldConflict::new(
                &["training.early_stop", "training.readapt"],
                "the second training begins at a fixed epoch, so the first one cannot stop early",
                "delete one of the two",
            ));
        }
        if training.learn_shape_from >= training.epochs && training.learn_shape_from > 0 {
            problems.push(FieldConflict::new(
                &["training.learn_shape_from", "training.epochs"],
                format!("training ends before epoch {}", training.learn_shape_from),
                "write an epoch before the last, or set `network.kind: fixed`",
            ));
        }
    }

    /// Checks for perturbations that the task's data do not allow.
    fn check_perturbations(&self, problems: &mut Vec<FieldConflict>) {
        let augment = &self.training.augment;
        if augment.probability > 0.0 && augment.kind == EvaluationKind::None {
            problems.push(FieldConflict::new(
                &["training.augment.kind", "training.augment.probability"],
                "`none` perturbs no batch",
                "choose a perturbation, or delete `training.augment`",
            ));
        }
        let mut check = |path: &str, kind: EvaluationKind| {
            let needs = match kind {
                EvaluationKind::Rotation if !self.task.kind.has_images() => "images",
                EvaluationKind::Sine
                | EvaluationKind::InputNoise
                | EvaluationKind::Contrast
                | EvaluationKind::Offset
                    if self.task.kind == TaskKind::CharLm =>
                {
                    "an input of numbers"
                }
                _ => return,
            };
            let (name, task) = (kind.name(), self.task.kind.name());
            problems.push(FieldConflict::new(
                &[path, "task.kind"],
                format!("`{name}` needs {needs}, which `{task}` does not have"),
                "choose another perturbation or another task",
            ));
        };
        if self.training.augment.probability > 0.0 {
            check("training.augment.kind", self.training.augment.kind);
        }
        for (index, evaluation) in self.evaluate.iter().enumerate() {
            check(&format!("evaluate[{index}].kind"), evaluation.kind);
        }
        if self.training.readapt.is_some() {
            check("training.readapt", EvaluationKind::Rotation);
        }
    }

    /// Checks for parameter groups that the optimizer or the network does not have.
    fn check_groups(&self, problems: &mut Vec<FieldConflict>) {
        let Optimizer { controller, shape, .. } = &self.training.optimizer;
        let given =
            |group: &super::GroupOptions| group.lr.is_some() || group.weight_decay.is_some();
        let is_adaptive = self.network.kind == NetworkKind::Adaptive;
        for (path, given, used, kinds) in [
            ("training.optimizer.controller", given(controller), is_adaptive, "`adaptive`"),
            (
                "training.optimizer.shape",
                given(shape),
                self.network.learns_shape(),
                "`homogeneous` or `heterogeneous`",
            ),
        ] {
            if given && !used {
                problems.push(FieldConflict::new(
                    &[path, "network.kind"],
                    format!("the network has no parameters of the group `{path}`"),
                    format!("delete the group, or set `network.kind` to {kinds}"),
                ));
            }
        }
    }

    fn check_gain(&self, problems: &mut Vec<FieldConflict>) {
        let Some(n0) = self.network.n0 else { return };
        if self.network.kind.has_shape() && n0.abs() < SMALLEST_GAIN {
            problems.push(FieldConflict::new(
                &["network.n0"],
                format!("a gain of `{n0}` is too close to zero"),
                format!(
                    "write at least {SMALLEST_GAIN}, or at most -{SMALLEST_GAIN}: gains between are replaced"
                ),
            ));
        }
    }
}

/// Checks for a GPU fraction that is unused, or finer than thousandths.
fn check_gpus(resources: &Resources, problems: &mut Vec<FieldConflict>) {
    let Some(gpus) = resources.gpus else { return };
    if resources.device == Device::Cpu {
        problems.push(FieldConflict::new(
            &["resources.gpus", "resources.device"],
            "`resources.gpus` has no effect with `resources.device: cpu`",
            "delete it, or set `resources.device: cuda`",
        ));
    }
    if GpuAmount::from_number(gpus).is_err() {
        problems.push(FieldConflict::new(
            &["resources.gpus"],
            format!("`{gpus}` is finer than a thousandth of a GPU"),
            "write at most three digits after the point, such as 0.25",
        ));
    }
}

/// Returns the first value that equals an earlier one.
fn repeated<T: PartialEq + Copy>(values: &[T]) -> Option<T> {
    let is_repeated =
        |(index, value): &(usize, &T)| values.iter().take(*index).any(|v| v == *value);
    values.iter().enumerate().find(is_repeated).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the first path of every problem of a configuration.
    fn problems(config: serde_json::Value) -> Vec<String> {
        let config: TrialConfig = serde_json::from_value(config).unwrap();
        config.check().into_iter().map(|problem| problem.paths[0].clone()).collect()
    }

    #[test]
    fn the_defaults_are_consistent() {
        assert_eq!(TrialConfig::default().check(), []);
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn contradictions_are_found_without_false_positives() {
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
            (
                json!({"task": {"kind": "gscifar10", "train_size": 45_000}}),
                vec!["task.validation_size"],
            ),
            (
                json!({"task": {"kind": "char_lm", "source": "ptb", "length": 5000}}),
                vec!["task.length"],
            ),
            (json!({"task": {"kind": "char_lm", "data": "x"}}), vec!["task.data"]),
            (
                json!({"task": {"kind": "char_lm", "length": 1000}, "training": {"batch": 1000}}),
                vec!["training.batch"],
            ),
            (
                json!({"task": {"kind": "char_lm", "length": 1000, "eval_batch": 100}}),
                vec!["task.eval_batch"],
            ),
            (
                json!({"training": {"only_shape": true, "learn_shape_from": 2}}),
                vec!["training.learn_shape_from"],
            ),
            (
                json!({"training": {"augment": {"kind": "none", "probability": 0.5}}}),
                vec!["training.augment.kind"],
            ),
            (
                json!({"analyze": [{"kind": "mutual_information", "lags": [1, 1]}]}),
                vec!["analyze[0].lags"],
            ),
            (
                json!({"task": {"kind": "char_lm"}, "evaluate": [{"kind": "sine"}, {"kind": "step_drive"}]}),
                vec!["evaluate[0].kind"],
            ),
            (
                json!({"task": {"kind": "evidence"}, "evaluate": [{"kind": "rotation"}]}),
                vec!["evaluate[0].kind"],
            ),
            (
                json!({"task": {"kind": "copy"}, "training": {"readapt": {}}}),
                vec!["training.readapt"],
            ),
            (
                json!({"network": {"kind": "relu"}, "training": {"readapt": {}}}),
                vec!["training.readapt.only_shape"],
            ),
            (json!({"training": {"readapt": {}, "early_stop": 3}}), vec!["training.early_stop"]),
            (json!({"training": {"learn_shape_from": 20}}), vec!["training.learn_shape_from"]),
            (
                json!({"network": {"learn_shape": false}, "training": {"only_shape": true}}),
                vec!["training.only_shape"],
            ),
            (
                json!({
                    "network": {"kind": "homogeneous", "learn_shape": false},
                    "training": {"optimizer": {"shape": {"lr": 1.0}}},
                }),
                vec!["training.optimizer.shape"],
            ),
            (
                json!({"training": {"optimizer": {"controller": {"lr": 1.0}}}}),
                vec!["training.optimizer.controller"],
            ),
            (
                json!({"evaluate": [
                    {"kind": "noise_drive", "level": [1.0]},
                    {"kind": "noise_drive", "level": [1.0], "shared": true},
                    {"kind": "noise_drive", "level": [1.0], "shape_mode": ["frozen"]},
                    {"kind": "noise_drive", "level": [1.0, 2.0]},
                ]}),
                vec!["evaluate[3]"],
            ),
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
            (
                json!({"analyze": [
                    {"kind": "lyapunov", "mode": ["driven"], "window": [0, 196]},
                ]}),
                vec![],
            ),
            (
                json!({"analyze": [
                    {"kind": "lyapunov", "mode": ["driven"], "window": [0, 197]},
                ]}),
                vec!["analyze[0].window"],
            ),
            (
                json!({"task": {"kind": "copy"}, "analyze": [
                    {"kind": "lyapunov", "mode": ["autonomous", "driven"], "window": [219, 220]},
                ]}),
                vec![],
            ),
            (
                json!({"analyze": [
                    {"kind": "lyapunov", "mode": ["driven"], "window": [7, 7]},
                ]}),
                vec!["analyze[0].window"],
            ),
            (
                json!({"analyze": [
                    {"kind": "lyapunov", "mode": ["driven"], "window": [1, 2, 3]},
                ]}),
                vec!["analyze[0].window"],
            ),
            (
                json!({"analyze": [{"kind": "lyapunov", "window": [1, 2]}]}),
                vec!["analyze[0].window"],
            ),
        ];
        for (config, expected) in cases {
            assert_eq!(problems(config.clone()), expected, "{config}");
        }
    }
}
