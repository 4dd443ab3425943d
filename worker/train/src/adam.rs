//! Adam (Kingma and Ba 2015, algorithm 1), without weight decay, on plain tensors: its whole state
//! is in the checkpoint.

use rheo_core::config::Optimizer;
use tch::{Result, Tensor, no_grad_guard};

/// The optimizer of one network.
pub struct Adam {
    config: Optimizer,
    /// How many updates were made.
    step: u64,
    moments: Vec<Moments>,
}

/// The running means of one parameter.
struct Moments {
    /// Of the gradient.
    mean: Tensor,
    /// Of the squared gradient.
    square: Tensor,
}

impl Adam {
    /// An optimizer of `parameters` that has made no update yet.
    pub fn new(config: &Optimizer, parameters: &[&Tensor]) -> Result<Self> {
        let _guard = no_grad_guard();
        let zeros = |parameter: &&Tensor| -> Result<Moments> {
            Ok(Moments { mean: parameter.f_zeros_like()?, square: parameter.f_zeros_like()? })
        };
        let moments = parameters.iter().map(zeros).collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), step: 0, moments })
    }

    /// Changes `parameters`, in place, against their `gradients`. Both are in the order in which
    /// the parameters were given to [`Adam::new`].
    pub fn update(&mut self, parameters: &[&Tensor], gradients: &[Tensor]) -> Result<()> {
        let _guard = no_grad_guard();
        self.step += 1;
        let Optimizer { lr, beta1, beta2, epsilon, .. } = self.config;
        let power = self.step as f64;
        let rate = lr / (1.0 - beta1.powf(power));
        let bias = (1.0 - beta2.powf(power)).sqrt();
        for ((parameter, gradient), moments) in
            parameters.iter().zip(gradients).zip(&mut self.moments)
        {
            let _ = moments.mean.f_lerp_(gradient, 1.0 - beta1)?;
            let _ = moments.square.f_lerp_(&gradient.f_square()?, 1.0 - beta2)?;
            let mut spread = moments.square.f_sqrt()?.f_div_scalar_(bias)?;
            let spread = spread.f_add_scalar_(epsilon)?;
            let change = moments.mean.f_div(&spread)?.f_mul_scalar_(rate)?;
            let _ = parameter.shallow_clone().f_sub_(&change)?;
        }
        Ok(())
    }

    /// The number of updates made so far.
    pub(crate) fn step(&self) -> u64 {
        self.step
    }

    /// Goes on after `step` updates; the moments are filled in through [`Adam::moments`].
    pub(crate) fn resume_at(&mut self, step: u64) {
        self.step = step;
    }

    /// The running means of the gradient and of its square, per parameter.
    pub(crate) fn moments(&self) -> impl Iterator<Item = (&Tensor, &Tensor)> {
        self.moments.iter().map(|moments| (&moments.mean, &moments.square))
    }
}
