//! Progress of trials for display. It affects no decision.

use std::borrow::Cow;

use crate::metric::Metrics;

/// The progress of a trial.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The completed share of the whole trial, in [0, 1].
    pub fraction: f64,
    /// The number of completed epochs.
    pub epoch: u32,
    /// The total number of epochs.
    pub epochs: u32,
    /// The newest value of each metric.
    pub metrics: Metrics,
    /// The phase, such as `training` or `evaluating`.
    pub phase: Cow<'static, str>,
}
