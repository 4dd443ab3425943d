//! Layers whose neurons have a fixed curve: h_t = phi(a_t) with phi an activation function, one gamma
//! shared by all neurons, or one gamma per neuron.

use rheo_model::config::{self, NetworkKind};
use tch::{Result, Tensor};

use super::activation::{self, Activation};
use super::init::Init;
use super::plan::{Family, Found, Plan};
use super::recurrence::{self, Recurrence};
use super::{Cell, GainSaturation, Group, Held, Layer, Parameter, Slopes, State, Step};
use crate::gamma::{self, Curve};
use crate::gauge::{Gauge, Shape};
use crate::tensor::to_doubles;

/// How many numbers a layer of these kinds learns, with `inputs` inputs.
pub(super) fn count(config: &config::Network, inputs: u32) -> u64 {
    let neurons = u64::from(config.hidden);
    let own = match config.kind {
        NetworkKind::Modrelu => neurons,
        NetworkKind::Heterogeneous if config.learns_shape() => 2 * neurons,
        _ if config.learns_shape() => 2,
        _ => 0,
    };
    recurrence::count(config.hidden, inputs) + own
}

/// A layer of neurons with a fixed curve.
pub(super) struct Plain {
    recurrence: Recurrence,
    neurons: Neurons,
}

enum Neurons {
    /// One function without parameters.
    Activation(Activation),
    /// sign(a) max(|a| + b, 0) with b [H].
    Modrelu { b_mod: Tensor },
    /// gamma(a; n, s) with n and s of one element or of one per neuron.
    Gamma { n: Tensor, s: Tensor, learned: bool },
}

impl Plain {
    pub(super) fn new(activation: Activation, inputs: u32, init: &mut Init<'_>) -> Result<Self> {
        let recurrence = Recurrence::new(inputs, init)?;
        Ok(Self { recurrence, neurons: Neurons::Activation(activation) })
    }

    pub(super) fn modrelu(inputs: u32, init: &mut Init<'_>) -> Result<Self> {
        let recurrence = Recurrence::new(inputs, init)?;
        let b_mod = init.uniform(&[init.hidden()], 0.01)?;
        Ok(Self { recurrence, neurons: Neurons::Modrelu { b_mod } })
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
        let learned = config.learns_shape();
        Ok(Self { recurrence, neurons: Neurons::Gamma { n, s, learned } })
    }

    pub(super) fn heterogeneous(
        config: &config::Network,
        inputs: u32,
        n0: f64,
        init: &mut Init<'_>,
    ) -> Result<Self> {
        let recurrence = Recurrence::new(inputs, init)?;
        let n = init.around(config.hidden, n0, config.n0_spread)?;
        let s = init.around(config.hidden, config.s0, config.s0_spread)?;
        Ok(Self { recurrence, neurons: Neurons::Gamma { n, s, learned: config.learns_shape() } })
    }
}

impl Layer for Plain {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut parameters = self.recurrence.parameters();
        match &self.neurons {
            Neurons::Activation(_) => {}
            Neurons::Modrelu { b_mod } => parameters.push(Parameter {
                name: "b_mod",
                tensor: b_mod,
                trained: true,
                group: Group::Recurrent,
            }),
            Neurons::Gamma { n, s, learned } => {
                for (name, tensor) in [("n", n), ("s", s)] {
                    let trained = *learned;
                    parameters.push(Parameter { name, tensor, trained, group: Group::Shape });
                }
            }
        }
        parameters
    }

    fn external(&self, inputs: &Tensor, drive: Option<&Tensor>) -> Result<Vec<Tensor>> {
        self.recurrence.external(inputs, drive)
    }

    fn recurrent(&self) -> &'static [&'static str] {
        &recurrence::RECURRENT
    }

    fn biases(&self) -> &'static [&'static str] {
        &recurrence::BIASES
    }

    fn rest(&self, batch: i64) -> Result<State> {
        Ok(State { h: self.recurrence.rest(batch)?, inner: None })
    }

    fn cell(&self, held: Option<&Held>, gauge: &mut Gauge) -> Result<Box<dyn Cell + '_>> {
        let feedback = self.recurrence.feedback()?;
        let function = match &self.neurons {
            Neurons::Activation(activation) => Function::Activation(*activation),
            Neurons::Modrelu { b_mod } => Function::Modrelu(b_mod),
            Neurons::Gamma { n, s, .. } => {
                let (n, s) = held.map_or((n, s), |held| (&held.n, &held.s));
                let curve = Curve::new(n, s, feedback.requires_grad())?;
                gauge.count(&curve);
                Function::Gamma { curve, n: n.shallow_clone(), s: s.shallow_clone() }
            }
        };
        Ok(Box::new(PlainCell { feedback, function }))
    }

    fn slopes(&self, step: &Step) -> Result<Option<Slopes>> {
        let Some(a) = &step.a else { return Ok(None) };
        if let Some(shape) = &step.shape {
            return gamma::slopes(a, &shape.n, &shape.s).map(Some);
        }
        let x = match &self.neurons {
            Neurons::Activation(activation) => activation.slope(a)?,
            Neurons::Modrelu { b_mod } => activation::modrelu_slope(a, b_mod)?,
            Neurons::Gamma { .. } => return Ok(None),
        };
        Ok(Some(Slopes { x, shape: None }))
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

    fn plan(&self, held: Option<&Held>) -> Result<Option<Plan>> {
        let hidden = self.recurrence.hidden()?;
        let weights = self.recurrence.weights()?;
        let (family, own) = match &self.neurons {
            Neurons::Activation(activation) => (Family::Activation(*activation), Vec::new()),
            Neurons::Modrelu { b_mod } => (Family::Modrelu, vec![b_mod.shallow_clone()]),
            Neurons::Gamma { n, s, .. } => {
                let (n, s) = held.map_or((n, s), |held| (&held.n, &held.s));
                return Plan::gamma(weights, n, s, hidden);
            }
        };
        Ok(Some(Plan { family, weights, own, gains: None }))
    }

    fn named(&self, found: Found) -> Result<Vec<(&'static str, Tensor)>> {
        let mut named = Recurrence::named(found.weights);
        let names: &[&'static str] = match self.neurons {
            Neurons::Activation(_) => &[],
            Neurons::Modrelu { .. } => &["b_mod"],
            Neurons::Gamma { .. } => &["n", "s"],
        };
        for (name, gradient) in names.iter().zip(found.own) {
            named.push((*name, gradient));
        }
        // One gain and one saturation for all neurons learn from all of them.
        if let Neurons::Gamma { n, .. } = &self.neurons
            && n.numel() == 1
        {
            for (name, gradient) in &mut named {
                if matches!(*name, "n" | "s") {
                    *gradient = gradient.f_sum_dim_intlist(0, true, gradient.f_kind()?)?;
                }
            }
        }
        Ok(named)
    }
}

/// A layer with its weights as one step uses them.
struct PlainCell<'a> {
    /// w_hh^T [H, H].
    feedback: Tensor,
    function: Function<'a>,
}

enum Function<'a> {
    Activation(Activation),
    Modrelu(&'a Tensor),
    Gamma { curve: Curve, n: Tensor, s: Tensor },
}

impl Cell for PlainCell<'_> {
    fn step(&self, external: &Tensor, state: &State, _gauge: &mut Gauge) -> Result<Step> {
        let a = external.f_addmm(&state.h, &self.feedback)?;
        let (h, shape) = match &self.function {
            Function::Activation(activation) => (activation.apply(&a)?, None),
            Function::Modrelu(b_mod) => (activation::modrelu(&a, b_mod)?, None),
            Function::Gamma { curve, n, s } => {
                let shape = GainSaturation { n: n.shallow_clone(), s: s.shallow_clone() };
                (curve.apply(&a)?, Some(shape))
            }
        };
        Ok(Step { state: State { h, inner: None }, a: Some(a), shape })
    }
}
