//! Long short-term memory (LSTM) with u = [h_{t-1}, x_t]:
//!
//! ```text
//! f, i, o = sigma(u w_*^T + b_* + d_t) ;  c_t = f c_{t-1} + i tanh(u w_g^T + b_g + d_t) ;  h_t = o tanh(c_t)
//! ```

use rheo_model::config::{self, GateDrive};
use tch::{Result, Tensor};

use super::init::Initializer;
use super::plan::{Gradients, LayerFamily, LayerPlan};
use super::{
    Layer, LayerState, LayerStep, NeuronSlopes, Parameter, ParameterGroup, RecurrentCell,
    ShapeOverride,
};
use crate::shape_stats::{NeuronShapes, ShapeStats};

/// Gates and candidate, in the order of the parameters.
const NAMES: [[&str; 2]; 4] = [["w_f", "b_f"], ["w_i", "b_i"], ["w_o", "b_o"], ["w_g", "b_g"]];
/// Index of the output gate.
const OUTPUT: usize = 2;

/// Returns the number of learned values of such a layer with `inputs` inputs.
pub(super) fn count(config: &config::Network, inputs: u32) -> u64 {
    let [h, i] = [config.hidden, inputs].map(u64::from);
    4 * (h * (h + i) + h)
}

/// A layer of LSTM units.
pub(super) struct Lstm {
    /// w [H, H + I] and b [H] of each gate.
    gates: Vec<[Tensor; 2]>,
    hidden: i64,
    drive: GateDrive,
}

impl Lstm {
    pub(super) fn new(
        config: &config::Network,
        inputs: u32,
        init: &mut Initializer<'_>,
    ) -> Result<Self> {
        let hidden = config.hidden;
        let mut gates = Vec::new();
        for _ in NAMES {
            let w = init.xavier(hidden, hidden + inputs, 1.0)?;
            gates.push([w, init.bias(hidden, hidden + inputs)?]);
        }
        Ok(Self { gates, hidden: hidden.into(), drive: config.drive })
    }

    /// Returns columns `first`..`first + count` of all weights, [4 H, `count`].
    fn columns(&self, first: i64, count: i64) -> Result<Tensor> {
        let parts = self.gates.iter().map(|[w, _]| w.f_narrow(1, first, count));
        Tensor::f_cat(&parts.collect::<Result<Vec<_>>>()?, 0)
    }
}

impl Layer for Lstm {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut parameters = Vec::new();
        for (names, tensors) in NAMES.iter().zip(&self.gates) {
            for (name, tensor) in names.iter().zip(tensors) {
                let group = ParameterGroup::Recurrent;
                parameters.push(Parameter { name, tensor, trained: true, group });
            }
        }
        parameters
    }

    fn external(&self, inputs: &Tensor, drive: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let (_, _, width) = inputs.size3()?;
        let biases: Vec<&Tensor> = self.gates.iter().map(|[_, b]| b).collect();
        let weights = self.columns(self.hidden, width)?;
        let external = inputs.f_linear(&weights, Some(&Tensor::f_cat(&biases, 0)?))?;
        let Some(drive) = drive else { return external.f_unbind(0) };
        let mut parts = external.f_chunk(4, -1)?;
        for (gate, part) in parts.iter_mut().enumerate() {
            if self.drive == GateDrive::All || gate == OUTPUT {
                *part = part.f_add(drive)?;
            }
        }
        Tensor::f_cat(&parts, -1)?.f_unbind(0)
    }

    fn recurrent(&self) -> &'static [&'static str] {
        &["w_f", "w_i", "w_o", "w_g"]
    }

    fn biases(&self) -> &'static [&'static str] {
        &["b_f", "b_i", "b_o", "b_g"]
    }

    fn rest(&self, batch: i64) -> Result<LayerState> {
        let b = &self.gates[0][1];
        let zeros = || Tensor::f_zeros([batch, self.hidden], (b.f_kind()?, b.device()));
        Ok(LayerState { h: zeros()?, inner: Some(zeros()?) })
    }

    fn cell(
        &self,
        _held: Option<&ShapeOverride>,
        _gauge: &mut ShapeStats,
    ) -> Result<Box<dyn RecurrentCell + '_>> {
        Ok(Box::new(LstmCell { feedback: self.columns(0, self.hidden)?.f_transpose(0, 1)? }))
    }

    fn slopes(&self, _step: &LayerStep) -> Result<Option<NeuronSlopes>> {
        Ok(None)
    }

    fn fixed_shape(&self) -> Result<Option<NeuronShapes>> {
        Ok(None)
    }

    fn plan(&self, _held: Option<&ShapeOverride>) -> Result<Option<LayerPlan>> {
        let width = self.gates[0][0].size2()?.1 - self.hidden;
        let biases: Vec<&Tensor> = self.gates.iter().map(|[_, b]| b).collect();
        let weights = [
            self.columns(self.hidden, width)?,
            self.columns(0, self.hidden)?,
            Tensor::f_cat(&biases, 0)?,
        ];
        let driven: &[usize] = match self.drive {
            GateDrive::All => &[0, 1, 2, 3],
            GateDrive::Released => &[OUTPUT],
        };
        let family = LayerFamily::Lstm { driven };
        Ok(Some(LayerPlan { family, weights, own: Vec::new(), gains: None }))
    }

    fn named_gradients(&self, gradients: Gradients) -> Result<Vec<(&'static str, Tensor)>> {
        let [w_x, w_h, bias] = gradients.weights.map(|gradient| gradient.f_chunk(4, 0));
        let mut named_gradients = Vec::new();
        let gates = w_x?.into_iter().zip(w_h?).zip(bias?);
        for ([w, b], ((w_x, w_h), bias)) in NAMES.iter().zip(gates) {
            named_gradients.push((*w, Tensor::f_cat(&[w_h, w_x], 1)?));
            named_gradients.push((*b, bias));
        }
        Ok(named_gradients)
    }
}

/// A layer with its weights prepared for steps.
struct LstmCell {
    /// The recurrent weights of all gates [H, 4 H].
    feedback: Tensor,
}

impl RecurrentCell for LstmCell {
    fn step(
        &self,
        external: &Tensor,
        state: &LayerState,
        _gauge: &mut ShapeStats,
    ) -> Result<LayerStep> {
        let all = external.f_addmm(&state.h, &self.feedback)?;
        let parts = all.f_chunk(4, 1)?;
        let [forget, input, output, candidate] = parts.as_slice() else {
            return Err(tch::TchError::Shape("an LSTM has four gates".to_owned()));
        };
        let fresh = input.f_sigmoid()?.f_mul(&candidate.f_tanh()?)?;
        let c = match &state.inner {
            Some(c) => fresh.f_addcmul(&forget.f_sigmoid()?, c)?,
            None => fresh,
        };
        let h = output.f_sigmoid()?.f_mul(&c.f_tanh()?)?;
        Ok(LayerStep { state: LayerState { h, inner: Some(c) }, a: None, shape: None })
    }
}
