//! Analyses of a network: what each measures is written in docs/science.md.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An analysis of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analysis {
    /// Which analysis.
    pub kind: AnalysisKind,
    /// Epochs after which it is made, -1 for the untrained network; without it, -1 and the last for
    /// `shapes`, `jacobian`, `gradients` and `eigenvalues`, else the last.
    #[schemars(length(min = 1), inner(range(min = -1)))]
    pub epochs: Option<Vec<i32>>,
    /// The strengths xi of a drive, or the inputs of `controller_pca`; without it, the grid of the
    /// science reference.
    #[schemars(
        length(min = 1),
        extend("x-kinds" = [
            "lyapunov", "shape_traces", "gain_scaling", "fractional", "adaptation", "controller_pca",
            "slope_contours"
        ])
    )]
    pub level: Option<Vec<f64>>,
    /// Test sequences; without it, the number of the science reference.
    #[schemars(
        range(min = 1),
        extend("x-kinds" = [
            "lyapunov", "jacobian", "gradients", "gain_scaling", "shape_traces", "mutual_information"
        ])
    )]
    pub samples: Option<u32>,
    /// Which systems are linearised; without it, `autonomous`.
    #[schemars(length(min = 1), extend("x-kinds" = ["lyapunov"]))]
    pub mode: Option<Vec<LyapunovMode>>,
    /// How many of the largest exponents.
    #[schemars(range(min = 1, max = 16_384), extend("x-kinds" = ["lyapunov"]))]
    pub exponents: u32,
    /// Steps over which the exponents of a system without input are averaged.
    #[schemars(range(min = 1, max = 10_000_000), extend("x-kinds" = ["lyapunov"]))]
    pub steps: u32,
    /// The first counted step of test sequences and the first that is not counted any more, for
    /// `mode: driven`; without it, from step 100 of 784 to the end.
    #[schemars(length(equal = 2), extend("x-kinds" = ["lyapunov"]))]
    pub window: Option<Vec<u32>>,
    /// Whether the biases of the neurons take part where there is no input.
    #[schemars(extend("x-kinds" = ["lyapunov"]))]
    pub biases: bool,
    /// Whether the norms are also taken on a grid of gains and saturations, the same for all neurons.
    #[schemars(extend("x-kinds" = ["jacobian"]))]
    pub grid: bool,
    /// Numbers of steps to which sequences are cut; without it, the grid of the science reference.
    #[schemars(length(min = 1), inner(range(min = 1)), extend("x-kinds" = ["gradients"]))]
    pub lengths: Option<Vec<u32>>,
    /// Steps by which the input is older than the state; without it 0, 1, 2, 5, 10 and 20.
    #[schemars(length(min = 1), extend("x-kinds" = ["mutual_information"]))]
    pub lags: Option<Vec<u32>>,
    /// Which neighbour of a point tells the density around it.
    #[schemars(range(min = 1, max = 1000), extend("x-kinds" = ["mutual_information"]))]
    pub neighbours: u32,
    /// Repetitions that are averaged; without it 20 for `fractional` and `adaptation`, 10 for
    /// `controller_pca`.
    #[schemars(
        range(min = 1, max = 100_000),
        extend("x-kinds" = ["fractional", "adaptation", "controller_pca"])
    )]
    pub repetitions: Option<u32>,
    /// How long the drive lasts; without it both.
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

/// The analyses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisKind {
    /// The gain and saturation of every neuron; table `shapes`.
    #[default]
    Shapes,
    /// The curves gamma(x; n, s) of the neurons; table `activation_curves`.
    ActivationCurves,
    /// Gain and saturation while a drive steps up and down; tables `shape_traces`, `shape_steps`.
    ShapeTraces,
    /// Gain and saturation against the strength of noise; tables `gain_scaling`, `gain_fits`.
    GainScaling,
    /// Which fractional derivative of a drive the neurons compute; tables `fractional_traces`,
    /// `fractional_fits`.
    Fractional,
    /// How much of the response to a drive passes; table `adaptation`.
    Adaptation,
    /// Principal components of the controller; table `controller_pca`.
    ControllerPca,
    /// Lyapunov exponents; table `lyapunov`.
    Lyapunov,
    /// Norms of the Jacobian; table `jacobian`.
    Jacobian,
    /// Where the slope of gamma is one; table `slope_contours`.
    SlopeContours,
    /// Norms of the gradient over time and against the length of the sequence; table `gradients`.
    Gradients,
    /// Eigenvalues of the recurrent matrix; table `eigenvalues`.
    Eigenvalues,
    /// What the state tells about earlier inputs; table `mutual_information`.
    MutualInformation,
}

impl AnalysisKind {
    /// Every analysis.
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

    /// The name in sweep files.
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

    /// Whether it is made of the untrained network too, unless the epochs are given.
    pub fn begins_untrained(self) -> bool {
        matches!(self, Self::Shapes | Self::Jacobian | Self::Gradients | Self::Eigenvalues)
    }
}

/// Which system the Lyapunov exponents belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LyapunovMode {
    /// The network without input.
    Autonomous,
    /// The network that reads test sequences.
    Driven,
    /// The network without input, its gains and saturations fixed as they are at some step of a
    /// drive.
    Frozen,
}

impl LyapunovMode {
    /// The name in sweep files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Autonomous => "autonomous",
            Self::Driven => "driven",
            Self::Frozen => "frozen",
        }
    }
}

/// How long the drive of the fractional analysis lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// 50 steps of 150.
    Short,
    /// 100 steps of 300.
    Long,
}

impl Protocol {
    /// The name in sweep files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}
