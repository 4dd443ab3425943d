//! `stop:`: the rules that end a sweep early, as they are journaled. What a sweep has spent of them is
//! part of its state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rules that end a sweep early: no further trial starts once one of them is reached, and running
/// trials go on to their end. A sweep that is resumed after that gets as much again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Stop")]
pub struct StopRules {
    /// Number of trials that have ended or are paused, whatever their outcome; cancelled ones do not
    /// count.
    #[schemars(range(min = 1))]
    pub trials: Option<u64>,
    /// Number of epochs that all trials together have committed.
    #[schemars(range(min = 1))]
    pub epochs: Option<u64>,
    /// Time since the first trial started, pauses and downtime included: seconds, or a text such as
    /// `90s`, `30min`, `2h` or `3d`.
    #[schemars(extend("type" = ["number", "string", "null"], "exclusiveMinimum" = 0.0, "x-duration" = true))]
    pub wall_time: Option<f64>,
    /// Hours of all attempts, each times the slots that it takes: a worker with one slot that never
    /// idles spends one an hour.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub worker_hours: Option<f64>,
    /// Number of points that bring no better one.
    pub no_improvement: Option<NoImprovement>,
}

/// Rule that ends a sweep whose best point no longer changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoImprovement {
    /// Number of points in a row that are not better than the best before them. A point counts once
    /// all its seeds have completed, diverged or been pruned; a paused one does not count.
    #[schemars(range(min = 1))]
    pub points: u64,
    /// Difference by which a point must be better than the best before it.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub min_delta: f64,
}

impl StopRules {
    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
