//! Rows about gain and saturation: `shapes`, `activation_curves`, `slope_contours`, and how an
//! adaptive network moves them: `shape_traces`, `shape_steps`, `gain_scaling`, `gain_fits`.

use serde::{Deserialize, Serialize};

use super::Variant;

/// One row of `shapes`: the curve of one neuron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeRow {
    /// The epoch after which it was read, -1 for the untrained network.
    pub epoch: i32,
    /// `trained`, or `before` and `after` a re-adaptation.
    pub phase: String,
    /// The neuron, from 0.
    pub neuron: u32,
    /// Gain; for adaptive networks its mean over time on unperturbed test data.
    pub n: f64,
    /// Saturation, likewise.
    pub s: f64,
    /// Gain of the untrained network.
    pub n_init: f64,
    /// Saturation of the untrained network.
    pub s_init: f64,
}

/// One row of `activation_curves`: a point of gamma(x; n, s) (science 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivationCurveRow {
    /// The epoch after which the curve was read, -1 for the untrained network.
    pub epoch: i32,
    /// Whose formulas.
    pub variant: Variant,
    /// Gain of the curve.
    pub n: f64,
    /// Saturation of the curve.
    pub s: f64,
    /// Input.
    pub x: f64,
    /// gamma(x; n, s).
    pub value: f64,
    /// d gamma / d x.
    pub slope: f64,
}

/// One row of `slope_contours`: the slope of gamma at one point of the (n, s) plane (science 7.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlopeContourRow {
    /// The epoch of the analysis; the slope itself is the same at all of them.
    pub epoch: i32,
    /// Whose formulas; the released code adds 0.013 to the slope.
    pub variant: Variant,
    /// Input at which the slope is taken.
    pub xi: f64,
    /// Gain.
    pub n: f64,
    /// Saturation.
    pub s: f64,
    /// d gamma / d x at `xi`.
    pub slope: f64,
}

/// One row of `shape_traces`: gain and saturation at one step of a driven run (science 7.6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeTraceRow {
    /// The epoch after which the network was driven.
    pub epoch: i32,
    /// Whose formulas.
    pub variant: Variant,
    /// The drive: `step_drive`.
    pub drive: String,
    /// Its strength.
    pub xi: f64,
    /// The step, from 0.
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

/// One row of `shape_steps`: how the mean gain and saturation answer a step of one strength
/// (science 7.6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeStepRow {
    /// The epoch after which the network was driven.
    pub epoch: i32,
    /// Which window the steady values are the mean of.
    pub variant: Variant,
    /// Strength of the drive.
    pub xi: f64,
    /// Mean gain before the drive.
    pub n_pre: f64,
    /// Mean gain at the first driven step.
    pub n_onset: f64,
    /// Mean gain once it has settled.
    pub n_steady: f64,
    /// Steps after the onset until 1/e of the way to `n_steady` is left; NaN if that never comes.
    pub n_tau: f64,
    /// Mean saturation before the drive.
    pub s_pre: f64,
    /// Mean saturation at the first driven step.
    pub s_onset: f64,
    /// Mean saturation once it has settled.
    pub s_steady: f64,
    /// Steps after the onset until 1/e of the way to `s_steady` is left; NaN if that never comes.
    pub s_tau: f64,
}

/// One row of `gain_scaling`: gain and saturation under noise of one strength (science 7.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GainScalingRow {
    /// The epoch after which the network was driven.
    pub epoch: i32,
    /// Whose formulas.
    pub variant: Variant,
    /// Standard deviation of the noise.
    pub xi: f64,
    /// Mean gain over sequences, neurons and the steps of the window.
    pub n_mean: f64,
    /// Mean saturation over the same.
    pub s_mean: f64,
}

/// One row of `gain_fits`: the curve through the rows of `gain_scaling` (science 7.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GainFitRow {
    /// The epoch after which the network was driven.
    pub epoch: i32,
    /// How the minimum was sought.
    pub variant: Variant,
    /// What is fitted: `n` or `s`.
    pub quantity: String,
    /// `power`: a xi^-b + c; `exponential`: a exp(-b xi) + c.
    pub form: String,
    /// The factor a.
    pub a: f64,
    /// The exponent or rate b.
    pub b: f64,
    /// The constant c.
    pub c: f64,
    /// Root of the mean squared residual.
    pub rmse: f64,
    /// Share of the variance that the curve explains.
    pub r2: f64,
    /// How many seeds the fitted values are the mean of.
    pub pooled_seeds: u32,
}
