//! Analyses of a network. docs/science.md defines the measured quantities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An analysis of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analysis {
    /// Kind of the analysis.
    pub kind: AnalysisKind,
    /// Epochs after which the analysis runs, -1 for the untrained network; by default -1 and the
    /// last for `shapes`, `jacobian`, `gradients` and `eigenvalues`, else the last.
    #[schemars(length(min = 1), inner(range(min = -1)))]
    pub epochs: Option<Vec<i32>>,
    /// Strengths xi of a drive, or inputs of `controller_pca`; by default the grid of the science
    /// reference.
    #[schemars(
        length(min = 1),
        extend("x-kinds" = [
            "lyapunov", "shape_traces", "gain_scaling", "fractional", "adaptation", "controller_pca",
            "slope_contours"
        ])
    )]
    pub level: Option<Vec<f64>>,
    /// Number of test sequences; by default that of the science reference.
    #[schemars(
        range(min = 1),
        extend("x-kinds" = [
            "lyapunov", "jacobian", "gradients", "gain_scaling", "shape_traces", "mutual_information"
        ])
    )]
    pub samples: Option<u32>,
    /// Systems to linearise; by default `autonomous`.
    #[schemars(length(min = 1), extend("x-kinds" = ["lyapunov"]))]
    pub mode: Option<Vec<LyapunovMode>>,
    /// Number of exponents, largest first.
    #[schemars(range(min = 1, max = 16_384), extend("x-kinds" = ["lyapunov"]))]
    pub exponents: u32,
    /// Steps over which the exponents of a system without input are averaged.
    #[schemars(range(min = 1, max = 10_000_000), extend("x-kinds" = ["lyapunov"]))]
    pub steps: u32,
    /// First counted step of test sequences, and the step after the last counted one, for `mode:
    /// driven`; by default from step 100 of 784 to the end.
    #[schemars(length(equal = 2), extend("x-kinds" = ["lyapunov"]))]
    pub window: Option<Vec<u32>>,
    /// Whether the neurons' biases are kept when there is no input.
    #[schemars(extend("x-kinds" = ["lyapunov"]))]
    pub biases: bool,
    /// Whether the norms are also measured on a grid of gains and saturations that all neurons
    /// share.
    #[schemars(extend("x-kinds" = ["jacobian"]))]
    pub grid: bool,
    /// Lengths, in steps, to which sequences are cut; by default the grid of the science reference.
    #[schemars(length(min = 1), inner(range(min = 1)), extend("x-kinds" = ["gradients"]))]
    pub lengths: Option<Vec<u32>>,
    /// Steps by which the input is older than the state; by default 0, 1, 2, 5, 10 and 20.
    #[schemars(length(min = 1), extend("x-kinds" = ["mutual_information"]))]
    pub lags: Option<Vec<u32>>,
    /// Index of the neighbour whose distance estimates the density around a point.
    #[schemars(range(min = 1, max = 1000), extend("x-kinds" = ["mutual_information"]))]
    pub neighbours: u32,
    /// Repetitions to average over; by default 20 for `fractional` and `adaptation`, 10 for
    /// `controller_pca`.
    #[schemars(
        range(min = 1, max = 100_000),
        extend("x-kinds" = ["fractional", "adaptation", "controller_pca"])
    )]
    pub repetitions: Option<u32>,
    /// Durations of the drive; by default both.
    #[schemars(length(min = 1), extend("x-kinds" = ["fractional"]))]
    pub protocol: Option<Vec<Protocol>>,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            kind: AnalysisKind::Shapes,
            epochs: None,
            level: None,
            samples: None,
            mode: None,
            exponents: 10,
            steps: 1000,
            window: None,
            biases: false,
            grid: false,
            lengths: None,
            lags: None,
            neighbours: 5,
            repetitions: None,
            protocol: None,
        }
    }
}

/// Kinds of analyses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisKind {
    /// Gain and saturation of every neuron; table `shapes`.
    #[default]
    Shapes,
    /// Curves gamma(x; n, s) of the neurons; table `activation_curves`.
    ActivationCurves,
    /// Gain and saturation while a drive steps up and down; tables `shape_traces`, `shape_steps`.
    ShapeTraces,
    /// Gain and saturation as functions of the noise strength; tables `gain_scaling`, `gain_fits`.
    GainScaling,
    /// Order of the fractional derivative that the neurons apply to a drive; tables
    /// `fractional_traces`, `fractional_fits`.
    Fractional,
    /// Fraction of the response to a drive that fades; table `adaptation`.
    Adaptation,
    /// Principal components of the controller; table `controller_pca`.
    ControllerPca,
    /// Lyapunov exponents; table `lyapunov`.
    Lyapunov,
    /// Norms of the Jacobian; table `jacobian`.
    Jacobian,
    /// Contours on which the slope of gamma is one; table `slope_contours`.
    SlopeContours,
    /// Norms of the gradient over time, and as a function of the sequence length; table
    /// `gradients`.
    Gradients,
    /// Eigenvalues of the recurrent matrix; table `eigenvalues`.
    Eigenvalues,
    /// Mutual information of the state and earlier inputs; table `mutual_information`.
    MutualInformation,
}

impl AnalysisKind {
    /// All analyses.
    pub const ALL: [Self; 13] = [
        Self::Shapes,
        Self::ActivationCurves,
        Self::ShapeTraces,
        Self::GainScaling,
        Self::Fractional,
        Self::Adaptation,
        Self::ControllerPca,
        Self::Lyapunov,
        Self::Jacobian,
        Self::SlopeContours,
        Self::Gradients,
        Self::Eigenvalues,
        Self::MutualInformation,
    ];

    /// Returns the name in sweep files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shapes => "shapes",
            Self::ActivationCurves => "activation_curves",
            Self::ShapeTraces => "shape_traces",
            Self::GainScaling => "gain_scaling",
            Self::Fractional => "fractional",
            Self::Adaptation => "adaptation",
            Self::ControllerPca => "controller_pca",
            Self::Lyapunov => "lyapunov",
            Self::Jacobian => "jacobian",
            Self::SlopeContours => "slope_contours",
            Self::Gradients => "gradients",
            Self::Eigenvalues => "eigenvalues",
            Self::MutualInformation => "mutual_information",
        }
    }

    /// Whether the analysis also runs on the untrained network by default.
    pub fn begins_untrained(self) -> bool {
        matches!(self, Self::Shapes | Self::Jacobian | Self::Gradients | Self::Eigenvalues)
    }
}

/// System of the Lyapunov exponents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LyapunovMode {
    /// The network without input.
    Autonomous,
    /// The network while it reads test sequences.
    Driven,
    /// The network without input, with gains and saturations frozen at some step of a drive.
    Frozen,
}

impl LyapunovMode {
    /// Returns the name in sweep files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Autonomous => "autonomous",
            Self::Driven => "driven",
            Self::Frozen => "frozen",
        }
    }
}

/// Duration of the drive in the fractional analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// 50 steps of 150.
    Short,
    /// 100 steps of 300.
    Long,
}

impl Protocol {
    /// Returns the name in sweep files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}
