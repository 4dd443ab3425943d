//! Adam (Kingma and Ba 2015, algorithm 1). AdamW differs only in its weight decay, which is applied
//! by the caller.

use rheo_model::config;
use tch::{Result, Tensor};

use super::ParameterChange;

/// Running means of one parameter.
pub(super) struct AdamMoments {
    /// Running mean of the gradient.
    mean: Tensor,
    /// Running mean of the squared gradient.
    square: Tensor,
}

impl AdamMoments {
    pub(super) fn new(parameter: &Tensor) -> Result<Self> {
        Ok(Self { mean: parameter.f_zeros_like()?, square: parameter.f_zeros_like()? })
    }

    pub(super) fn update(
        &mut self,
        config: &config::Optimizer,
        change: &ParameterChange<'_>,
    ) -> Result<()> {
        let config::Optimizer { beta1, beta2, epsilon, .. } = *config;
        let power = change.number as f64;
        let rate = change.rate / (1.0 - beta1.powf(power));
        let bias = (1.0 - beta2.powf(power)).sqrt();
        let _ = self.mean.f_lerp_(&change.gradient, 1.0 - beta1)?;
        let _ = self.square.f_lerp_(&change.gradient.f_square()?, 1.0 - beta2)?;
        let mut spread = self.square.f_sqrt()?.f_div_scalar_(bias)?;
        let spread = spread.f_add_scalar_(epsilon)?;
        let step = self.mean.f_div(&spread)?.f_mul_scalar_(rate)?;
        let _ = change.parameter.shallow_clone().f_sub_(&step)?;
        Ok(())
    }

    pub(super) fn slots(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("adam.mean", &self.mean), ("adam.square", &self.square)]
    }
}
