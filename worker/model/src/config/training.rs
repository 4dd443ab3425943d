//! Training of a network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EvaluationKind;

/// The training recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Passes over the training data; with 0, the untrained network is analysed and evaluated.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub epochs: u32,
    /// Samples per update; a last, smaller batch is kept and weighted by its size.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch: u32,
    /// Update rule.
    pub optimizer: Optimizer,
    /// Schedule of the learning rate.
    pub schedule: Schedule,
    /// Maximum 2-norm of the gradient over all parameters; a larger gradient is scaled down to it
    /// before the update.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub clip_norm: Option<f64>,
    /// Whether the order of the samples is drawn anew every epoch.
    pub shuffle: bool,
    /// Perturbation of training batches.
    pub augment: Augmentation,
    /// Epoch from which gain and saturation are learned; before it they keep their initial values.
    pub learn_shape_from: u32,
    /// Whether only gain and saturation are learned.
    pub only_shape: bool,
    /// Epochs without a lower validation loss after which training stops.
    #[schemars(range(min = 1))]
    pub early_stop: Option<u32>,
    /// Second training on changed data, after the first one.
    pub readapt: Option<Readaptation>,
    /// Floating-point type of weights and activations.
    pub precision: Precision,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 100,
            optimizer: Optimizer::default(),
            schedule: Schedule::default(),
            clip_norm: None,
            shuffle: true,
            augment: Augmentation::default(),
            learn_shape_from: 0,
            only_shape: false,
            early_stop: None,
            readapt: None,
            precision: Precision::Float32,
        }
    }
}

/// Update rule and its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Optimizer {
    /// Kind of the rule.
    pub kind: OptimizerKind,
    /// Learning rate.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub lr: f64,
    /// Decay of the running mean of the gradient.
    #[schemars(
        range(min = 0.0),
        extend("exclusiveMaximum" = 1.0, "x-kinds" = ["adam", "adamw"])
    )]
    pub beta1: f64,
    /// Decay of the running mean of the squared gradient.
    #[schemars(
        range(min = 0.0),
        extend("exclusiveMaximum" = 1.0, "x-kinds" = ["adam", "adamw", "rmsprop"])
    )]
    pub beta2: f64,
    /// Constant added to the denominator of the update.
    #[schemars(extend("exclusiveMinimum" = 0.0, "x-kinds" = ["adam", "adamw", "rmsprop"]))]
    pub epsilon: f64,
    /// Momentum: the fraction of the last change that is kept.
    #[schemars(
        range(min = 0.0),
        extend("exclusiveMaximum" = 1.0, "x-kinds" = ["sgd", "rmsprop"])
    )]
    pub momentum: f64,
    /// Weight decay: of the weights themselves in `adamw`, added to the gradient in the other
    /// rules.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Rates of the controller of adaptive networks.
    pub controller: GroupOptions,
    /// Rates of gain and saturation.
    pub shape: GroupOptions,
    /// Rates of the readout.
    pub readout: GroupOptions,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adam,
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            momentum: 0.0,
            weight_decay: 0.0,
            controller: GroupOptions::default(),
            shape: GroupOptions::default(),
            readout: GroupOptions::default(),
        }
    }
}

/// Rates of a group of parameters, where they differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GroupOptions {
    /// Learning rate; by default that of all parameters.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub lr: Option<f64>,
    /// Weight decay; by default that of all parameters.
    #[schemars(range(min = 0.0))]
    pub weight_decay: Option<f64>,
}

/// Schedule of the learning rates; all of them change by the same factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Kind of the rule.
    pub kind: ScheduleKind,
    /// Updates over which the rate grows linearly to its full value.
    pub warmup: u32,
    /// Factor of the rate when it drops.
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0, "x-kinds" = ["plateau", "step"]))]
    pub factor: f64,
    /// Consecutive epochs that may bring no better loss; one more and the rate drops.
    #[schemars(extend("x-kinds" = ["plateau"]))]
    pub patience: u32,
    /// Fraction by which a loss must be lower to count as better.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0, "x-kinds" = ["plateau"]))]
    pub threshold: f64,
    /// Epochs from one drop to the next.
    #[schemars(range(min = 1), extend("x-kinds" = ["step"]))]
    pub every: u32,
    /// Fraction of the rate that the last update reaches.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-kinds" = ["cosine"]))]
    pub floor: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            kind: ScheduleKind::Constant,
            warmup: 0,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            every: 30,
            floor: 0.0,
        }
    }
}

/// Rules for the learning rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// The rate is constant.
    #[default]
    Constant,
    /// The rate drops when the validation loss no longer falls.
    Plateau,
    /// The rate falls along half a cosine over all updates.
    Cosine,
    /// The rate drops after a fixed number of epochs.
    Step,
}

/// A perturbation of training batches, for robustness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Kind of the perturbation; its other parameters are the defaults of `evaluate`, except that
    /// `sine` draws a frequency for every batch, uniform in [0, 2).
    pub kind: EvaluationKind,
    /// Fraction of the batches that are perturbed.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// Strength of the perturbation.
    pub level: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { kind: EvaluationKind::Sine, probability: 0.0, level: 0.2 }
    }
}

/// A second training, with a new optimizer, on rotated images: how the neurons of a trained network
/// adapt to other data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Readaptation {
    /// Passes over the training data; their numbers continue those of the first training.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: u32,
    /// Learning rate of all parameters; constant.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub lr: f64,
    /// Degrees by which training and validation images are rotated, counter-clockwise; test images
    /// are rotated by `evaluate` only.
    pub rotation: f64,
    /// Whether only gain and saturation is learned.
    pub only_shape: bool,
}

impl Default for Readaptation {
    fn default() -> Self {
        Self { epochs: 20, lr: 1e-4, rotation: 45.0, only_shape: true }
    }
}

/// Update rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Adam (Kingma and Ba 2015).
    #[default]
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    Adamw,
    /// Stochastic gradient descent, with momentum unless that is 0.
    Sgd,
    /// `RMSprop` (Tieleman and Hinton 2012).
    Rmsprop,
}

/// Floating-point types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    Float32,
    /// Double precision.
    Float64,
}
