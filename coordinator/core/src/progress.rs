//! Progress: how far a trial is, as people are told. It decides nothing.

use std::borrow::Cow;

use crate::metric::Metrics;

/// State of a trial on its way to its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Share of the whole trial that is done, in [0, 1].
    pub fraction: f64,
    /// Completed epochs.
    pub epoch: u32,
    /// Epochs in all.
    pub epochs: u32,
    /// The newest value of each metric.
    pub metrics: Metrics,
    /// Phase that it is in, such as `training` or `evaluating`.
    pub phase: Cow<'static, str>,
}
