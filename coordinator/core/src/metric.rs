//! Metrics and the objective of a sweep.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::MetricName;

/// Values of metrics by name.
pub type Metrics = BTreeMap<MetricName, f64>;

/// The metrics of one epoch, reported with the commit that makes the epoch durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricReport {
    /// The epoch, from 0.
    pub epoch: u32,
    /// The measured values.
    pub metrics: Metrics,
}

/// Direction in which a metric improves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Smaller is better. This is the default, as in W&B.
    #[default]
    Minimize,
    /// Larger is better.
    Maximize,
}

impl Goal {
    /// Returns the name used in sweep files.
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

/// Objective of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// The metric: its value at the last epoch counts.
    pub name: MetricName,
    /// Direction in which it improves.
    #[serde(default)]
    pub goal: Goal,
    /// Value at which the sweep has reached its aim: no new trial starts after that. With
    /// replicates, the value of a point over all its seeds counts, by `replicates.aggregate`.
    #[serde(default)]
    pub target: Option<f64>,
}
