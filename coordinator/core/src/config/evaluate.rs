//! What is measured on a trained network: its accuracy under perturbations, and analyses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A perturbation and the grid of its parameters; every combination is one row of `evaluations`.
/// The unperturbed network is always evaluated too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// Which perturbation.
    pub kind: EvaluationKind,
    /// Its strengths: the amplitude of `sine`, the current of `step_drive`; without it, the grid of
    /// the paper.
    #[schemars(length(min = 1), extend("x-kinds" = ["sine", "step_drive"]))]
    pub level: Option<Vec<f64>>,
    /// Cycles per sequence; without it 0.5, 1 and 2.
    #[schemars(length(min = 1), extend("x-kinds" = ["sine"]))]
    pub frequency: Option<Vec<f64>>,
    /// Phase at the first step, in radians.
    #[schemars(extend("x-kinds" = ["sine"]))]
    pub phase: f64,
}

/// The perturbations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationKind {
    /// The test data as they are.
    #[default]
    None,
    /// The input is multiplied by 1 + level sin(2 pi frequency t / T + phase).
    Sine,
    /// A current of strength `level` into every neuron for a quarter of the sequence.
    StepDrive,
}

/// An analysis of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analysis {
    /// Which analysis; also the name of the table that it fills.
    pub kind: AnalysisKind,
    /// Epochs after which it is made, -1 for the untrained network; without it, -1 and the last.
    #[schemars(length(min = 1), inner(range(min = -1)))]
    pub epochs: Option<Vec<i32>>,
}

/// The analyses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisKind {
    /// The gain and saturation of every neuron.
    #[default]
    Shapes,
}
