//! Rows of the evaluation: `evaluations`.

use serde::{Deserialize, Serialize};

/// One row of `evaluations`: the test set under one perturbation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// Epoch after which the network was evaluated.
    pub epoch: i32,
    /// Split of the samples: `test` or `validation`.
    pub split: String,
    /// Perturbation, such as `none`, `sine` or `step_drive`.
    pub perturbation: String,
    /// Strength; 0 for `none`.
    pub level: f64,
    /// Cycles per sequence, for `sine`.
    pub frequency: Option<f64>,
    /// Phase in radians, for `sine`.
    pub phase: Option<f64>,
    /// First perturbed step.
    pub from_step: u32,
    /// Repetition of the noise, from 0.
    pub repetition: u32,
    /// Source of the shape: `own` values of the network, or `frozen` at their mean.
    pub shape_mode: String,
    /// Condition of the task that the samples belong to, if the task has conditions.
    pub condition: Option<f64>,
    /// Number of samples.
    pub count: u64,
    /// Accuracy in [0, 1].
    pub accuracy: f64,
    /// Mean loss in nats.
    pub loss: f64,
    /// Bits per character, for language tasks.
    pub bpc: Option<f64>,
    /// Standard error of the accuracy, sqrt(p (1 - p) / count).
    pub stderr: f64,
}
