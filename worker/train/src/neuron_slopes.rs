//! Derivatives of the neurons' output.

use rheo_kernels::GainSaturation;
use tch::Tensor;

/// Derivatives of the neurons' output, each [B, H] or broadcasting to it.
#[derive(Debug)]
pub struct NeuronSlopes {
    /// With respect to the weighted sum, at constant gain and saturation.
    pub x: Tensor,
    /// With respect to gain and saturation, if the neurons have any.
    pub shape: Option<GainSaturation<Tensor>>,
}
