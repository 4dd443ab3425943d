//! RMSprop (Tieleman and Hinton 2012, lecture 6.5) as PyTorch defines it: not centred, epsilon
//! outside the root, learning rate outside the momentum.

use rheo_model::config;
use tch::{Result, Tensor};

use super::ParameterChange;

/// Averages of one parameter.
pub(super) struct RmspropAverages {
    /// Running mean of the squared gradient.
    square: Tensor,
    /// Running sum of the scaled gradients; none without momentum.
    momentum: Option<Tensor>,
}

impl RmspropAverages {
    pub(super) fn new(config: &config::Optimizer, parameter: &Tensor) -> Result<Self> {
        let momentum = (config.momentum > 0.0).then(|| parameter.f_zeros_like()).transpose()?;
        Ok(Self { square: parameter.f_zeros_like()?, momentum })
    }

    pub(super) fn update(
        &mut self,
        config: &config::Optimizer,
        change: &ParameterChange<'_>,
    ) -> Result<()> {
        let _ = self.square.f_lerp_(&change.gradient.f_square()?, 1.0 - config.beta2)?;
        let spread = self.square.f_sqrt()?.f_add_scalar_(config.epsilon)?;
        let scaled = change.gradient.f_div(&spread)?;
        let direction = match &mut self.momentum {
            None => scaled,
            Some(sum) => sum.f_mul_scalar_(config.momentum)?.f_add_(&scaled)?,
        };
        let step = direction.f_mul_scalar(change.rate)?;
        let _ = change.parameter.shallow_clone().f_sub_(&step)?;
        Ok(())
    }

    pub(super) fn slots(&self) -> Vec<(&'static str, &Tensor)> {
        let momentum = self.momentum.iter().map(|sum| ("rmsprop.momentum", sum));
        [("rmsprop.square", &self.square)].into_iter().chain(momentum).collect()
    }
}
