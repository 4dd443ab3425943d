//! Evaluation of a trained network: its accuracy under perturbations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A perturbation and the grid of its parameters; every combination is one row of `evaluations`.
/// The unperturbed network is always evaluated, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// Kind of the perturbation.
    pub kind: EvaluationKind,
    /// Strengths; by default the grid of the science reference.
    #[schemars(
        length(min = 1),
        extend("x-kinds" = [
            "sine", "step_drive", "noise_drive", "input_noise", "contrast", "offset", "rotation"
        ])
    )]
    pub level: Option<Vec<f64>>,
    /// Cycles per sequence; by default 0.5, 1 and 2.
    #[schemars(length(min = 1), extend("x-kinds" = ["sine"]))]
    pub frequency: Option<Vec<f64>>,
    /// Phase at the first step, in radians.
    #[schemars(extend("x-kinds" = ["sine"]))]
    pub phase: f64,
    /// Fractions of the sequence after which the perturbation begins; by default 0 and 0.5.
    #[schemars(
        length(min = 1),
        inner(range(min = 0.0, max = 1.0)),
        extend("x-kinds" = ["contrast", "offset"])
    )]
    pub from: Option<Vec<f64>>,
    /// Mean of the noise.
    #[schemars(extend("x-kinds" = ["noise_drive"]))]
    pub mean: f64,
    /// Whether all neurons receive the same noise.
    #[schemars(extend("x-kinds" = ["noise_drive"]))]
    pub shared: bool,
    /// Number of repetitions with new noise; every repetition is a row.
    #[schemars(range(min = 1, max = 1000), extend("x-kinds" = ["noise_drive", "input_noise"]))]
    pub repetitions: u32,
    /// Number of test samples, from the first; by default 2,000 for `noise_drive`, else all.
    #[schemars(range(min = 1))]
    pub samples: Option<u32>,
    /// Source of gain and saturation: the network's own values, their means over time and samples
    /// on unperturbed test data, or both in turn.
    #[schemars(length(min = 1))]
    pub shape_mode: Vec<ShapeMode>,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            kind: EvaluationKind::None,
            level: None,
            frequency: None,
            phase: 0.0,
            from: None,
            mean: 0.0,
            shared: false,
            repetitions: 3,
            samples: None,
            shape_mode: vec![ShapeMode::Own],
        }
    }
}

/// Kinds of perturbations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationKind {
    /// None: the test data are unchanged.
    #[default]
    None,
    /// The input is multiplied by 1 + level sin(2 pi frequency t / T + phase).
    Sine,
    /// A current of strength `level` into every neuron for a quarter of the sequence.
    StepDrive,
    /// Normal noise of deviation `level` into every neuron for a quarter of the sequence.
    NoiseDrive,
    /// Normal noise of deviation `level` on the input.
    InputNoise,
    /// The deviation of the input from its mean over the training data is multiplied by `level`.
    Contrast,
    /// `level` is added to the input.
    Offset,
    /// The image is rotated by `level` degrees, counter-clockwise.
    Rotation,
}

impl EvaluationKind {
    /// Returns the name in sweep files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sine => "sine",
            Self::StepDrive => "step_drive",
            Self::NoiseDrive => "noise_drive",
            Self::InputNoise => "input_noise",
            Self::Contrast => "contrast",
            Self::Offset => "offset",
            Self::Rotation => "rotation",
        }
    }
}

/// Source of gain and saturation of adaptive neurons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShapeMode {
    /// Set by the network.
    #[default]
    Own,
    /// Frozen at every neuron's mean over time and samples on unperturbed test data.
    Frozen,
}

impl ShapeMode {
    /// Returns the name in sweep files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Frozen => "frozen",
        }
    }
}
