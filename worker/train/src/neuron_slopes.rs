//! Derivatives of what neurons emit, whatever their curve.

use rheo_kernels::GainSaturation;
use tch::Tensor;

/// Derivatives of what neurons emit, each [B, H] or broadcasting to it.
#[derive(Debug)]
pub struct NeuronSlopes {
    /// By what they receive, at constant gain and saturation.
    pub x: Tensor,
    /// By gain and by saturation, of neurons that have them.
    pub shape: Option<GainSaturation<Tensor>>,
}
