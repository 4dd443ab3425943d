//! Update settings at the current position of a trial: the learning rate, the parameters that
//! learn, and early stopping.

use super::Trial;
use crate::step::{LearnedParameters, UpdateRecipe};

impl Trial<'_> {
    /// Returns the settings of the next update.
    pub(super) fn recipe(&self) -> UpdateRecipe {
        if let Some(second) = self.second_recipe() {
            return second;
        }
        let training = &self.config.training;
        UpdateRecipe {
            learned: LearnedParameters {
                shape: self.epoch() >= training.learn_shape_from,
                others: !training.only_shape,
            },
            factor: self.factor(self.state.batch),
            clip_norm: training.clip_norm,
        }
    }

    /// Returns the learning rate of the last update of the current epoch.
    pub(super) fn last_rate(&self) -> f64 {
        if let Some(lr) = self.second_rate() {
            return lr;
        }
        let last = u32::try_from(self.task.updates()).unwrap_or(u32::MAX).saturating_sub(1);
        self.config.training.optimizer.lr * self.factor(last)
    }

    /// Passes the loss of a complete validation to the schedule and to early stopping.
    pub(super) fn hear_validation_loss(&mut self) {
        if self.is_second() {
            return;
        }
        let loss = self.state.pass.loss();
        self.state.schedule.report(&self.config.training.schedule, loss);
        self.state.early_stop.report(loss);
    }

    /// Whether early stopping ends training after the current epoch.
    pub(super) fn is_stopped_early(&self) -> bool {
        self.state.early_stop.is_over(self.config.training.early_stop)
    }

    /// Whether the current epoch is the last.
    pub(super) fn is_last(&self) -> bool {
        let next = i64::from(self.state.epoch) + 1;
        next >= i64::from(self.config.epochs()) || self.is_stopped_early()
    }

    /// Returns the schedule's factor in an update of the current epoch.
    fn factor(&self, batch: u32) -> f64 {
        let (training, per_epoch) = (&self.config.training, self.task.updates());
        let update = u64::from(self.epoch()) * per_epoch + u64::from(batch);
        let updates = u64::from(training.epochs) * per_epoch;
        self.state.schedule.factor(&training.schedule, update, updates, self.epoch())
    }

    fn epoch(&self) -> u32 {
        u32::try_from(self.state.epoch).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use rheo_core::progress::Progress;
    use rheo_model::config::{Network, NetworkKind, Task, TrialConfig};
    use rheo_model::trainer::{Commit, NextAction, Session};
    use tch::{Kind, Tensor, no_grad};

    use super::*;
    use crate::task::SampleLibrary;
    use crate::trial::StepOutcome;

    struct SilentSession;

    impl Session for SilentSession {
        fn next(&mut self) -> NextAction {
            NextAction::Continue
        }

        fn progress(&mut self, _: Progress) {}

        fn commit(&mut self, _: Commit) {}

        fn elapsed(&self) -> f64 {
            0.0
        }
    }

    fn sign(class: u32) -> f32 {
        if class.is_multiple_of(2) { 1.0 } else { -1.0 }
    }

    /// Sets readout weights so large that small states hide them from the loss: its gradient,
    /// summed over the steps, exceeds single precision.
    fn overflow(trial: &Trial<'_>) {
        for parameter in trial.network.parameters() {
            let mut tensor = parameter.tensor.shallow_clone();
            let value = match parameter.name {
                "w_hh" => Tensor::eye(3, (Kind::Float, tch::Device::Cpu)),
                "b_xh" => tensor.full_like(1e-38),
                "w_out" => {
                    let signs: Vec<f32> = (0..30).map(|place| sign(place / 3)).collect();
                    Tensor::from_slice(&signs).view([10, 3]) * 1e38
                }
                _ => tensor.zeros_like(),
            };
            no_grad(|| tensor.copy_(&value));
        }
    }

    fn values(trial: &Trial<'_>) -> Vec<Tensor> {
        let parameters = trial.network.parameters().into_iter();
        parameters.map(|parameter| parameter.tensor.detach().copy()).collect()
    }

    #[test]
    fn a_nonfinite_gradient_ends_the_trial_without_an_update() {
        let config = TrialConfig {
            task: Task {
                side: 4,
                train_size: 20,
                validation_size: 4,
                test_size: 4,
                ..Task::default()
            },
            network: Network { kind: NetworkKind::Relu, hidden: 3, ..Network::default() },
            ..TrialConfig::default()
        };
        let mut trial = Trial::begin(&config, &SampleLibrary::default(), tch::Device::Cpu).unwrap();
        overflow(&trial);
        let before = values(&trial);
        let step = loop {
            match trial.step(&mut SilentSession).unwrap() {
                StepOutcome::More => {}
                end => break end,
            }
        };
        let StepOutcome::Diverged { detail } = step else { panic!("it goes on: {step:?}") };
        assert_eq!(detail, "the norm of the gradient is infinite in update 0 of epoch 0");
        for (after, before) in values(&trial).iter().zip(&before) {
            assert_eq!(after, before);
        }
    }
}
