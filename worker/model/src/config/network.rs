//! The network: its kind, size and initial values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A recurrent network and its initialization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Kind of the neurons.
    pub kind: NetworkKind,
    /// Number of recurrent neurons.
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: u32,
    /// Number of units of the controller of adaptive neurons.
    #[schemars(range(min = 1, max = 4096), extend("x-kinds" = ["adaptive"]))]
    pub controller: u32,
    /// Quantities that the controller sets; the other one is a learned constant.
    #[schemars(extend("x-kinds" = ["adaptive"]))]
    pub adapts: AdaptedQuantity,
    /// Whether gain and saturation are learned or keep their initial values; a `homogeneous`
    /// network that does not learn them is a `fixed` one.
    #[schemars(extend("x-kinds" = ["homogeneous", "heterogeneous"]))]
    pub learn_shape: bool,
    /// Initial gain; by default drawn once per network, uniform in [5, 7).
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
    /// Pre-activations that a drive is added to.
    #[schemars(extend("x-kinds" = ["lstm", "gru"]))]
    pub drive: GateDrive,
    /// Kind whose number of parameters, at the given number of neurons, this network matches; its
    /// own number of neurons is the one that comes closest.
    pub match_parameters_of: Option<NetworkKind>,
    /// Initialization of the recurrent matrices.
    pub recurrent_init: RecurrentInit,
    /// Initialization of the input matrices; by default `kaiming`, in the task `copy` `xavier` for
    /// the network's input matrix.
    pub input_init: Option<InputInit>,
    /// Initialization of the biases.
    pub bias_init: BiasInit,
}

impl Network {
    /// Whether training changes gain and saturation.
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

/// Kind of the neurons of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// All neurons share one curve gamma(x; n, s), which keeps its initial values.
    Fixed,
    /// All neurons share one curve gamma(x; n, s) with learned n and s.
    Homogeneous,
    /// Every neuron has its own curve gamma(x; n_i, s_i).
    #[default]
    Heterogeneous,
    /// A controller shared by all neurons sets each neuron's n and s while the network runs.
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
    /// All kinds.
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

    /// Returns the name in sweep files and tables.
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

/// Quantities that the controller of an adaptive network sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdaptedQuantity {
    /// Gain and saturation.
    #[default]
    Both,
    /// Gain only.
    Gain,
    /// Saturation only.
    Saturation,
}

/// Pre-activations of a gated network that a drive is added to.
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
    /// A uniformly distributed random rotation.
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
    /// readout is unaffected.
    Zero,
}
