//! The trainer's summary of a trial, which becomes part of a row of `trials`.

use serde::{Deserialize, Serialize};

/// Columns of `trials` that only the trainer can fill, at the end of the trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of trained parameters.
    pub parameters: u64,
    /// Number of inputs per step.
    pub inputs: u32,
    /// Number of recurrent neurons. A network of matched size has fewer or more than
    /// `network.hidden`; 0 in summaries of older versions.
    #[serde(default)]
    pub hidden: u32,
    /// Number of steps of a sequence.
    pub steps: u32,
    /// Initial gain, drawn or configured; none for networks without one.
    pub n0: Option<f64>,
    /// Epochs that were trained.
    pub epochs: u32,
    /// Epoch with the highest validation accuracy.
    pub best_val_epoch: Option<u32>,
    /// Validation accuracy at that epoch.
    pub best_val_accuracy: Option<f64>,
    /// Device, such as `cpu`.
    pub device: String,
    /// Execution backend, such as `avx512` or `autograd`; empty in summaries of older versions.
    #[serde(default)]
    pub kernel: String,
    /// Seconds of training and evaluation, over all attempts.
    pub wall_s: f64,
}
