//! Metrics that trials of networks report.

use serde::{Deserialize, Serialize};

use rheo_core::name::MetricName;
use rheo_core::schema::MetricField;

/// A metric that a trial reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// All metrics.
    pub const ALL: [Self; 6] = [
        Self::TrainLoss,
        Self::TrainAccuracy,
        Self::ValidationLoss,
        Self::ValidationAccuracy,
        Self::TestLoss,
        Self::TestAccuracy,
    ];

    /// Returns the name in sweep files, tables and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TrainLoss => "train.loss",
            Self::TrainAccuracy => "train.accuracy",
            Self::ValidationLoss => "validation.loss",
            Self::ValidationAccuracy => "validation.accuracy",
            Self::TestLoss => "test.loss",
            Self::TestAccuracy => "test.accuracy",
        }
    }

    /// Returns the documentation, a sentence.
    fn docs(self) -> &'static str {
        match self {
            Self::TrainLoss => "Mean training loss of the epoch, in nats.",
            Self::TrainAccuracy => "Training accuracy of the epoch, in [0, 1].",
            Self::ValidationLoss => "Mean validation loss after the epoch, in nats.",
            Self::ValidationAccuracy => "Validation accuracy after the epoch, in [0, 1].",
            Self::TestLoss => "Mean test loss after the last epoch, in nats.",
            Self::TestAccuracy => "Test accuracy after the last epoch, in [0, 1].",
        }
    }

    /// Returns the metric as a field of the workload's schema.
    pub fn field(self) -> MetricField {
        MetricField {
            name: self.to_name(),
            docs: self.docs().into(),
            rises: self.is_accuracy(),
            of_epochs: !matches!(self, Self::TestLoss | Self::TestAccuracy),
        }
    }

    /// Returns the name as the engine of sweeps stores it.
    pub const fn to_name(self) -> MetricName {
        MetricName::of(self.name())
    }

    /// Whether the metric is an accuracy, so that larger values are better.
    pub fn is_accuracy(self) -> bool {
        matches!(self, Self::TrainAccuracy | Self::ValidationAccuracy | Self::TestAccuracy)
    }
}

impl From<Metric> for MetricName {
    fn from(metric: Metric) -> Self {
        metric.to_name()
    }
}
