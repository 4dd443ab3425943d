//! Layers of adaptive neurons. One controller, with shared weights and one state per neuron,
//! receives the neuron's a_t and sets its gain and saturation in the same step (Geadah et al. 2024,
//! the adaptive recurrent unit network).
//!
//! ```text
//! g_t[b,i] = tanh(u_ag a_t[b,i] + b_ag + w_gg g_{t-1}[b,i] + b_gg)
//! n_t[b,i] = w_gn . g_t[b,i] + b_gn ;  s_t[b,i] = w_gs . g_t[b,i] + b_gs ;  h_t = gamma(a_t; n_t, s_t)
//! ```

use rheo_model::config::{self, AdaptedQuantity};
use tch::{Result, Tensor};

use super::init::Initializer;
use super::plan::{Gradients, LayerFamily, LayerPlan};
use super::recurrence::{self, Recurrence};
use super::{
    GainSaturation, Layer, LayerState, LayerStep, NeuronSlopes, Parameter, ParameterGroup,
    RecurrentCell, ShapeOverride,
};
use crate::gamma::{self, GammaCurve};
use crate::shape_stats::{NeuronShapes, ShapeStats};

/// Returns the number of learned values of such a layer with `inputs` inputs.
pub(super) fn count(config: &config::Network, inputs: u32) -> u64 {
    let s = u64::from(config.controller);
    let readout = match config.adapts {
        AdaptedQuantity::Both => 2 * (s + 1),
        // A quantity that does not adapt is a constant: a bias without weights.
        AdaptedQuantity::Gain | AdaptedQuantity::Saturation => s + 2,
    };
    recurrence::count(config.hidden, inputs) + s * s + 3 * s + readout
}

/// A layer of neurons that share a controller.
pub(super) struct AdaptiveLayer {
    recurrence: Recurrence,
    u_ag: Tensor,
    b_ag: Tensor,
    w_gg: Tensor,
    b_gg: Tensor,
    w_gn: Tensor,
    b_gn: Tensor,
    w_gs: Tensor,
    b_gs: Tensor,
    adapts: AdaptedQuantity,
}

impl AdaptiveLayer {
    pub(super) fn new(
        config: &config::Network,
        inputs: u32,
        n0: f64,
        init: &mut Initializer<'_>,
    ) -> Result<Self> {
        let units = config.controller;
        let layer = Self {
            recurrence: Recurrence::new(inputs, init)?,
            u_ag: init.controller_input(units)?,
            b_ag: init.bias(units, 1)?,
            w_gg: init.recurrent(units)?,
            b_gg: init.bias(units, units)?,
            w_gn: init.xavier(1, units, 0.1)?,
            b_gn: init.constant(1, n0)?,
            w_gs: init.xavier(1, units, 0.01)?,
            b_gs: init.constant(1, config.s0)?,
            adapts: config.adapts,
        };
        // Weights of quantities that do not adapt are drawn, too, so that the other weights do not
        // depend on this choice.
        let still = match config.adapts {
            AdaptedQuantity::Both => None,
            AdaptedQuantity::Gain => Some(&layer.w_gs),
            AdaptedQuantity::Saturation => Some(&layer.w_gn),
        };
        if let Some(weights) = still {
            let _ = weights.shallow_clone().f_zero_()?;
        }
        Ok(layer)
    }
}

/// The controller's weights, prepared once per sequence.
struct Controller {
    /// u_ag [S].
    from_neuron: Tensor,
    /// b_ag + b_gg [S].
    bias: Tensor,
    /// w_gg^T [S, S].
    feedback: Tensor,
    /// w_gn above w_gs [2, S]; one product returns gain and saturation.
    readout: Tensor,
    /// b_gn above b_gs [2, 1].
    readout_bias: Tensor,
}

impl Controller {
    fn new(layer: &AdaptiveLayer) -> Result<Self> {
        Ok(Self {
            from_neuron: layer.u_ag.f_flatten(0, 1)?,
            bias: layer.b_ag.f_add(&layer.b_gg)?,
            feedback: layer.w_gg.f_transpose(0, 1)?,
            readout: Tensor::f_cat(&[&layer.w_gn, &layer.w_gs], 0)?,
            readout_bias: Tensor::f_stack(&[&layer.b_gn, &layer.b_gs], 0)?,
        })
    }

    /// Advances the state by one step with neuron inputs `a` [B, H].
    fn step(&self, state: &Tensor, a: &Tensor) -> Result<Tensor> {
        let mut next = self.bias.f_addmm(state, &self.feedback)?;
        // In place: no backward formula needs the overwritten values.
        let mut next = next.f_addr_(&a.f_flatten(0, 1)?, &self.from_neuron)?;
        next.f_tanh_()
    }

    /// Returns gain and saturation, each shaped like `a` [B, H], for a controller state.
    fn shape(&self, state: &Tensor, a: &Tensor) -> Result<GainSaturation<Tensor>> {
        let (batch, hidden) = a.size2()?;
        let both = self.readout_bias.f_addmm(&self.readout, &state.f_transpose(0, 1)?)?;
        let both = both.f_reshape([2, batch, hidden])?;
        let mut parts = both.f_unbind(0)?.into_iter();
        match (parts.next(), parts.next()) {
            (Some(n), Some(s)) => Ok(GainSaturation { n, s }),
            _ => Err(tch::TchError::Shape("the controller sets two values".to_owned())),
        }
    }
}

impl Layer for AdaptiveLayer {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut parameters = self.recurrence.parameters();
        let controller = [
            ("u_ag", &self.u_ag),
            ("b_ag", &self.b_ag),
            ("w_gg", &self.w_gg),
            ("b_gg", &self.b_gg),
            ("w_gn", &self.w_gn),
            ("b_gn", &self.b_gn),
            ("w_gs", &self.w_gs),
            ("b_gs", &self.b_gs),
        ];
        let is_still = |name| match self.adapts {
            AdaptedQuantity::Both => false,
            AdaptedQuantity::Gain => name == "w_gs",
            AdaptedQuantity::Saturation => name == "w_gn",
        };
        parameters.extend(controller.map(|(name, tensor)| Parameter {
            name,
            tensor,
            trained: !is_still(name),
            group: ParameterGroup::Controller,
        }));
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
        let (hidden, units) = (self.recurrence.hidden()?, self.b_ag.size1()?);
        let options = (self.b_ag.f_kind()?, self.b_ag.device());
        let g = Tensor::f_zeros([batch * hidden, units], options)?;
        Ok(LayerState { h: self.recurrence.rest(batch)?, inner: Some(g) })
    }

    fn cell(
        &self,
        shape_override: Option<&ShapeOverride>,
        stats: &mut ShapeStats,
    ) -> Result<Box<dyn RecurrentCell + '_>> {
        let feedback = self.recurrence.feedback()?;
        let shapes = match shape_override {
            None => ShapeSource::Own(Controller::new(self)?),
            Some(ShapeOverride { n, s }) => {
                let curve = GammaCurve::new(n, s, feedback.requires_grad())?;
                stats.count(&curve);
                ShapeSource::Held { curve, n: n.shallow_clone(), s: s.shallow_clone() }
            }
        };
        Ok(Box::new(AdaptiveCell { feedback, shapes }))
    }

    fn slopes(&self, step: &LayerStep) -> Result<Option<NeuronSlopes>> {
        let (Some(a), Some(shape)) = (&step.a, &step.shape) else { return Ok(None) };
        gamma::slopes(a, &shape.n, &shape.s).map(Some)
    }

    fn fixed_shape(&self) -> Result<Option<NeuronShapes>> {
        Ok(None)
    }

    fn plan(&self, shape_override: Option<&ShapeOverride>) -> Result<Option<LayerPlan>> {
        let weights = self.recurrence.weights()?;
        if let Some(ShapeOverride { n, s }) = shape_override {
            let hidden = self.recurrence.hidden()?;
            return LayerPlan::gamma(weights, n, s, hidden);
        }
        let own = vec![
            self.u_ag.shallow_clone(),
            self.b_ag.f_add(&self.b_gg)?,
            self.w_gg.shallow_clone(),
            self.w_gn.shallow_clone(),
            self.b_gn.shallow_clone(),
            self.w_gs.shallow_clone(),
            self.b_gs.shallow_clone(),
        ];
        Ok(Some(LayerPlan { family: LayerFamily::Adaptive, weights, own, gains: None }))
    }

    fn named_gradients(&self, gradients: Gradients) -> Result<Vec<(&'static str, Tensor)>> {
        let mut named_gradients = Recurrence::named_gradients(gradients.weights);
        let like = [
            ("u_ag", &self.u_ag),
            ("b_ag", &self.b_ag),
            ("w_gg", &self.w_gg),
            ("w_gn", &self.w_gn),
            ("b_gn", &self.b_gn),
            ("w_gs", &self.w_gs),
            ("b_gs", &self.b_gs),
        ];
        for ((name, parameter), gradient) in like.into_iter().zip(&gradients.own) {
            named_gradients.push((name, gradient.f_reshape(parameter.size())?));
            if name == "b_ag" {
                named_gradients.push(("b_gg", gradient.shallow_clone()));
            }
        }
        Ok(named_gradients)
    }
}

/// A layer with its weights prepared for steps.
struct AdaptiveCell {
    /// w_hh^T [H, H].
    feedback: Tensor,
    shapes: ShapeSource,
}

/// Source of gain and saturation.
enum ShapeSource {
    /// Set by the controller.
    Own(Controller),
    /// Fixed; the controller stays at rest.
    Held { curve: GammaCurve, n: Tensor, s: Tensor },
}

impl RecurrentCell for AdaptiveCell {
    fn step(
        &self,
        external: &Tensor,
        state: &LayerState,
        stats: &mut ShapeStats,
    ) -> Result<LayerStep> {
        let a = external.f_addmm(&state.h, &self.feedback)?;
        let inner = state.inner.as_ref();
        let (h, g, shape) = match (&self.shapes, inner) {
            (ShapeSource::Own(controller), Some(g)) => {
                let g = controller.step(g, &a)?;
                let shape = controller.shape(&g, &a)?;
                let curve = GammaCurve::new(&shape.n, &shape.s, self.feedback.requires_grad())?;
                stats.count(&curve);
                stats.measure(&shape.n, &shape.s)?;
                (curve.apply(&a)?, Some(g), shape)
            }
            (ShapeSource::Held { curve, n, s }, g) => {
                let shape = GainSaturation { n: n.shallow_clone(), s: s.shallow_clone() };
                (curve.apply(&a)?, g.map(Tensor::shallow_clone), shape)
            }
            (ShapeSource::Own(_), None) => {
                return Err(tch::TchError::Shape("a controller has a state".to_owned()));
            }
        };
        Ok(LayerStep { state: LayerState { h, inner: g }, a: Some(a), shape: Some(shape) })
    }
}
