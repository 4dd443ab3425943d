//! Rows of gain and saturation: `shapes`, `activation_curves`, `slope_contours`, and of their
//! changes in adaptive networks: `shape_traces`, `shape_steps`, `gain_scaling`, `gain_fits`.

use serde::{Deserialize, Serialize};

use super::Variant;

/// One row of `shapes`: the curve of one neuron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeRow {
    /// Epoch after which the curve was measured; -1 for the untrained network.
    pub epoch: i32,
    /// Phase of the trial: `trained`, or `before` and `after` a second training.
    pub phase: String,
    /// Neuron, from 0.
    pub neuron: u32,
    /// Gain; for adaptive networks its mean over time on unperturbed test data.
    pub n: f64,
    /// Saturation; for adaptive networks its mean over time on unperturbed test data.
    pub s: f64,
    /// Gain of the untrained network.
    pub n_init: f64,
    /// Saturation of the untrained network.
    pub s_init: f64,
}

/// One row of `activation_curves`: a point of gamma(x; n, s) (science 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivationCurveRow {
    /// Epoch after which the curve was measured; -1 for the untrained network.
    pub epoch: i32,
    /// Formulas in use.
    pub variant: Variant,
    /// Gain of the curve.
    pub n: f64,
    /// Saturation of the curve.
    pub s: f64,
    /// Input.
    pub x: f64,
    /// gamma(x; n, s).
    pub value: f64,
    /// Slope d gamma / d x.
    pub slope: f64,
}

/// One row of `slope_contours`: the slope of gamma at one point of the (n, s) plane (science 7.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlopeContourRow {
    /// Epoch of the analysis; the slope itself does not depend on it.
    pub epoch: i32,
    /// Formulas in use; the released code adds 0.013 to the slope.
    pub variant: Variant,
    /// Input at which the slope is taken.
    pub xi: f64,
    /// Gain.
    pub n: f64,
    /// Saturation.
    pub s: f64,
    /// Slope d gamma / d x at `xi`.
    pub slope: f64,
}

/// One row of `shape_traces`: gain and saturation at one step of a driven run (science 7.6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeTraceRow {
    /// Epoch after which the network was driven.
    pub epoch: i32,
    /// Formulas in use.
    pub variant: Variant,
    /// Drive: `step_drive`.
    pub drive: String,
    /// Strength of the drive.
    pub xi: f64,
    /// Step, from 0.
    pub t: u32,
    /// Mean gain over sequences and neurons.
    pub n_mean: f64,
    /// Standard deviation of the gain over sequences and neurons.
    pub n_std: f64,
    /// Mean saturation over sequences and neurons.
    pub s_mean: f64,
    /// Standard deviation of the saturation over sequences and neurons.
    pub s_std: f64,
}

/// One row of `shape_steps`: response of the mean gain and saturation to a step of one strength
/// (science 7.6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeStepRow {
    /// Epoch after which the network was driven.
    pub epoch: i32,
    /// Window of the steady values.
    pub variant: Variant,
    /// Strength of the drive.
    pub xi: f64,
    /// Mean gain before the drive.
    pub n_pre: f64,
    /// Mean gain at the first driven step.
    pub n_onset: f64,
    /// Mean gain after settling.
    pub n_steady: f64,
    /// Steps after the onset until 1/e of the distance to `n_steady` remains; NaN if that never
    /// happens.
    pub n_tau: f64,
    /// Mean saturation before the drive.
    pub s_pre: f64,
    /// Mean saturation at the first driven step.
    pub s_onset: f64,
    /// Mean saturation after settling.
    pub s_steady: f64,
    /// Steps after the onset until 1/e of the distance to `s_steady` remains; NaN if that never
    /// happens.
    pub s_tau: f64,
}

/// One row of `gain_scaling`: gain and saturation under noise of one strength (science 7.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GainScalingRow {
    /// Epoch after which the network was driven.
    pub epoch: i32,
    /// Formulas in use.
    pub variant: Variant,
    /// Standard deviation of the noise.
    pub xi: f64,
    /// Mean gain over sequences, neurons and the steps of the window.
    pub n_mean: f64,
    /// Mean saturation over sequences, neurons and the steps of the window.
    pub s_mean: f64,
}

/// One row of `gain_fits`: a curve fitted to the rows of `gain_scaling` (science 7.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GainFitRow {
    /// Epoch after which the network was driven.
    pub epoch: i32,
    /// Method of the fit.
    pub variant: Variant,
    /// Fitted quantity: `n` or `s`.
    pub quantity: String,
    /// Form of the curve: `power` is a xi^-b + c, `exponential` is a exp(-b xi) + c.
    pub form: String,
    /// Factor a.
    pub a: f64,
    /// Exponent or rate b.
    pub b: f64,
    /// Constant c.
    pub c: f64,
    /// Root of the mean squared residual.
    pub rmse: f64,
    /// Fraction of the variance that the curve explains.
    pub r2: f64,
    /// Number of seeds that the fitted values are averaged over.
    pub pooled_seeds: u32,
}
