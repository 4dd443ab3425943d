//! Rows about the network as a dynamical system: `lyapunov` (science 7.1), `jacobian` (7.2),
//! `gradients` (7.3), `eigenvalues` (7.4), `controller_pca` (7.8).

use serde::{Deserialize, Serialize};

use super::Variant;

/// One row of `lyapunov`: one exponent of a spectrum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LyapunovRow {
    /// The epoch after which the network was linearised.
    pub epoch: i32,
    /// Whose formulas.
    pub variant: Variant,
    /// `autonomous`, `driven` or `frozen`.
    pub mode: String,
    /// What is linearised: `h`, or `joint` for neurons and controllers together.
    pub system: String,
    /// Where gain and saturation come from: `own`, or for `frozen` those at `at_step`,
    /// `adaptive`, or those before the drive, `fixed`.
    pub shape_source: String,
    /// Strength of the drive.
    pub xi: f64,
    /// The step whose gains and saturations are kept, for `frozen`.
    pub at_step: Option<i32>,
    /// First step that counts.
    pub window_start: u32,
    /// First step that no longer counts.
    pub window_end: u32,
    /// Which exponent, from 0 for the largest.
    pub index: u32,
    /// The exponent in nats per step.
    pub nats: f64,
    /// The exponent in bits per step.
    pub bits: f64,
    /// Standard deviation over sequences, in nats per step.
    pub std_nats: f64,
    /// How many sequences it is the mean of.
    pub sequences: u32,
    /// How many steps it is the mean of.
    pub steps: u32,
    /// Steps that were left out because they were NaN; only the released formulas do so.
    pub skipped_nan: u64,
}

/// One row of `jacobian`: norms of dh_t / dh_(t-1), at a point of the (n, s) grid or of the network
/// as it was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JacobianRow {
    /// The epoch after which the network was linearised, -1 for the untrained network.
    pub epoch: i32,
    /// Whose formulas.
    pub variant: Variant,
    /// Gain of the grid point; none for the network's own.
    pub n: Option<f64>,
    /// Saturation of the grid point; none for the network's own.
    pub s: Option<f64>,
    /// `direct`: at fixed gain and saturation; `total`: also through the controller.
    pub path: String,
    /// Largest singular value.
    pub norm_spectral: f64,
    /// Largest sum of absolute values of a row.
    pub norm_inf: f64,
    /// What the released code calls the norm, max_j |sum_i q_i w_hh\[i\]\[j\]|; none for `total`.
    pub norm_released: Option<f64>,
    /// How many test sequences the norms are the mean of.
    pub samples: u32,
}

/// One row of `gradients`: the norm of a gradient at one step or for one length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GradientRow {
    /// The epoch after which it was measured, -1 for the untrained network.
    pub epoch: i32,
    /// Whose formulas.
    pub variant: Variant,
    /// With respect to what: `hidden`, `controller` or `w_hh`.
    pub kind: String,
    /// The step, from 0; for `w_hh` the number of steps of the sequences.
    pub t: u32,
    /// The norm: mean over samples, for `w_hh` over batches.
    pub norm: f64,
    /// Its standard deviation over the same.
    pub norm_std: f64,
}

/// One row of `eigenvalues`: an eigenvalue of the recurrent matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EigenvalueRow {
    /// The epoch of the matrix, -1 for the untrained network.
    pub epoch: i32,
    /// Whose draw, for the untrained network.
    pub variant: Variant,
    /// `init` or `trained`.
    pub stage: String,
    /// Which eigenvalue, from 0.
    pub index: u32,
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
    /// Largest absolute value of all eigenvalues of the matrix; the same in each of its rows.
    pub spectral_radius: f64,
    /// Frobenius norm of w^T w - I over sqrt(H), 0 for an orthogonal matrix; likewise.
    pub orthogonality: f64,
}

/// One row of `controller_pca`: where a controller is at one step, in the plane of the first two
/// principal components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControllerPcaRow {
    /// The epoch after which the controller was driven.
    pub epoch: i32,
    /// Whose formulas.
    pub variant: Variant,
    /// The constant input a from step 201 on.
    pub input: f64,
    /// The step, from 0.
    pub t: u32,
    /// First component.
    pub pc1: f64,
    /// Second component.
    pub pc2: f64,
    /// Share of the variance along the first component; the same in each row of an analysis.
    pub explained1: f64,
    /// Share of the variance along the second component; likewise.
    pub explained2: f64,
}
