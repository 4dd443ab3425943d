//! The numbers by which trials are judged.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A metric that a trial reports, by the name it has in sweep files.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Metric {
    /// Mean training loss of the epoch, in nats.
    #[serde(rename = "train.loss")]
    TrainLoss,
    /// Training accuracy of the epoch, in [0, 1].
    #[serde(rename = "train.accuracy")]
    TrainAccuracy,
    /// Mean validation loss after the epoch, in nats.
    #[serde(rename = "validation.loss")]
    ValidationLoss,
    /// Validation accuracy after the epoch, in [0, 1].
    #[serde(rename = "validation.accuracy")]
    ValidationAccuracy,
    /// Mean test loss after the last epoch, in nats.
    #[serde(rename = "test.loss")]
    TestLoss,
    /// Test accuracy after the last epoch, in [0, 1].
    #[serde(rename = "test.accuracy")]
    TestAccuracy,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 6] = [
        Self::TrainLoss,
        Self::TrainAccuracy,
        Self::ValidationLoss,
        Self::ValidationAccuracy,
        Self::TestLoss,
        Self::TestAccuracy,
    ];

    /// The name in sweep files, tables and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::TrainLoss => "train.loss",
            Self::TrainAccuracy => "train.accuracy",
            Self::ValidationLoss => "validation.loss",
            Self::ValidationAccuracy => "validation.accuracy",
            Self::TestLoss => "test.loss",
            Self::TestAccuracy => "test.accuracy",
        }
    }

    /// Whether the metric is an accuracy, so that larger is better.
    pub fn is_accuracy(self) -> bool {
        matches!(self, Self::TrainAccuracy | Self::ValidationAccuracy | Self::TestAccuracy)
    }
}

/// The values of some metrics.
pub type Metrics = BTreeMap<Metric, f64>;

/// The metrics of one epoch, reported with the commit that makes the epoch durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The epoch, from 0.
    pub epoch: u32,
    /// What was measured.
    pub metrics: Metrics,
}

/// Which way a metric improves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Smaller is better; what W&B assumes too when no goal is given.
    #[default]
    Minimize,
    /// Larger is better.
    Maximize,
}

impl Goal {
    /// The name in sweep files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimize => "minimize",
            Self::Maximize => "maximize",
        }
    }

    /// Whether `a` is strictly better than `b`. NaN is never better than anything.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Self::Minimize => a < b || (b.is_nan() && !a.is_nan()),
            Self::Maximize => a > b || (b.is_nan() && !a.is_nan()),
        }
    }
}

/// What a sweep is judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// The metric: its value at the last epoch counts.
    pub name: Metric,
    /// Which way it improves.
    #[serde(default)]
    pub goal: Goal,
    /// A value at which the sweep has found what it looked for: no new trial starts after that. With
    /// replicates the mean over all seeds of a point counts.
    #[serde(default)]
    pub target: Option<f64>,
}
