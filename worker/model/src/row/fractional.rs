//! Rows of single neurons' responses to a drive: `fractional_traces`, `fractional_fits` (science
//! 7.7) and `adaptation` (science 7.11).

use serde::{Deserialize, Serialize};

use super::Variant;

/// One row of `fractional_traces`: the mean response at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FractionalTraceRow {
    /// Epoch after which the network was driven.
    pub epoch: i32,
    /// Formulas in use.
    pub variant: Variant,
    /// Duration of the drive: `short` or `long`.
    pub protocol: String,
    /// Connectivity: `isolated` neurons or `interacting` ones.
    pub connectivity: String,
    /// Group of neurons: `all`, `alpha_le_0` (alpha at most zero) or `alpha_gt_0` (alpha above
    /// zero).
    pub group: String,
    /// Number of neurons in the group.
    pub group_size: u32,
    /// Strength of the drive.
    pub xi: f64,
    /// Step, from 0.
    pub t: u32,
    /// Drive at this step: `xi` or 0.
    pub drive: f64,
    /// Mean of h over the repetitions and the neurons of the group.
    pub h_mean: f64,
    /// Fractional derivative of order alpha of `h_mean`.
    pub dalpha_h: f64,
}

/// One row of `fractional_fits`: the order of one response, or of several together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FractionalFitRow {
    /// Epoch after which the network was driven.
    pub epoch: i32,
    /// Fit: order, gain and offset together, or the released search for alpha only.
    pub variant: Variant,
    /// Duration of the drive: `short` or `long`.
    pub protocol: String,
    /// Connectivity: `isolated` neurons or `interacting` ones.
    pub connectivity: String,
    /// Scope of the fit: `all_xi`, `per_xi` or `per_neuron`.
    pub scope: String,
    /// Neuron, for `per_neuron`.
    pub neuron: Option<u32>,
    /// Strength of the drive, unless all are fitted together.
    pub xi: Option<f64>,
    /// Order beta of the response: positive if it differentiates the drive, negative if it
    /// integrates. NaN if no order explains half of the variance.
    pub order: f64,
    /// Order with the sign of the released code: positive for integration.
    pub alpha: f64,
    /// Factor k of the fit.
    pub gain: f64,
    /// Constant c of the fit; the mean if each strength has its own.
    pub offset: f64,
    /// Mean squared residual in the window.
    pub error: f64,
    /// Fraction of the variance in the window that the fit explains.
    pub r2: f64,
}

/// One row of `adaptation`: how much of one neuron's response fades.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdaptationRow {
    /// Epoch after which the network was driven.
    pub epoch: i32,
    /// Windows and normalisation in use.
    pub variant: Variant,
    /// Connectivity: `isolated` neurons or `interacting` ones.
    pub connectivity: String,
    /// Neuron, from 0.
    pub neuron: u32,
    /// Strength of the drive.
    pub xi: f64,
    /// Subset of the steps: `all`, `even` or `odd`.
    pub subset: String,
    /// (early - late) / (|early| + |late|) of the response; positive if it adapts.
    pub index: f64,
}
