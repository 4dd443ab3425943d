//! Rows of training: `epochs`.

use serde::{Deserialize, Serialize};

/// One row of `epochs`. Losses are in nats, accuracies in [0, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Epoch, from 0.
    pub epoch: i32,
    /// Mean loss over the training samples, each before its update.
    pub train_loss: f64,
    /// Accuracy over the same samples.
    pub train_accuracy: f64,
    /// Mean loss over the validation samples after the epoch.
    pub val_loss: f64,
    /// Accuracy over the validation samples.
    pub val_accuracy: f64,
    /// Bits per character, for language tasks.
    pub val_bpc: Option<f64>,
    /// Learning rate of the last update.
    pub lr: f64,
    /// Total 2-norm of the gradient before the update, averaged over the updates of the epoch.
    pub grad_norm: f64,
    /// Mean gain over neurons, for networks that have one.
    pub n_mean: Option<f64>,
    /// Standard deviation of the gain over neurons.
    pub n_std: Option<f64>,
    /// Mean saturation over neurons.
    pub s_mean: Option<f64>,
    /// Standard deviation of the saturation over neurons.
    pub s_std: Option<f64>,
    /// Gains that the guard replaced because they were too close to zero (science: gain policy).
    pub gain_guard_hits: u64,
    /// Negative gains.
    pub negative_gains: u64,
    /// Wall-clock seconds of the epoch, over all attempts; the only column that differs when a
    /// trial is repeated.
    pub wall_s: f64,
}
