//! The last word of a trainer on its trial, which becomes part of a row of `trials`.

use serde::{Deserialize, Serialize};

/// What is known of a trial when it ends: the columns of `trials` that only its trainer can fill.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of trained parameters.
    pub parameters: u64,
    /// Number of inputs per step.
    pub inputs: u32,
    /// Number of recurrent neurons. Networks of matched sizes have fewer or more than
    /// `network.hidden` says; 0 in summaries from before this was kept.
    #[serde(default)]
    pub hidden: u32,
    /// Number of steps of a sequence.
    pub steps: u32,
    /// Initial gain, drawn or given; none for networks without one.
    pub n0: Option<f64>,
    /// Epochs that were trained.
    pub epochs: u32,
    /// Epoch with the highest validation accuracy.
    pub best_val_epoch: Option<u32>,
    /// Validation accuracy at that epoch.
    pub best_val_accuracy: Option<f64>,
    /// Where it ran, such as `cpu`.
    pub device: String,
    /// What computed the network over its sequences, such as `avx512` or `autograd`; empty in
    /// summaries from before this was kept.
    #[serde(default)]
    pub kernel: String,
    /// Seconds of training and evaluation, over all attempts.
    pub wall_s: f64,
}
