//! The connections of a layer: a_t = x_t w_xh^T + b_xh + h_{t-1} w_hh^T + b_hh + d_t. Shared by all
//! kinds whose neurons receive a plain weighted sum.

use tch::{Device, Result, Tensor};

use super::Parameter;
use super::init::Init;

/// Input and recurrent weights. The two biases are redundant but kept: they start differently and
/// both are learned, as in the paper.
pub(super) struct Recurrence {
    w_xh: Tensor,
    b_xh: Tensor,
    w_hh: Tensor,
    b_hh: Tensor,
}

impl Recurrence {
    pub(super) fn new(inputs: u32, init: &mut Init<'_>) -> Result<Self> {
        let hidden = init.hidden();
        Ok(Self {
            w_xh: init.input(hidden, inputs)?,
            b_xh: init.bias(hidden, inputs)?,
            w_hh: init.recurrent(hidden)?,
            b_hh: init.bias(hidden, hidden)?,
        })
    }

    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        vec![
            Parameter { name: "w_xh", tensor: &self.w_xh, trained: true },
            Parameter { name: "b_xh", tensor: &self.b_xh, trained: true },
            Parameter { name: "w_hh", tensor: &self.w_hh, trained: true },
            Parameter { name: "b_hh", tensor: &self.b_hh, trained: true },
        ]
    }

    /// What reaches the neurons from outside at every step, T tensors [B, H]: one product for the
    /// whole sequence.
    pub(super) fn external(&self, inputs: &Tensor, drive: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let bias = self.b_xh.f_add(&self.b_hh)?;
        let external = inputs.f_linear(&self.w_xh, Some(&bias))?;
        let external = match drive {
            Some(drive) => external.f_add(drive)?,
            None => external,
        };
        // One unbind and not a selection per step: the backward pass of a selection fills a tensor
        // as large as the whole sequence.
        external.f_unbind(0)
    }

    /// w_hh^T, to be taken once per sequence.
    pub(super) fn feedback(&self) -> Result<Tensor> {
        self.w_hh.f_transpose(0, 1)
    }

    /// The state of every neuron before the first step of `inputs` [T, B, I].
    pub(super) fn rest(&self, inputs: &Tensor) -> Result<Tensor> {
        let (_, batch, _) = inputs.size3()?;
        Tensor::f_zeros([batch, self.hidden()?], (inputs.f_kind()?, Device::Cpu))
    }

    /// The number of neurons.
    pub(super) fn hidden(&self) -> Result<i64> {
        self.b_hh.size1()
    }
}
