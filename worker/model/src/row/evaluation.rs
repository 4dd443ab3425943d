//! Rows about accuracy under perturbations: `evaluations`.

use serde::{Deserialize, Serialize};

/// One row of `evaluations`: the test set under one perturbation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// The epoch after which the network was evaluated.
    pub epoch: i32,
    /// The samples: `test` or `validation`.
    pub split: String,
    /// The perturbation: `none`, `sine`, `step_drive`.
    pub perturbation: String,
    /// Its strength; 0 for `none`.
    pub level: f64,
    /// Cycles per sequence, for `sine`.
    pub frequency: Option<f64>,
    /// Phase in radians, for `sine`.
    pub phase: Option<f64>,
    /// The first perturbed step.
    pub from_step: u32,
    /// Which repetition of a perturbation that draws noise, from 0.
    pub repetition: u32,
    /// `own`: gain and saturation as the network sets them; `frozen`: fixed at their mean.
    pub shape_mode: String,
    /// A condition of the task within which samples are counted, where it has any.
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
