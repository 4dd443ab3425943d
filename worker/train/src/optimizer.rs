//! Update rules on plain tensors, so that their whole state is in the checkpoint: Adam, AdamW,
//! gradient descent with momentum and RMSprop, as PyTorch defines them.
//!
//! A parameter left out of an update keeps its value and its averages bit for bit, and its group
//! does not count the update; a group that joins late starts like a new one.

mod adam;
mod rmsprop;
mod sgd;

use std::collections::BTreeMap;

use rheo_model::config::{self, OptimizerKind};
use serde::{Deserialize, Serialize};
use tch::{Result, TchError, Tensor, no_grad_guard};

use crate::network::{Parameter, ParameterGroup};

/// The optimizer of one network.
pub struct Optimizer {
    config: config::Optimizer,
    /// Number of updates.
    updates: u64,
    /// Number of updates per group.
    group_updates: UpdateCounts,
    /// State per parameter name.
    states: BTreeMap<String, ParameterState>,
}

/// Numbers of updates, per group of parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateCounts {
    recurrent: u64,
    controller: u64,
    shape: u64,
    readout: u64,
}

impl UpdateCounts {
    /// Returns the same number for all groups.
    pub(crate) fn all(count: u64) -> Self {
        Self { recurrent: count, controller: count, shape: count, readout: count }
    }

    fn of(&mut self, group: ParameterGroup) -> &mut u64 {
        match group {
            ParameterGroup::Recurrent => &mut self.recurrent,
            ParameterGroup::Controller => &mut self.controller,
            ParameterGroup::Shape => &mut self.shape,
            ParameterGroup::Readout => &mut self.readout,
        }
    }
}

/// State of a rule for one parameter.
enum ParameterState {
    Adam(adam::AdamMoments),
    Sgd(sgd::Momentum),
    Rmsprop(rmsprop::RmspropAverages),
}

/// Change of one parameter in one update.
struct ParameterChange<'a> {
    parameter: &'a Tensor,
    /// Gradient, including weight decay where the rule adds it.
    gradient: Tensor,
    /// Learning rate.
    rate: f64,
    /// Number of updates of the group, including this one.
    number: u64,
}

impl Optimizer {
    /// Returns an optimizer of the learned ones of `parameters`, before its first update.
    pub fn new(config: &config::Optimizer, parameters: &[Parameter<'_>]) -> Result<Self> {
        let _guard = no_grad_guard();
        let mut states = BTreeMap::new();
        for parameter in parameters.iter().filter(|parameter| parameter.trained) {
            let memory = ParameterState::new(config, parameter.tensor)?;
            states.insert(parameter.name.to_owned(), memory);
        }
        let group_updates = UpdateCounts::default();
        Ok(Self { config: config.clone(), updates: 0, group_updates, states })
    }

    /// Updates `parameters` in place with their `gradients`, at `factor` times the learning rates.
    /// The parameters are those that learn now, a subset of those given to [`Optimizer::new`]; the
    /// gradients are in the same order.
    pub fn update(
        &mut self,
        parameters: &[Parameter<'_>],
        gradients: &[Tensor],
        factor: f64,
    ) -> Result<()> {
        let _guard = no_grad_guard();
        self.updates += 1;
        let mut before = self.group_updates;
        for (parameter, gradient) in parameters.iter().zip(gradients) {
            let Some(memory) = self.states.get_mut(parameter.name) else {
                let text = format!("the optimizer was not given `{}`", parameter.name);
                return Err(TchError::Shape(text));
            };
            let number = *before.of(parameter.group) + 1;
            *self.group_updates.of(parameter.group) = number;
            let unscheduled = rates(&self.config, parameter.group);
            let rates = GroupRates { learning: unscheduled.learning * factor, ..unscheduled };
            let parameter = parameter.tensor;
            let gradient = decayed(self.config.kind, parameter, gradient, rates)?;
            let change = ParameterChange { parameter, gradient, rate: rates.learning, number };
            memory.update(&self.config, &change)?;
        }
        Ok(())
    }

    /// Returns the number of updates so far.
    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// Returns the number of updates per group.
    pub(crate) fn group_updates(&self) -> UpdateCounts {
        self.group_updates
    }

    /// Continues after the given numbers of updates; the averages are filled in through
    /// [`Optimizer::slots`].
    pub(crate) fn resume_at(&mut self, updates: u64, group_updates: UpdateCounts) {
        self.updates = updates;
        self.group_updates = group_updates;
    }

    /// Returns the averages of the rule, named for checkpoints: `adam.mean.w_hh`. They share
    /// storage with the optimizer.
    pub fn slots(&self) -> impl Iterator<Item = (String, Tensor)> {
        self.states.iter().flat_map(|(parameter, memory)| {
            memory
                .slots()
                .into_iter()
                .map(move |(slot, tensor)| (format!("{slot}.{parameter}"), tensor.shallow_clone()))
        })
    }
}

impl ParameterState {
    fn new(config: &config::Optimizer, parameter: &Tensor) -> Result<Self> {
        Ok(match config.kind {
            OptimizerKind::Adam | OptimizerKind::Adamw => {
                Self::Adam(adam::AdamMoments::new(parameter)?)
            }
            OptimizerKind::Sgd => Self::Sgd(sgd::Momentum::new(config, parameter)?),
            OptimizerKind::Rmsprop => {
                Self::Rmsprop(rmsprop::RmspropAverages::new(config, parameter)?)
            }
        })
    }

    fn update(&mut self, config: &config::Optimizer, change: &ParameterChange<'_>) -> Result<()> {
        match self {
            Self::Adam(moments) => moments.update(config, change),
            Self::Sgd(momentum) => momentum.update(config, change),
            Self::Rmsprop(averages) => averages.update(config, change),
        }
    }

    fn slots(&self) -> Vec<(&'static str, &Tensor)> {
        match self {
            Self::Adam(moments) => moments.slots(),
            Self::Sgd(momentum) => momentum.slots(),
            Self::Rmsprop(averages) => averages.slots(),
        }
    }
}

/// Rates of a group of parameters.
#[derive(Debug, Clone, Copy)]
struct GroupRates {
    /// Learning rate.
    learning: f64,
    /// Weight decay.
    decay: f64,
}

/// Returns the rates of a group, before any schedule.
fn rates(config: &config::Optimizer, group: ParameterGroup) -> GroupRates {
    let own = match group {
        ParameterGroup::Recurrent => {
            return GroupRates { learning: config.lr, decay: config.weight_decay };
        }
        ParameterGroup::Controller => &config.controller,
        ParameterGroup::Shape => &config.shape,
        ParameterGroup::Readout => &config.readout,
    };
    GroupRates {
        learning: own.lr.unwrap_or(config.lr),
        decay: own.weight_decay.unwrap_or(config.weight_decay),
    }
}

/// Returns the gradient after weight decay. AdamW shrinks the parameter itself and leaves the
/// gradient (Loshchilov and Hutter 2019, algorithm 2; scaled by the learning rate as in PyTorch);
/// the other rules add the decay to the gradient.
fn decayed(
    kind: OptimizerKind,
    parameter: &Tensor,
    gradient: &Tensor,
    rates: GroupRates,
) -> Result<Tensor> {
    let GroupRates { learning, decay } = rates;
    if decay == 0.0 {
        return Ok(gradient.shallow_clone());
    }
    if kind == OptimizerKind::Adamw {
        let _ = parameter.shallow_clone().f_mul_scalar_(1.0 - learning * decay)?;
        return Ok(gradient.shallow_clone());
    }
    gradient.f_add(&parameter.f_mul_scalar(decay)?)
}
