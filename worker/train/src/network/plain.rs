//! Layers of neurons with a fixed activation function: h_t = phi(a_t), where phi is a standard
//! function, one gamma shared by all neurons, or one gamma per neuron.

use rheo_model::config::{self, NetworkKind};
use tch::{Result, Tensor};

use super::activation::{self, Activation};
use super::init::Initializer;
use super::plan::{Gradients, LayerFamily, LayerPlan};
use super::recurrence::{self, Recurrence};
use super::{
    GainSaturation, Layer, LayerState, LayerStep, NeuronSlopes, Parameter, ParameterGroup,
    RecurrentCell, ShapeOverride,
};
use crate::gamma::{self, GammaCurve};
use crate::shape_stats::{NeuronShapes, ShapeStats};
use crate::tensor::to_doubles;

/// Returns the number of learned values of a layer of these kinds with `inputs` inputs.
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

/// A layer of neurons with a fixed activation function.
pub(super) struct PlainLayer {
    recurrence: Recurrence,
    neurons: NeuronModel,
}

enum NeuronModel {
    /// One function without parameters.
    Activation(Activation),
    /// sign(a) max(|a| + b, 0) with b [H].
    Modrelu { b_mod: Tensor },
    /// gamma(a; n, s) with n and s of one element or of one per neuron.
    Gamma { n: Tensor, s: Tensor, learned: bool },
}

impl PlainLayer {
    pub(super) fn new(
        activation: Activation,
        inputs: u32,
        init: &mut Initializer<'_>,
    ) -> Result<Self> {
        let recurrence = Recurrence::new(inputs, init)?;
        Ok(Self { recurrence, neurons: NeuronModel::Activation(activation) })
    }

    pub(super) fn modrelu(inputs: u32, init: &mut Initializer<'_>) -> Result<Self> {
        let recurrence = Recurrence::new(inputs, init)?;
        let b_mod = init.uniform(&[init.hidden()], 0.01)?;
        Ok(Self { recurrence, neurons: NeuronModel::Modrelu { b_mod } })
    }

    pub(super) fn homogeneous(
        config: &config::Network,
        inputs: u32,
        n0: f64,
        init: &mut Initializer<'_>,
    ) -> Result<Self> {
        let recurrence = Recurrence::new(inputs, init)?;
        let n = init.constant(1, n0)?;
        let s = init.constant(1, config.s0)?;
        let learned = config.learns_shape();
        Ok(Self { recurrence, neurons: NeuronModel::Gamma { n, s, learned } })
    }

    pub(super) fn heterogeneous(
        config: &config::Network,
        inputs: u32,
        n0: f64,
        init: &mut Initializer<'_>,
    ) -> Result<Self> {
        let recurrence = Recurrence::new(inputs, init)?;
        let n = init.around(config.hidden, n0, config.n0_spread)?;
        let s = init.around(config.hidden, config.s0, config.s0_spread)?;
        Ok(Self {
            recurrence,
            neurons: NeuronModel::Gamma { n, s, learned: config.learns_shape() },
        })
    }
}

impl Layer for PlainLayer {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut parameters = self.recurrence.parameters();
        match &self.neurons {
            NeuronModel::Activation(_) => {}
            NeuronModel::Modrelu { b_mod } => parameters.push(Parameter {
                name: "b_mod",
                tensor: b_mod,
                trained: true,
                group: ParameterGroup::Recurrent,
            }),
            NeuronModel::Gamma { n, s, learned } => {
                for (name, tensor) in [("n", n), ("s", s)] {
                    let trained = *learned;
                    parameters.push(Parameter {
                        name,
                        tensor,
                        trained,
                        group: ParameterGroup::Shape,
                    });
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

    fn rest(&self, batch: i64) -> Result<LayerState> {
        Ok(LayerState { h: self.recurrence.rest(batch)?, inner: None })
    }

    fn cell(
        &self,
        shape_override: Option<&ShapeOverride>,
        stats: &mut ShapeStats,
    ) -> Result<Box<dyn RecurrentCell + '_>> {
        let feedback = self.recurrence.feedback()?;
        let function = match &self.neurons {
            NeuronModel::Activation(activation) => StepFunction::Activation(*activation),
            NeuronModel::Modrelu { b_mod } => StepFunction::Modrelu(b_mod),
            NeuronModel::Gamma { n, s, .. } => {
                let (n, s) = shape_override
                    .map_or((n, s), |shape_override| (&shape_override.n, &shape_override.s));
                let curve = GammaCurve::new(n, s, feedback.requires_grad())?;
                stats.count(&curve);
                StepFunction::Gamma { curve, n: n.shallow_clone(), s: s.shallow_clone() }
            }
        };
        Ok(Box::new(PlainCell { feedback, function }))
    }

    fn slopes(&self, step: &LayerStep) -> Result<Option<NeuronSlopes>> {
        let Some(a) = &step.a else { return Ok(None) };
        if let Some(shape) = &step.shape {
            return gamma::slopes(a, &shape.n, &shape.s).map(Some);
        }
        let x = match &self.neurons {
            NeuronModel::Activation(activation) => activation.slope(a)?,
            NeuronModel::Modrelu { b_mod } => activation::modrelu_slope(a, b_mod)?,
            NeuronModel::Gamma { .. } => return Ok(None),
        };
        Ok(Some(NeuronSlopes { x, shape: None }))
    }

    fn fixed_shape(&self) -> Result<Option<NeuronShapes>> {
        let NeuronModel::Gamma { n, s, .. } = &self.neurons else {
            return Ok(None);
        };
        let hidden = self.recurrence.hidden()?;
        let per_neuron =
            |values: &Tensor| to_doubles(&values.f_detach()?.f_expand([hidden], false)?);
        Ok(Some(NeuronShapes { n: per_neuron(n)?, s: per_neuron(s)? }))
    }

    fn plan(&self, shape_override: Option<&ShapeOverride>) -> Result<Option<LayerPlan>> {
        let hidden = self.recurrence.hidden()?;
        let weights = self.recurrence.weights()?;
        let (family, own) = match &self.neurons {
            NeuronModel::Activation(activation) => {
                (LayerFamily::Activation(*activation), Vec::new())
            }
            NeuronModel::Modrelu { b_mod } => (LayerFamily::Modrelu, vec![b_mod.shallow_clone()]),
            NeuronModel::Gamma { n, s, .. } => {
                let (n, s) = shape_override
                    .map_or((n, s), |shape_override| (&shape_override.n, &shape_override.s));
                return LayerPlan::gamma(weights, n, s, hidden);
            }
        };
        Ok(Some(LayerPlan { family, weights, own, gains: None }))
    }

    fn named_gradients(&self, gradients: Gradients) -> Result<Vec<(&'static str, Tensor)>> {
        let mut named_gradients = Recurrence::named_gradients(gradients.weights);
        let names: &[&'static str] = match self.neurons {
            NeuronModel::Activation(_) => &[],
            NeuronModel::Modrelu { .. } => &["b_mod"],
            NeuronModel::Gamma { .. } => &["n", "s"],
        };
        for (name, gradient) in names.iter().zip(gradients.own) {
            named_gradients.push((*name, gradient));
        }
        // A gain and saturation shared by all neurons receives the sum of their gradients.
        if let NeuronModel::Gamma { n, .. } = &self.neurons
            && n.numel() == 1
        {
            for (name, gradient) in &mut named_gradients {
                if matches!(*name, "n" | "s") {
                    *gradient = gradient.f_sum_dim_intlist(0, true, gradient.f_kind()?)?;
                }
            }
        }
        Ok(named_gradients)
    }
}

/// A layer with its weights prepared for steps.
struct PlainCell<'a> {
    /// w_hh^T [H, H].
    feedback: Tensor,
    function: StepFunction<'a>,
}

enum StepFunction<'a> {
    Activation(Activation),
    Modrelu(&'a Tensor),
    Gamma { curve: GammaCurve, n: Tensor, s: Tensor },
}

impl RecurrentCell for PlainCell<'_> {
    fn step(
        &self,
        external: &Tensor,
        state: &LayerState,
        _gauge: &mut ShapeStats,
    ) -> Result<LayerStep> {
        let a = external.f_addmm(&state.h, &self.feedback)?;
        let (h, shape) = match &self.function {
            StepFunction::Activation(activation) => (activation.apply(&a)?, None),
            StepFunction::Modrelu(b_mod) => (activation::modrelu(&a, b_mod)?, None),
            StepFunction::Gamma { curve, n, s } => {
                let shape = GainSaturation { n: n.shallow_clone(), s: s.shallow_clone() };
                (curve.apply(&a)?, Some(shape))
            }
        };
        Ok(LayerStep { state: LayerState { h, inner: None }, a: Some(a), shape })
    }
}
