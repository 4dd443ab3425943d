//! Single forward and backward steps of a layer in operations of libtorch.

#![expect(clippy::many_single_char_names, reason = "the names follow the literature")]

use rheo_kernels::GainSaturation;
use tch::{Result, TchError, Tensor};

use super::super::LayerState;
use super::super::activation;
use super::super::plan::{LayerFamily, LayerPlan};
use super::{WeightGradSums, over_rows};
use crate::gamma::{self, GammaCurve};
use crate::tensor::length;

/// A layer with its weights prepared for steps.
pub(super) struct LayerOperations {
    pub(super) family: LayerFamily,
    pub(super) w_x: Tensor,
    pub(super) w_h: Tensor,
    pub(super) bias: Tensor,
    pub(super) own: Vec<Tensor>,
}

/// Result of one forward step.
pub(super) struct ForwardStep {
    /// Values for the backward pass: the weighted sums, or the gate values.
    pub(super) saved: Tensor,
    pub(super) state: LayerState,
    /// Gain and saturation of adaptive neurons.
    pub(super) shape: Option<GainSaturation<Tensor>>,
}

/// Arguments of one backward step.
pub(super) struct BackwardStep<'a> {
    /// Values of [`ForwardStep::saved`].
    pub(super) saved: &'a Tensor,
    /// State before the step.
    pub(super) last: &'a LayerState,
    /// State after the step.
    pub(super) next: &'a LayerState,
    /// Gradient with respect to h after the step.
    pub(super) grad_h: &'a Tensor,
    /// Gradient with respect to the inner state after the step that came through the next step;
    /// none after the last step.
    pub(super) grad_inner: Option<Tensor>,
}

/// Gradients of one step.
pub(super) struct StepGradients {
    /// With respect to the external input, [B, G H].
    pub(super) grad_external: Tensor,
    /// With respect to the recurrent input, if it differs from the external one.
    pub(super) grad_feedback: Option<Tensor>,
    /// With respect to h_{t-1}: the part that does not come through the weights.
    pub(super) direct: Option<Tensor>,
    pub(super) grad_inner: Option<Tensor>,
    /// With respect to the inner state after the step, including the part through h_t.
    pub(super) grad_state: Option<Tensor>,
}

impl LayerOperations {
    pub(super) fn new(plan: &LayerPlan) -> Result<Self> {
        let [w_x, w_h, bias] = &plan.weights;
        Ok(Self {
            family: plan.family,
            w_x: w_x.f_detach()?,
            w_h: w_h.f_detach()?,
            bias: bias.f_detach()?,
            own: plan.own.iter().map(Tensor::f_detach).collect::<Result<_>>()?,
        })
    }

    fn own<const N: usize>(&self) -> Result<&[Tensor; N]> {
        self.own.first_chunk().ok_or_else(missing)
    }

    /// Whether a neuron receives a single weighted sum.
    pub(super) fn has_one_input(&self) -> bool {
        !matches!(self.family, LayerFamily::Lstm { .. } | LayerFamily::Gru { .. })
    }

    /// Returns the gates that a drive is added to.
    fn driven(&self) -> &[usize] {
        match self.family {
            LayerFamily::Lstm { driven } => driven,
            LayerFamily::Gru { is_driven: true } => &[0, 1, 2],
            LayerFamily::Gru { is_driven: false } => &[],
            _ => &[0],
        }
    }

    fn hidden(&self) -> Result<i64> {
        Ok(self.w_h.size2()?.1)
    }

    /// Returns the external input at each step, [T, B, G H].
    pub(super) fn external(&self, inputs: &Tensor, drive: Option<&Tensor>) -> Result<Tensor> {
        let external = inputs.f_linear(&self.w_x, Some(&self.bias))?;
        let Some(drive) = drive else { return Ok(external) };
        for &gate in self.driven() {
            let first = length(gate)? * self.hidden()?;
            let _ = external.f_narrow(2, first, self.hidden()?)?.f_add_(drive)?;
        }
        Ok(external)
    }

    /// Returns the resting state of a batch of `batch` samples.
    pub(super) fn rest(&self, batch: i64) -> Result<LayerState> {
        let options = (self.w_h.f_kind()?, self.w_h.device());
        let zeros = |rows: i64, columns: i64| Tensor::f_zeros([rows, columns], options);
        let hidden = self.hidden()?;
        let inner = match self.family {
            LayerFamily::Adaptive => Some(zeros(batch * hidden, self.units()?)?),
            LayerFamily::Lstm { .. } => Some(zeros(batch, hidden)?),
            _ => None,
        };
        Ok(LayerState { h: zeros(batch, hidden)?, inner })
    }

    /// Returns the number of controller units.
    fn units(&self) -> Result<i64> {
        let [_, bias] = self.own()?;
        bias.size1()
    }

    /// Returns the number of steps between stored states: as many as fit into `bytes` together with
    /// the stored states, else about as many as there are stored states.
    pub(super) fn segment(&self, [steps, batch]: [i64; 2], bytes: usize) -> Result<i64> {
        let inner = match self.family {
            LayerFamily::Adaptive => self.hidden()? * self.units()?,
            LayerFamily::Lstm { .. } => self.hidden()?,
            _ => 0,
        };
        let state = self.hidden()? + inner;
        let saved = state + 2 * self.bias.size1()?;
        let size = i64::try_from(self.w_h.f_kind()?.elt_size_in_bytes()).unwrap_or(i64::MAX);
        let most = i64::try_from(bytes).unwrap_or(i64::MAX) / size / batch.max(1);
        if steps * saved <= most {
            return Ok(steps.max(1));
        }
        let root = (1..=steps).find(|root| root * root >= steps).unwrap_or(1);
        Ok(root)
    }

    /// Advances `state` by one step.
    pub(super) fn step(&self, external: &Tensor, state: &LayerState) -> Result<ForwardStep> {
        let feedback = self.w_h.f_transpose(0, 1)?;
        let plain = |saved: Tensor, h| ForwardStep {
            saved,
            state: LayerState { h, inner: None },
            shape: None,
        };
        match self.family {
            LayerFamily::Activation(activation) => {
                let a = external.f_addmm(&state.h, &feedback)?;
                let h = activation.apply(&a)?;
                Ok(plain(a, h))
            }
            LayerFamily::Modrelu => {
                let a = external.f_addmm(&state.h, &feedback)?;
                let h = activation::modrelu(&a, &self.own::<1>()?[0])?;
                Ok(plain(a, h))
            }
            LayerFamily::Gamma => {
                let a = external.f_addmm(&state.h, &feedback)?;
                let [n, s] = self.own()?;
                let h = GammaCurve::new(n, s, false)?.apply(&a)?;
                Ok(plain(a, h))
            }
            LayerFamily::Adaptive => {
                let a = external.f_addmm(&state.h, &feedback)?;
                let [u, bias, w, ..] = self.own::<7>()?;
                let g = state.inner.as_ref().ok_or_else(missing)?;
                let next = bias.f_addmm(g, &w.f_transpose(0, 1)?)?;
                let next = next.f_addr(&a.f_flatten(0, 1)?, &u.f_flatten(0, -1)?)?.f_tanh_()?;
                let shape = self.shape(&next, &a)?;
                let h = GammaCurve::new(&shape.n, &shape.s, false)?.apply(&a)?;
                let state = LayerState { h, inner: Some(next) };
                Ok(ForwardStep { saved: a, state, shape: Some(shape) })
            }
            LayerFamily::Lstm { .. } => {
                let all = external.f_addmm(&state.h, &feedback)?;
                let [f, i, o, g] = parts(&all)?;
                let (f, i, o, g) = (f.f_sigmoid()?, i.f_sigmoid()?, o.f_sigmoid()?, g.f_tanh()?);
                let c = state.inner.as_ref().ok_or_else(missing)?;
                let c = i.f_mul(&g)?.f_addcmul(&f, c)?;
                let h = o.f_mul(&c.f_tanh()?)?;
                let saved = Tensor::f_cat(&[f, i, o, g], 1)?;
                Ok(ForwardStep { saved, state: LayerState { h, inner: Some(c) }, shape: None })
            }
            LayerFamily::Gru { .. } => {
                let [r, z, own] = parts(&state.h.f_matmul(&feedback)?)?;
                let [external_r, external_z, external_c] = parts(external)?;
                let own = own.f_add(&self.own::<1>()?[0])?;
                let (r, z) =
                    (r.f_add(&external_r)?.f_sigmoid()?, z.f_add(&external_z)?.f_sigmoid()?);
                let c = external_c.f_addcmul(&r, &own)?.f_tanh()?;
                let h = c.f_addcmul(&z, &state.h.f_sub(&c)?)?;
                Ok(plain(Tensor::f_cat(&[r, z, own, c], 1)?, h))
            }
        }
    }

    /// Returns gain and saturation, each shaped like `a` [B, H], for controller states `g`.
    fn shape(&self, g: &Tensor, a: &Tensor) -> Result<GainSaturation<Tensor>> {
        let [_, _, _, w_n, b_n, w_s, b_s] = self.own()?;
        let of = |w: &Tensor, b: &Tensor| g.f_mv(&w.f_flatten(0, -1)?)?.f_add(b)?.f_reshape_as(a);
        Ok(GainSaturation { n: of(w_n, b_n)?, s: of(w_s, b_s)? })
    }

    /// Goes one step back.
    pub(super) fn backward(
        &self,
        step: &BackwardStep<'_>,
        sums: &mut WeightGradSums,
    ) -> Result<StepGradients> {
        let BackwardStep { saved, last, next, grad_h, grad_inner } = step;
        let plain = |grad_external: Tensor| StepGradients {
            grad_external,
            grad_feedback: None,
            direct: None,
            grad_inner: None,
            grad_state: None,
        };
        match self.family {
            LayerFamily::Activation(activation) => {
                Ok(plain(grad_h.f_mul(&activation.slope(saved)?)?))
            }
            LayerFamily::Modrelu => {
                let grad_a =
                    grad_h.f_mul(&activation::modrelu_slope(saved, &self.own::<1>()?[0])?)?;
                sums.add_own([over_rows(&grad_a.f_mul(&saved.f_sign()?)?)?])?;
                Ok(plain(grad_a))
            }
            LayerFamily::Gamma => {
                let [n, s] = self.own()?;
                let slopes = gamma::slopes(saved, n, s)?;
                let shape = slopes.shape.ok_or_else(missing)?;
                let by = |slope: &Tensor| over_rows(&grad_h.f_mul(slope)?);
                sums.add_own([by(&shape.n)?, by(&shape.s)?])?;
                Ok(plain(grad_h.f_mul(&slopes.x)?))
            }
            LayerFamily::Adaptive => self.backward_adaptive(step, sums),
            LayerFamily::Lstm { .. } => {
                let [f, i, o, g] = parts(saved)?;
                let (c, next) = (last.inner.as_ref(), next.inner.as_ref());
                let (c, next) = (c.ok_or_else(missing)?, next.ok_or_else(missing)?);
                let tanh_c = next.f_tanh()?;
                let through = through_tanh(&grad_h.f_mul(&o)?, &tanh_c)?;
                let grad_c = match grad_inner {
                    Some(grad_inner) => grad_inner.f_add(&through)?,
                    None => through,
                };
                let gates = [
                    through_sigmoid(&grad_c.f_mul(c)?, &f)?,
                    through_sigmoid(&grad_c.f_mul(&g)?, &i)?,
                    through_sigmoid(&grad_h.f_mul(&tanh_c)?, &o)?,
                    through_tanh(&grad_c.f_mul(&i)?, &g)?,
                ];
                let grad_inner = Some(grad_c.f_mul(&f)?);
                Ok(StepGradients {
                    grad_inner,
                    grad_state: Some(grad_c),
                    ..plain(Tensor::f_cat(&gates, 1)?)
                })
            }
            LayerFamily::Gru { .. } => {
                let [r, z, own, c] = parts(saved)?;
                let grad_z = through_sigmoid(&grad_h.f_mul(&last.h.f_sub(&c)?)?, &z)?;
                let grad_c = through_tanh(&grad_h.f_mul(&z.f_rsub_scalar(1.0)?)?, &c)?;
                let grad_r = through_sigmoid(&grad_c.f_mul(&own)?, &r)?;
                let grad_own = grad_c.f_mul(&r)?;
                sums.add_own([over_rows(&grad_own)?])?;
                Ok(StepGradients {
                    grad_external: Tensor::f_cat(&[&grad_r, &grad_z, &grad_c], 1)?,
                    grad_feedback: Some(Tensor::f_cat(&[&grad_r, &grad_z, &grad_own], 1)?),
                    direct: Some(grad_h.f_mul(&z)?),
                    grad_inner: None,
                    grad_state: None,
                })
            }
        }
    }

    /// [`LayerOperations::backward`] of adaptive neurons.
    fn backward_adaptive(
        &self,
        step: &BackwardStep<'_>,
        sums: &mut WeightGradSums,
    ) -> Result<StepGradients> {
        let BackwardStep { saved: a, last, next, grad_h, grad_inner } = step;
        let [u, _, w, w_n, _, w_s, _] = self.own()?;
        let (g, next) = (last.inner.as_ref(), next.inner.as_ref());
        let (g, next) = (g.ok_or_else(missing)?, next.ok_or_else(missing)?);
        let shape = self.shape(next, a)?;
        let slopes = gamma::slopes(a, &shape.n, &shape.s)?;
        let slope = slopes.shape.ok_or_else(missing)?;
        let grad_n = grad_h.f_mul(&slope.n)?.f_flatten(0, 1)?;
        let grad_s = grad_h.f_mul(&slope.s)?.f_flatten(0, 1)?;
        let (w_n, w_s) = (w_n.f_flatten(0, -1)?, w_s.f_flatten(0, -1)?);
        let grad_state = grad_n.f_outer(&w_n)?.f_addr(&grad_s, &w_s)?;
        let grad_state = match grad_inner {
            Some(grad_inner) => grad_state.f_add(grad_inner)?,
            None => grad_state,
        };
        let grad_z = through_tanh(&grad_state, next)?;
        let transposed = grad_z.f_transpose(0, 1)?;
        sums.add_own([
            transposed.f_mv(&a.f_flatten(0, 1)?)?,
            over_rows(&grad_z)?,
            transposed.f_matmul(g)?,
            next.f_transpose(0, 1)?.f_mv(&grad_n)?,
            grad_n.f_sum(a.f_kind()?)?,
            next.f_transpose(0, 1)?.f_mv(&grad_s)?,
            grad_s.f_sum(a.f_kind()?)?,
        ])?;
        let through = grad_z.f_mv(&u.f_flatten(0, -1)?)?.f_reshape_as(a)?;
        Ok(StepGradients {
            grad_external: grad_h.f_mul(&slopes.x)?.f_add(&through)?,
            grad_feedback: None,
            direct: None,
            grad_inner: Some(grad_z.f_matmul(w)?),
            grad_state: Some(grad_state),
        })
    }
}

/// Splits values [B, N H] into N gates [B, H].
fn parts<const N: usize>(all: &Tensor) -> Result<[Tensor; N]> {
    let parts = all.f_chunk(length(N)?, -1)?;
    parts.try_into().map_err(|_| missing())
}

/// Returns sigma'(x) times `by`, from y = sigma(x).
fn through_sigmoid(by: &Tensor, y: &Tensor) -> Result<Tensor> {
    by.f_mul(y)?.f_mul(&y.f_rsub_scalar(1.0)?)
}

/// Returns tanh'(x) times `by`, from y = tanh(x).
fn through_tanh(by: &Tensor, y: &Tensor) -> Result<Tensor> {
    by.f_mul(&y.f_square()?.f_rsub_scalar(1.0)?)
}

fn missing() -> TchError {
    TchError::Shape("a layer lacks a parameter or state".to_owned())
}
