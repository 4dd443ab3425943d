//! The network: its kind, size and initial values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A recurrent network and how it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// What the single neurons do.
    pub kind: NetworkKind,
    /// Number of recurrent neurons.
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: u32,
    /// Number of units of the controller that adapts the neurons.
    #[schemars(range(min = 1, max = 4096), extend("x-kinds" = ["adaptive"]))]
    pub controller: u32,
    /// Which of gain and saturation the controller moves; the other one is a learned constant.
    #[schemars(extend("x-kinds" = ["adaptive"]))]
    pub adapts: AdaptedQuantity,
    /// Whether gain and saturation are learned or stay as they start; a `homogeneous` network that
    /// does not learn them is a `fixed` one.
    #[schemars(extend("x-kinds" = ["homogeneous", "heterogeneous"]))]
    pub learn_shape: bool,
    /// Initial gain; without it, drawn once per network, uniform in [5, 7).
    #[schemars(extend("x-kinds" = ["fixed", "homogeneous", "heterogeneous", "adaptive"]))]
    pub n0: Option<f64>,
    /// Standard deviation of the initial gain over neurons.
    #[schemars(range(min = 0.0), extend("x-kinds" = ["heterogeneous"]))]
    pub n0_spread: f64,
    /// Initial saturation.
    #[schemars(extend("x-kinds" = ["fixed", "homogeneous", "heterogeneous", "adaptive"]))]
    pub s0: f64,
    /// Standard deviation of the initial saturation over neurons.
    #[schemars(range(min = 0.0), extend("x-kinds" = ["heterogeneous"]))]
    pub s0_spread: f64,
    /// Which pre-activations an extra current enters.
    #[schemars(extend("x-kinds" = ["lstm", "gru"]))]
    pub drive: GateDrive,
    /// A kind whose number of parameters at the given number of neurons this network matches: its
    /// own number of neurons is the one that comes nearest.
    pub match_parameters_of: Option<NetworkKind>,
    /// How the recurrent matrices start.
    pub recurrent_init: RecurrentInit,
    /// How the input matrices start; without it `kaiming`, but `xavier` for that of the whole
    /// network in the task `copy`.
    pub input_init: Option<InputInit>,
    /// How the biases start.
    pub bias_init: BiasInit,
}

impl Network {
    /// Whether gain and saturation are parameters that training changes.
    pub fn learns_shape(&self) -> bool {
        let can_learn = matches!(self.kind, NetworkKind::Homogeneous | NetworkKind::Heterogeneous);
        can_learn && self.learn_shape
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            kind: NetworkKind::Heterogeneous,
            hidden: 100,
            controller: 50,
            adapts: AdaptedQuantity::Both,
            learn_shape: true,
            n0: None,
            n0_spread: 0.0,
            s0: 0.0,
            s0_spread: 0.0,
            drive: GateDrive::All,
            match_parameters_of: None,
            recurrent_init: RecurrentInit::Henaff,
            input_init: None,
            bias_init: BiasInit::Paper,
        }
    }
}

/// What the single neurons of a network do with their input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// All neurons share one curve gamma(x; n, s) that stays as it starts.
    Fixed,
    /// All neurons share one curve gamma(x; n, s), whose n and s are learned.
    Homogeneous,
    /// Every neuron has a curve gamma(x; n_i, s_i) of its own.
    #[default]
    Heterogeneous,
    /// A controller shared by all neurons moves each neuron's n and s while the network runs.
    Adaptive,
    /// max(x, 0).
    Relu,
    /// tanh(x).
    Tanh,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// ln(1 + exp(x)).
    Softplus,
    /// x.
    Linear,
    /// sign(x) max(|x| + b_i, 0) with a learned b_i (Arjovsky et al. 2016).
    Modrelu,
    /// Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates).
    Lstm,
    /// Gated recurrent units (Cho et al. 2014).
    Gru,
}

impl NetworkKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Fixed,
        Self::Homogeneous,
        Self::Heterogeneous,
        Self::Adaptive,
        Self::Relu,
        Self::Tanh,
        Self::Sigmoid,
        Self::Softplus,
        Self::Linear,
        Self::Modrelu,
        Self::Lstm,
        Self::Gru,
    ];

    /// The name in sweep files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Homogeneous => "homogeneous",
            Self::Heterogeneous => "heterogeneous",
            Self::Adaptive => "adaptive",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
            Self::Linear => "linear",
            Self::Modrelu => "modrelu",
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }

    /// Whether the neurons have a gain and a saturation.
    pub fn has_shape(self) -> bool {
        matches!(self, Self::Fixed | Self::Homogeneous | Self::Heterogeneous | Self::Adaptive)
    }
}

/// What the controller of an adaptive network moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdaptedQuantity {
    /// Gain and saturation.
    #[default]
    Both,
    /// The gain.
    Gain,
    /// The saturation.
    Saturation,
}

/// The pre-activations of a gated network that an extra current enters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateDrive {
    /// Those of all gates and of the candidate.
    #[default]
    All,
    /// As in the published code: the output gate of `lstm`, none of `gru`.
    Released,
}

/// Initialisers of square recurrent matrices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecurrentInit {
    /// Rotations by angles uniform in (-pi, 0) on pairs of neurons (Henaff et al. 2016).
    #[default]
    Henaff,
    /// Rotations by angles uniform in (0, pi/2) on pairs of neurons (Helfrich et al. 2018).
    Cayley,
    /// A random rotation, uniform over all of them.
    Orthogonal,
    /// Normal with variance 2 / (fan in + fan out).
    Xavier,
    /// Normal with variance 2 / fan in.
    Kaiming,
    /// Normal with variance 1 / H.
    Normal,
}

/// Initialisers of input matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputInit {
    /// Normal with variance 2 / fan in.
    Kaiming,
    /// Normal with variance 2 / (fan in + fan out).
    Xavier,
    /// Normal with variance 1 / H.
    Normal,
}

/// Initialisers of biases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BiasInit {
    /// Uniform in +-1/sqrt(fan in) in static networks, zero in adaptive ones.
    #[default]
    Paper,
    /// Zero in every recurrent cell, for fair comparisons between static and adaptive networks; the
    /// readout starts as ever.
    Zero,
}
