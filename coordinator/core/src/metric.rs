//! The numbers by which trials are judged.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::MetricName;

/// The values of some metrics.
pub type Metrics = BTreeMap<MetricName, f64>;

/// The metrics of one epoch, reported with the commit that makes the epoch durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricReport {
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
    pub name: MetricName,
    /// Which way it improves.
    #[serde(default)]
    pub goal: Goal,
    /// A value at which the sweep has found what it looked for: no new trial starts after that. With
    /// replicates the mean over all seeds of a point counts.
    #[serde(default)]
    pub target: Option<f64>,
}
