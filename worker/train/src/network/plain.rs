//! Layers whose neurons have a fixed curve: h_t = phi(a_t) with phi the ReLU, one gamma shared by
//! all neurons, or one gamma per neuron.

use rheo_core::config;
use tch::{Result, Tensor};

use super::init::Init;
use super::recurrence::Recurrence;
use super::{Layer, Parameter, Readout};
use crate::gamma::Curve;
use crate::gauge::{Gauge, Shape};
use crate::tensor::to_doubles;

/// A layer of neurons with a fixed curve.
pub(super) struct Plain {
    recurrence: Recurrence,
    neurons: Neurons,
}

enum Neurons {
    /// max(a, 0).
    Relu,
    /// gamma(a; n, s) with n and s of one element or of one per neuron.
    Gamma { n: Tensor, s: Tensor, learned: bool },
}

impl Plain {
    pub(super) fn relu(inputs: u32, init: &mut Init<'_>) -> Result<Self> {
        Ok(Self { recurrence: Recurrence::new(inputs, init)?, neurons: Neurons::Relu })
    }

    pub(super) fn homogeneous(
        config: &config::Network,
        inputs: u32,
        n0: f64,
        init: &mut Init<'_>,
    ) -> Result<Self> {
        let recurrence = Recurrence::new(inputs, init)?;
        let n = init.constant(1, n0)?;
        let s = init.constant(1, config.s0)?;
        Ok(Self { recurrence, neurons: Neurons::Gamma { n, s, learned: config.learn_shape } })
    }

    pub(super) fn heterogeneous(
        config: &config::Network,
        inputs: u32,
        n0: f64,
        init: &mut Init<'_>,
    ) -> Result<Self> {
        let recurrence = Recurrence::new(inputs, init)?;
        let n = init.around(config.hidden, n0, config.n0_spread)?;
        let s = init.constant(config.hidden, config.s0)?;
        Ok(Self { recurrence, neurons: Neurons::Gamma { n, s, learned: config.learn_shape } })
    }
}

impl Layer for Plain {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut parameters = self.recurrence.parameters();
        if let Neurons::Gamma { n, s, learned } = &self.neurons {
            parameters.push(Parameter { name: "n", tensor: n, trained: *learned });
            parameters.push(Parameter { name: "s", tensor: s, trained: *learned });
        }
        parameters
    }

    fn forward(
        &self,
        inputs: &Tensor,
        drive: Option<&Tensor>,
        readout: Readout,
        gauge: &mut Gauge,
    ) -> Result<Tensor> {
        let external = self.recurrence.external(inputs, drive)?;
        let feedback = self.recurrence.feedback()?;
        let curve = match &self.neurons {
            Neurons::Relu => None,
            Neurons::Gamma { n, s, .. } => Some(Curve::new(n, s, feedback.requires_grad())?),
        };
        if let Some(curve) = &curve {
            gauge.count(curve);
        }
        let mut state = self.recurrence.rest(inputs)?;
        let mut states = Vec::new();
        for current in &external {
            let a = current.f_addmm(&state, &feedback)?;
            state = match &curve {
                None => a.f_relu()?,
                Some(curve) => curve.apply(&a)?,
            };
            if readout == Readout::Every {
                states.push(state.shallow_clone());
            }
        }
        match readout {
            Readout::Last => Ok(state),
            Readout::Every => Tensor::f_stack(&states, 0),
        }
    }

    fn fixed_shape(&self) -> Result<Option<Shape>> {
        let Neurons::Gamma { n, s, .. } = &self.neurons else {
            return Ok(None);
        };
        let hidden = self.recurrence.hidden()?;
        let per_neuron =
            |values: &Tensor| to_doubles(&values.f_detach()?.f_expand([hidden], false)?);
        Ok(Some(Shape { n: per_neuron(n)?, s: per_neuron(s)? }))
    }
}
