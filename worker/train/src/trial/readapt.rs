//! The second training of a trial: on rotated images, with a new optimizer, by default of gain and
//! saturation only (science reference, section 6).

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{self, GroupOptions, Readaptation};

use super::{Trial, evaluate};
use crate::Error;
use crate::evaluation::{NoiseSource, Perturbation, perturb};
use crate::optimizer::Optimizer;
use crate::step::{Batch, LearnedParameters, UpdateRecipe};

impl Trial<'_> {
    /// Returns the second training, if it has begun.
    fn second(&self) -> Option<&Readaptation> {
        let first = i64::from(self.config.training.epochs);
        let second = self.config.training.readapt.as_ref();
        second.filter(|_| i64::from(self.state.epoch) >= first)
    }

    /// Whether the current epoch is the first of the second training.
    pub(super) fn begins_again(&self) -> bool {
        let first = i64::from(self.config.training.epochs);
        self.second().is_some() && i64::from(self.state.epoch) == first
    }

    /// Whether the second training is in progress.
    pub(super) fn is_second(&self) -> bool {
        self.second().is_some()
    }

    /// Returns the phase of the weights in the current epoch: `before` and `after` the second
    /// training, else `trained`.
    pub(super) fn phase(&self) -> &'static str {
        match &self.config.training.readapt {
            Some(_) if self.is_turn() => "before",
            Some(_) if self.is_last() => "after",
            _ => "trained",
        }
    }

    /// Whether the second training begins after the current epoch.
    pub(super) fn is_turn(&self) -> bool {
        let next = i64::from(self.state.epoch) + 1;
        self.config.training.readapt.is_some() && next == i64::from(self.config.training.epochs)
    }

    /// Returns the optimizer of the second training.
    pub(super) fn second_optimizer(&self) -> Result<Optimizer, Error> {
        let first = &self.config.training.optimizer;
        let lr = self.second().map_or(first.lr, |second| second.lr);
        let own = |group: &GroupOptions| GroupOptions { lr: None, ..group.clone() };
        let config = config::Optimizer {
            lr,
            controller: own(&first.controller),
            shape: own(&first.shape),
            readout: own(&first.readout),
            ..first.clone()
        };
        Ok(Optimizer::new(&config, &self.network.parameters())?)
    }

    /// Returns the update recipe of the second training, while it is in progress.
    pub(super) fn second_recipe(&self) -> Option<UpdateRecipe> {
        let second = self.second()?;
        let learned = LearnedParameters { shape: true, others: !second.only_shape };
        Some(UpdateRecipe { learned, factor: 1.0, clip_norm: self.config.training.clip_norm })
    }

    /// Returns the learning rate of the second training, while it is in progress.
    pub(super) fn second_rate(&self) -> Option<f64> {
        self.second().map(|second| second.lr)
    }

    /// Rotates the images of a batch for the second training.
    pub(super) fn turn(&self, batch: &mut Batch) -> Result<(), Error> {
        let Some(second) = self.second() else { return Ok(()) };
        let turned = [Perturbation::Rotation { level: second.rotation }];
        let data = evaluate::data(&self.task, &self.network, self.mean);
        // A rotation draws no numbers.
        let mut rng = TrialRng::new(0, Purpose::Noise);
        let perturbed = perturb(&turned, &batch.inputs, &data, &mut NoiseSource::Stream(&mut rng))?;
        batch.inputs = perturbed.inputs;
        Ok(())
    }
}
