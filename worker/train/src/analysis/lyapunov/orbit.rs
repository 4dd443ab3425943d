//! A network as a dynamical system z_t = F(z_{t-1}), with its Jacobian as a product (science
//! reference, section 7.1): z = h, or (h, g) for adaptive networks, or (h, c) for `lstm`.
//!
//! The states are computed ahead, many steps at once, by whatever computes the network and in its
//! precision; columns are pushed through the steps one after the other, in double precision.

use std::collections::VecDeque;

use tch::{Result, TchError, Tensor, no_grad_guard};

use super::tangent::{Passage, Tangent};
use crate::dynamics::spectrum::System;
use crate::gauge::Gauge;
use crate::network::{Conditions, Held, Network, State, steps_of};
use crate::tensor::length;

/// What reaches the network from outside.
pub(super) struct Outside {
    /// Inputs [T, B, I].
    inputs: Tensor,
    /// An extra current that broadcasts to [T, B, H].
    drive: Option<Tensor>,
    /// Whether T is 1 and the step comes again and again.
    repeats: bool,
    /// The next step.
    at: i64,
}

impl Outside {
    /// The same at every step: inputs [1, B, I].
    pub(super) fn constant(inputs: Tensor, drive: Option<Tensor>) -> Self {
        Self { inputs, drive, repeats: true, at: 0 }
    }

    /// A sequence [T, B, I].
    pub(super) fn sequence(inputs: Tensor, drive: Option<Tensor>) -> Self {
        Self { inputs, drive, repeats: false, at: 0 }
    }

    /// The next steps, at most `count`.
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

/// Which variables are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variables {
    /// All of the state.
    All,
    /// Only h, as if gain and saturation were constants.
    Neurons,
}

impl Variables {
    /// The number D of variables.
    pub(super) fn dimension(self, network: &Network) -> Result<i64> {
        let rest = network.rest(1)?;
        let inner = rest.inner.as_ref().filter(|_| self == Self::All).map_or(0, Tensor::numel);
        Ok(i64::from(network.hidden()) + length(inner)?)
    }
}

/// B copies of a network on their way.
pub(super) struct Orbit<'a> {
    network: &'a Network,
    held: Option<&'a Held>,
    outside: Outside,
    state: State,
    /// The steps that come next, as far as they are computed.
    ahead: VecDeque<Passage>,
    /// How many are computed at once.
    at_once: i64,
    tangent: Tangent,
}

impl<'a> Orbit<'a> {
    /// `network` in `state`, about to receive what comes from `outside`; with `held` gains and
    /// saturations the controllers of an adaptive network rest.
    pub(super) fn new(
        network: &'a Network,
        held: Option<&'a Held>,
        state: State,
        outside: Outside,
        variables: Variables,
    ) -> Result<Self> {
        let _guard = no_grad_guard();
        let follows_all = variables == Variables::All && held.is_none();
        let tangent = Tangent::new(network, follows_all)?;
        let at_once = network.steps_at_once(state.h.size2()?.0)?;
        let ahead = VecDeque::new();
        Ok(Self { network, held, outside, state, ahead, at_once, tangent })
    }

    /// Where the copies are.
    #[cfg(test)]
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Goes one step on.
    fn go(&mut self) -> Result<Passage> {
        if self.ahead.is_empty() {
            self.compute()?;
        }
        let ended = || TchError::Shape("the sequence has ended".to_owned());
        let passage = self.ahead.pop_front().ok_or_else(ended)?;
        self.state = passage.step.state.share();
        Ok(passage)
    }

    /// Computes the next steps.
    fn compute(&mut self) -> Result<()> {
        let _guard = no_grad_guard();
        let (inputs, drive) = self.outside.next(self.at_once)?;
        let mut external = Vec::new();
        if self.tangent.wants_external() {
            external = self.network.external(&inputs, drive.as_ref())?;
        }
        let mut external = external.into_iter();
        let mut before = self.state.share();
        let conditions =
            Conditions { drive: drive.as_ref(), held: self.held, from: Some(self.state.share()) };
        let ahead = &mut self.ahead;
        self.network.follow(&inputs, conditions, &mut Gauge::counting(), &mut |step| {
            let step = step.share();
            let next = step.state.share();
            let before = std::mem::replace(&mut before, next);
            ahead.push_back(Passage { before, external: external.next(), step });
            Ok(())
        })?;
        Ok(())
    }
}

impl System for Orbit<'_> {
    fn advance(&mut self) -> Result<()> {
        self.go().map(drop)
    }

    fn push(&mut self, columns: &Tensor) -> Result<Tensor> {
        let _guard = no_grad_guard();
        let passage = self.go()?;
        self.tangent.push(self.network, &passage, columns)
    }
}
