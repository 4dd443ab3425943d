//! A network as a dynamical system z_t = F(z_{t-1}) with its Jacobian as a product (science
//! reference, section 7.1): z = h, or (h, g) for adaptive networks, or (h, c) for `lstm`.
//!
//! States are computed many steps ahead, by the network's execution backend and in its precision.
//! Columns are pushed through the steps one by one, in double precision.

use std::collections::VecDeque;

use tch::{Result, TchError, Tensor, no_grad_guard};

use super::tangent::{TangentMap, TangentStep};
use crate::dynamics::spectrum::DynamicalSystem;
use crate::network::{LayerState, Network, RunConditions, ShapeOverride, steps_of};
use crate::shape_stats::ShapeStats;
use crate::tensor::length;

/// External input of the network.
pub(super) struct ExternalInput {
    /// Inputs [T, B, I].
    inputs: Tensor,
    /// Drive that broadcasts to [T, B, H].
    drive: Option<Tensor>,
    /// Whether T is 1 and the step repeats.
    repeats: bool,
    /// Index of the next step.
    at: i64,
}

impl ExternalInput {
    /// Returns the same input for every step: inputs [1, B, I].
    pub(super) fn constant(inputs: Tensor, drive: Option<Tensor>) -> Self {
        Self { inputs, drive, repeats: true, at: 0 }
    }

    /// Returns a sequence of inputs [T, B, I].
    pub(super) fn sequence(inputs: Tensor, drive: Option<Tensor>) -> Self {
        Self { inputs, drive, repeats: false, at: 0 }
    }

    /// Returns the next steps, at most `count`.
    fn next(&mut self, count: i64) -> Result<(Tensor, Option<Tensor>)> {
        let (steps, batch, width) = self.inputs.size3()?;
        if self.repeats {
            let inputs = self.inputs.f_expand([count, batch, width], false)?;
            return Ok((inputs, self.drive.as_ref().map(Tensor::shallow_clone)));
        }
        let (first, count) = (self.at, count.min(steps - self.at));
        if count <= 0 {
            return Err(TchError::Shape("the sequence has ended".to_owned()));
        }
        self.at += count;
        let drive = self.drive.as_ref().map(|drive| steps_of(drive, first, count)).transpose()?;
        Ok((self.inputs.f_narrow(0, first, count)?, drive))
    }
}

/// Variables of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TangentVariables {
    /// The whole state.
    All,
    /// Only h, with gain and saturation as constants.
    Neurons,
}

impl TangentVariables {
    /// Returns the number D of variables.
    pub(super) fn dimension(self, network: &Network) -> Result<i64> {
        let rest = network.rest(1)?;
        let inner = rest.inner.as_ref().filter(|_| self == Self::All).map_or(0, Tensor::numel);
        Ok(i64::from(network.hidden()) + length(inner)?)
    }
}

/// B copies of a network on their orbits.
pub(super) struct Orbit<'a> {
    network: &'a Network,
    shape_override: Option<&'a ShapeOverride>,
    external_input: ExternalInput,
    state: LayerState,
    /// Computed steps that were not taken yet.
    ahead: VecDeque<TangentStep>,
    /// Steps computed at once.
    at_once: i64,
    tangent: TangentMap,
}

impl<'a> Orbit<'a> {
    /// Starts `network` from `state` with the input `external_input`; with `shape_override` the
    /// controllers of an adaptive network stay at rest.
    pub(super) fn new(
        network: &'a Network,
        shape_override: Option<&'a ShapeOverride>,
        state: LayerState,
        external_input: ExternalInput,
        variables: TangentVariables,
    ) -> Result<Self> {
        let _guard = no_grad_guard();
        let follows_all = variables == TangentVariables::All && shape_override.is_none();
        let tangent = TangentMap::new(network, follows_all)?;
        let at_once = network.steps_at_once(state.h.size2()?.0)?;
        let ahead = VecDeque::new();
        Ok(Self { network, shape_override, external_input, state, ahead, at_once, tangent })
    }

    /// Returns the current state of the copies.
    #[cfg(test)]
    pub(super) fn state(&self) -> &LayerState {
        &self.state
    }

    /// Takes one step.
    fn go(&mut self) -> Result<TangentStep> {
        if self.ahead.is_empty() {
            self.compute()?;
        }
        let ended = || TchError::Shape("the sequence has ended".to_owned());
        let step = self.ahead.pop_front().ok_or_else(ended)?;
        self.state = step.step.state.share();
        Ok(step)
    }

    /// Computes the next steps.
    fn compute(&mut self) -> Result<()> {
        let _guard = no_grad_guard();
        let (inputs, drive) = self.external_input.next(self.at_once)?;
        let mut external = Vec::new();
        if self.tangent.wants_external() {
            external = self.network.external(&inputs, drive.as_ref())?;
        }
        let mut external = external.into_iter();
        let mut before = self.state.share();
        let conditions = RunConditions {
            drive: drive.as_ref(),
            shape_override: self.shape_override,
            from: Some(self.state.share()),
        };
        let ahead = &mut self.ahead;
        self.network.visit_states(
            &inputs,
            conditions,
            &mut ShapeStats::counting(),
            &mut |step| {
                let step = step.share();
                let next = step.state.share();
                let before = std::mem::replace(&mut before, next);
                ahead.push_back(TangentStep { before, external: external.next(), step });
                Ok(())
            },
        )?;
        Ok(())
    }
}

impl DynamicalSystem for Orbit<'_> {
    fn advance(&mut self) -> Result<()> {
        self.go().map(drop)
    }

    fn push(&mut self, columns: &Tensor) -> Result<Tensor> {
        let _guard = no_grad_guard();
        let step = self.go()?;
        self.tangent.push(self.network, &step, columns)
    }
}
