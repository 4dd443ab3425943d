//! Rows of the dynamical-systems analyses: `lyapunov` (science 7.1), `jacobian` (7.2), `gradients`
//! (7.3), `eigenvalues` (7.4), `controller_pca` (7.8).

use serde::{Deserialize, Serialize};

use super::Variant;

/// One row of `lyapunov`: one exponent of a spectrum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LyapunovRow {
    /// Epoch after which the network was linearised.
    pub epoch: i32,
    /// Formulas in use.
    pub variant: Variant,
    /// `autonomous`, `driven` or `frozen`.
    pub mode: String,
    /// Linearised variables: `h`, or `joint` for neurons and controllers together.
    pub system: String,
    /// Source of gain and saturation: `own`, or for `frozen` `adaptive` (those at `at_step`) or
    /// `fixed` (those before the drive).
    pub shape_source: String,
    /// Strength of the drive.
    pub xi: f64,
    /// Step whose gains and saturations are frozen, for `frozen`.
    pub at_step: Option<i32>,
    /// First counted step.
    pub window_start: u32,
    /// Step after the last counted one.
    pub window_end: u32,
    /// Index of the exponent, from 0 for the largest.
    pub index: u32,
    /// Exponent in nats per step.
    pub nats: f64,
    /// Exponent in bits per step.
    pub bits: f64,
    /// Standard deviation over sequences, in nats per step.
    pub std_nats: f64,
    /// Number of sequences averaged over.
    pub sequences: u32,
    /// Number of steps averaged over.
    pub steps: u32,
    /// NaN steps that were left out; only the released formulas do so.
    pub skipped_nan: u64,
}

/// One row of `jacobian`: norms of dh_t / dh_(t-1), at a point of the (n, s) grid or of the trained
/// network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JacobianRow {
    /// Epoch after which the network was linearised; -1 for the untrained network.
    pub epoch: i32,
    /// Formulas in use.
    pub variant: Variant,
    /// Gain of the grid point; none for the network's own.
    pub n: Option<f64>,
    /// Saturation of the grid point; none for the network's own.
    pub s: Option<f64>,
    /// Path: `direct` at fixed gain and saturation, `total` also through the controller.
    pub path: String,
    /// Largest singular value.
    pub norm_spectral: f64,
    /// Largest absolute row sum.
    pub norm_inf: f64,
    /// Norm of the released code, max_j |sum_i q_i w_hh\[i\]\[j\]|; none for `total`.
    pub norm_released: Option<f64>,
    /// Number of test sequences averaged over.
    pub samples: u32,
}

/// One row of `gradients`: the norm of a gradient at one step or for one length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GradientRow {
    /// Epoch after which the norm was measured; -1 for the untrained network.
    pub epoch: i32,
    /// Formulas in use.
    pub variant: Variant,
    /// Variable of the gradient: `hidden`, `controller` or `w_hh`.
    pub kind: String,
    /// Step, from 0; for `w_hh` the number of steps of the sequences.
    pub t: u32,
    /// Norm: mean over samples, for `w_hh` over batches.
    pub norm: f64,
    /// Standard deviation of the norm over samples or batches.
    pub norm_std: f64,
}

/// One row of `eigenvalues`: an eigenvalue of the recurrent matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EigenvalueRow {
    /// Epoch of the matrix; -1 for the untrained network.
    pub epoch: i32,
    /// Draw of the matrix, for the untrained network.
    pub variant: Variant,
    /// `init` or `trained`.
    pub stage: String,
    /// Index of the eigenvalue, from 0.
    pub index: u32,
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
    /// Largest absolute value of all eigenvalues of the matrix; the same in each of its rows.
    pub spectral_radius: f64,
    /// Frobenius norm of w^T w - I over sqrt(H), 0 for an orthogonal matrix; the same in each row
    /// of a matrix.
    pub orthogonality: f64,
}

/// One row of `controller_pca`: the state of a controller at one step, projected on the first two
/// principal components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControllerPcaRow {
    /// Epoch after which the controller was driven.
    pub epoch: i32,
    /// Formulas in use.
    pub variant: Variant,
    /// Constant input a from step 201 on.
    pub input: f64,
    /// Step, from 0.
    pub t: u32,
    /// First component.
    pub pc1: f64,
    /// Second component.
    pub pc2: f64,
    /// Fraction of the variance along the first component; the same in each row of an analysis.
    pub explained1: f64,
    /// Fraction of the variance along the second component; the same in each row of an analysis.
    pub explained2: f64,
}
