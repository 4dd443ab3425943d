//! Rows about the response of single neurons to a drive: `fractional_traces`, `fractional_fits`
//! (science 7.7) and `adaptation` (science 7.11).

use serde::{Deserialize, Serialize};

use super::Variant;

/// One row of `fractional_traces`: the mean response at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FractionalTraceRow {
    /// The epoch after which the network was driven.
    pub epoch: i32,
    /// Whose formulas.
    pub variant: Variant,
    /// How long the drive lasts: `short` or `long`.
    pub protocol: String,
    /// `isolated`: the neurons do not hear each other; `interacting`: they do.
    pub connectivity: String,
    /// The neurons: `all`, or those whose alpha is at most or above zero, `alpha_le_0` and
    /// `alpha_gt_0`.
    pub group: String,
    /// How many neurons are in the group.
    pub group_size: u32,
    /// Strength of the drive.
    pub xi: f64,
    /// The step, from 0.
    pub t: u32,
    /// The drive at this step: `xi` or 0.
    pub drive: f64,
    /// Mean of h over the repetitions and the neurons of the group.
    pub h_mean: f64,
    /// The fractional derivative of order alpha of `h_mean`.
    pub dalpha_h: f64,
}

/// One row of `fractional_fits`: the order of one response, or of several together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FractionalFitRow {
    /// The epoch after which the network was driven.
    pub epoch: i32,
    /// Which fit: order, gain and offset together, or the released search for alpha alone.
    pub variant: Variant,
    /// How long the drive lasts: `short` or `long`.
    pub protocol: String,
    /// `isolated`: the neurons do not hear each other; `interacting`: they do.
    pub connectivity: String,
    /// What is fitted: `all_xi`, `per_xi` or `per_neuron`.
    pub scope: String,
    /// The neuron, for `per_neuron`.
    pub neuron: Option<u32>,
    /// Strength of the drive, unless all are fitted together.
    pub xi: Option<f64>,
    /// Order beta of the response; above 0 it differentiates the drive, below it integrates. NaN
    /// where no order explains half of the variance.
    pub order: f64,
    /// The same with the sign of the released code: above 0 for integration.
    pub alpha: f64,
    /// Factor k of the fit.
    pub gain: f64,
    /// Constant c of the fit; its mean where each strength has its own.
    pub offset: f64,
    /// Mean squared residual in the window.
    pub error: f64,
    /// Share of the variance in the window that the fit explains.
    pub r2: f64,
}

/// One row of `adaptation`: how much of the response of one neuron fades.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdaptationRow {
    /// The epoch after which the network was driven.
    pub epoch: i32,
    /// Which windows and normalisation.
    pub variant: Variant,
    /// `isolated`: the neurons do not hear each other; `interacting`: they do.
    pub connectivity: String,
    /// The neuron, from 0.
    pub neuron: u32,
    /// Strength of the drive.
    pub xi: f64,
    /// The steps that count: `all`, `even` or `odd`.
    pub subset: String,
    /// (early - late) / (|early| + |late|) of the response; above 0 it adapts.
    pub index: f64,
}
