//! Connections of a layer: a_t = x_t w_xh^T + b_xh + h_{t-1} w_hh^T + b_hh + d_t. Shared by all
//! kinds whose neurons receive a single weighted sum.

use tch::{Result, Tensor};

use super::init::Initializer;
use super::{Parameter, ParameterGroup};

/// Names of the recurrent matrices.
pub(super) const RECURRENT: [&str; 1] = ["w_hh"];
/// Names of the biases.
pub(super) const BIASES: [&str; 2] = ["b_xh", "b_hh"];

/// Returns the number of values in the connections of `hidden` neurons to each other and to
/// `inputs` inputs.
pub(super) fn count(hidden: u32, inputs: u32) -> u64 {
    let [h, i] = [hidden, inputs].map(u64::from);
    h * i + h + h * h + h
}

/// Input and recurrent weights. The two biases are redundant but kept: they start differently and
/// both are learned, as in the paper.
pub(super) struct Recurrence {
    w_xh: Tensor,
    b_xh: Tensor,
    w_hh: Tensor,
    b_hh: Tensor,
}

impl Recurrence {
    pub(super) fn new(inputs: u32, init: &mut Initializer<'_>) -> Result<Self> {
        let hidden = init.hidden();
        Ok(Self {
            w_xh: init.input(hidden, inputs)?,
            b_xh: init.bias(hidden, inputs)?,
            w_hh: init.recurrent(hidden)?,
            b_hh: init.bias(hidden, hidden)?,
        })
    }

    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        let tensors = [
            ("w_xh", &self.w_xh),
            ("b_xh", &self.b_xh),
            ("w_hh", &self.w_hh),
            ("b_hh", &self.b_hh),
        ];
        let group = ParameterGroup::Recurrent;
        tensors.map(|(name, tensor)| Parameter { name, tensor, trained: true, group }).into()
    }

    /// Returns the external input of the neurons, T tensors [B, H], with one product for the whole
    /// sequence.
    pub(super) fn external(&self, inputs: &Tensor, drive: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let bias = self.b_xh.f_add(&self.b_hh)?;
        let external = inputs.f_linear(&self.w_xh, Some(&bias))?;
        let external = match drive {
            Some(drive) => external.f_add(drive)?,
            None => external,
        };
        // One unbind instead of a selection per step: the backward pass of a selection fills a
        // tensor as large as the whole sequence.
        external.f_unbind(0)
    }

    /// Returns w_hh^T, to be taken once per sequence.
    pub(super) fn feedback(&self) -> Result<Tensor> {
        self.w_hh.f_transpose(0, 1)
    }

    /// Returns the resting output of a batch, [B, H].
    pub(super) fn rest(&self, batch: i64) -> Result<Tensor> {
        Tensor::f_zeros([batch, self.hidden()?], (self.b_hh.f_kind()?, self.b_hh.device()))
    }

    /// Returns the number of neurons.
    pub(super) fn hidden(&self) -> Result<i64> {
        self.b_hh.size1()
    }

    /// Returns the weights in the layout of the kernels.
    pub(super) fn weights(&self) -> Result<[Tensor; 3]> {
        let bias = self.b_xh.f_add(&self.b_hh)?;
        Ok([self.w_xh.shallow_clone(), self.w_hh.shallow_clone(), bias])
    }

    /// Returns the gradients of these weights, by name.
    pub(super) fn named_gradients([w_x, w_h, bias]: [Tensor; 3]) -> Vec<(&'static str, Tensor)> {
        let same = bias.shallow_clone();
        vec![("w_xh", w_x), ("b_xh", bias), ("w_hh", w_h), ("b_hh", same)]
    }
}
