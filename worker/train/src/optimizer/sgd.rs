//! Gradient descent with momentum as PyTorch defines it: v = momentum v + g, w = w - lr v, without
//! dampening. Sutskever et al. (2013) put the learning rate inside v; both agree at a constant
//! rate.

use rheo_model::config;
use tch::{Result, Tensor};

use super::ParameterChange;

/// The running sum of the gradients of one parameter; none without momentum.
pub(super) struct Momentum(Option<Tensor>);

impl Momentum {
    pub(super) fn new(config: &config::Optimizer, parameter: &Tensor) -> Result<Self> {
        Ok(Self((config.momentum > 0.0).then(|| parameter.f_zeros_like()).transpose()?))
    }

    pub(super) fn update(
        &mut self,
        config: &config::Optimizer,
        change: &ParameterChange<'_>,
    ) -> Result<()> {
        let direction = match &mut self.0 {
            None => change.gradient.shallow_clone(),
            Some(sum) => sum.f_mul_scalar_(config.momentum)?.f_add_(&change.gradient)?,
        };
        let step = direction.f_mul_scalar(change.rate)?;
        let _ = change.parameter.shallow_clone().f_sub_(&step)?;
        Ok(())
    }

    pub(super) fn slots(&self) -> Vec<(&'static str, &Tensor)> {
        self.0.iter().map(|sum| ("sgd.momentum", sum)).collect()
    }
}
