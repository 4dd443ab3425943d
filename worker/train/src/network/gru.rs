//! Gated recurrent units (GRU):
//!
//! ```text
//! r = sigma(x w_ir^T + b_ir + h w_hr^T + b_hr + d) ;  z likewise
//! c = tanh(x w_in^T + b_in + r (h w_hn^T + b_hn) + d) ;  h_t = (1 - z) c + z h_{t-1}
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

/// Names of the weights and biases from the input and from the state, of reset gate, update gate
/// and candidate.
const NAMES: [[&str; 4]; 3] = [
    ["w_ir", "b_ir", "w_hr", "b_hr"],
    ["w_iz", "b_iz", "w_hz", "b_hz"],
    ["w_in", "b_in", "w_hn", "b_hn"],
];

/// Returns the number of learned values of such a layer with `inputs` inputs.
pub(super) fn count(config: &config::Network, inputs: u32) -> u64 {
    let [h, i] = [config.hidden, inputs].map(u64::from);
    3 * (h * i + h + h * h + h)
}

/// A layer of gated recurrent units.
pub(super) struct Gru {
    /// w_i [H, I], b_i [H], w_h [H, H], b_h [H] of each gate.
    gates: Vec<[Tensor; 4]>,
    hidden: i64,
    drive: GateDrive,
}

impl Gru {
    pub(super) fn new(
        config: &config::Network,
        inputs: u32,
        init: &mut Initializer<'_>,
    ) -> Result<Self> {
        let hidden = config.hidden;
        let bound = |fan_in: u32| 1.0 / f64::from(fan_in).sqrt();
        let mut gates = Vec::new();
        for _ in NAMES {
            gates.push([
                init.uniform(&[hidden, inputs], bound(inputs))?,
                init.bias(hidden, inputs)?,
                init.uniform(&[hidden, hidden], bound(hidden))?,
                init.bias(hidden, hidden)?,
            ]);
        }
        Ok(Self { gates, hidden: hidden.into(), drive: config.drive })
    }

    /// Returns one tensor of every gate, stacked along the rows.
    fn stacked(&self, which: usize) -> Result<Tensor> {
        let parts: Vec<&Tensor> = self.gates.iter().map(|gate| &gate[which]).collect();
        Tensor::f_cat(&parts, 0)
    }
}

impl Layer for Gru {
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
        let external = inputs.f_linear(&self.stacked(0)?, Some(&self.stacked(1)?))?;
        let drive = drive.filter(|_| self.drive == GateDrive::All);
        let Some(drive) = drive else { return external.f_unbind(0) };
        let parts = external.f_chunk(3, -1)?;
        let parts = parts.iter().map(|part| part.f_add(drive)).collect::<Result<Vec<_>>>()?;
        Tensor::f_cat(&parts, -1)?.f_unbind(0)
    }

    fn recurrent(&self) -> &'static [&'static str] {
        &["w_hr", "w_hz", "w_hn"]
    }

    fn biases(&self) -> &'static [&'static str] {
        &["b_ir", "b_hr", "b_iz", "b_hz", "b_in", "b_hn"]
    }

    fn rest(&self, batch: i64) -> Result<LayerState> {
        let b = &self.gates[0][1];
        let h = Tensor::f_zeros([batch, self.hidden], (b.f_kind()?, b.device()))?;
        Ok(LayerState { h, inner: None })
    }

    fn cell(
        &self,
        _held: Option<&ShapeOverride>,
        _gauge: &mut ShapeStats,
    ) -> Result<Box<dyn RecurrentCell + '_>> {
        let feedback = self.stacked(2)?.f_transpose(0, 1)?;
        Ok(Box::new(GruCell { feedback, bias: self.stacked(3)? }))
    }

    fn slopes(&self, _step: &LayerStep) -> Result<Option<NeuronSlopes>> {
        Ok(None)
    }

    fn fixed_shape(&self) -> Result<Option<NeuronShapes>> {
        Ok(None)
    }

    fn plan(&self, _held: Option<&ShapeOverride>) -> Result<Option<LayerPlan>> {
        let (from_input, from_state) = (self.stacked(1)?, self.stacked(3)?);
        // Two of the gates sum up their biases; the candidate keeps them apart.
        let shared = from_state.f_narrow(0, 0, 2 * self.hidden)?;
        let alone = from_state.f_narrow(0, 2 * self.hidden, self.hidden)?;
        let bias = from_input.f_add(&Tensor::f_cat(&[shared, alone.f_zeros_like()?], 0)?)?;
        let weights = [self.stacked(0)?, self.stacked(2)?, bias];
        let family = LayerFamily::Gru { is_driven: self.drive == GateDrive::All };
        Ok(Some(LayerPlan { family, weights, own: vec![alone], gains: None }))
    }

    fn named_gradients(&self, gradients: Gradients) -> Result<Vec<(&'static str, Tensor)>> {
        let [w_x, w_h, bias] = gradients.weights.map(|gradient| gradient.f_chunk(3, 0));
        let from_input = bias?;
        let mut from_state: Vec<Tensor> =
            from_input.iter().take(2).map(Tensor::shallow_clone).collect();
        from_state.extend(gradients.own);
        let mut named_gradients = Vec::new();
        let gates = w_x?.into_iter().zip(w_h?).zip(from_input).zip(from_state);
        for ([w_i, b_i, w_h, b_h], (((w_x, w_s), b_x), b_s)) in NAMES.iter().zip(gates) {
            named_gradients.extend([(*w_i, w_x), (*b_i, b_x), (*w_h, w_s), (*b_h, b_s)]);
        }
        Ok(named_gradients)
    }
}

/// A layer with its weights prepared for steps.
struct GruCell {
    /// The recurrent weights of all gates [H, 3 H].
    feedback: Tensor,
    /// Biases of the gates [3 H].
    bias: Tensor,
}

impl RecurrentCell for GruCell {
    fn step(
        &self,
        external: &Tensor,
        state: &LayerState,
        _gauge: &mut ShapeStats,
    ) -> Result<LayerStep> {
        let own = self.bias.f_addmm(&state.h, &self.feedback)?;
        let (external_input, own) = (external.f_chunk(3, 1)?, own.f_chunk(3, 1)?);
        let ([ir, iz, ic], [hr, hz, hc]) = (external_input.as_slice(), own.as_slice()) else {
            return Err(tch::TchError::Shape("a GRU has three gates".to_owned()));
        };
        let r = ir.f_add(hr)?.f_sigmoid()?;
        let z = iz.f_add(hz)?.f_sigmoid()?;
        let c = ic.f_addcmul(&r, hc)?.f_tanh()?;
        // c + z (h - c).
        let h = c.f_addcmul(&z, &state.h.f_sub(&c)?)?;
        Ok(LayerStep { state: LayerState { h, inner: None }, a: None, shape: None })
    }
}
