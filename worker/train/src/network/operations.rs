//! The algorithm of the fused kernels in operations of libtorch, for devices that the kernels do
//! not support: one product for the external input of the whole sequence, one per step, no graph, a
//! hand-written backward pass, and weight gradients as products over time and batch. Steps that do
//! not fit into memory are recomputed from stored states.

mod steps;

use rheo_kernels::{GainSaturation, OutputSelection};
use tch::{Result, Tensor, no_grad_guard};

use super::LayerState;
use super::plan::{
    ExecutionBackend, ForwardOutput, GradientRequest, Gradients, LayerPlan, SequenceInput,
    StateGradients,
};
use crate::gamma;
use crate::shape_stats::ShapeStats;
use crate::tensor::length;
use steps::{BackwardStep, LayerOperations};

/// A forward pass with a tape for its gradients.
pub(super) struct OperationsPass {
    layer: LayerOperations,
    inputs: Tensor,
    /// External input [T, B, G H].
    external: Tensor,
    every: bool,
    /// States before every `segment` steps.
    states: Vec<LayerState>,
    segment: i64,
}

/// Runs a layer over inputs [T, B, I].
pub(super) fn pass(
    plan: &LayerPlan,
    input: &SequenceInput<'_>,
    wanted: OutputSelection,
    backend: &ExecutionBackend,
    stats: &mut ShapeStats,
) -> Result<ForwardOutput<OperationsPass>> {
    let SequenceInput { inputs, conditions } = input;
    let layer = LayerOperations::new(plan)?;
    let (steps, batch, _) = inputs.size3()?;
    let external = layer.external(inputs, conditions.drive)?;
    let segment = if wanted.tape {
        layer.segment([steps, batch], backend.resources.memory)?
    } else {
        steps.max(1)
    };
    let mut state = match &conditions.from {
        Some(state) => state.share(),
        None => layer.rest(batch)?,
    };
    let (mut states, mut all) = (Vec::new(), <[Vec<Tensor>; 5]>::default());
    for (t, external) in (0..).zip(external.f_unbind(0)?) {
        if wanted.tape && t % segment == 0 {
            states.push(state.share());
        }
        let step = layer.step(&external, &state)?;
        let [h, a, n, s, inner] = &mut all;
        if wanted.every_h {
            h.push(step.state.h.shallow_clone());
        }
        if wanted.inner {
            inner.extend(step.state.inner.as_ref().map(Tensor::shallow_clone));
        }
        if wanted.trace && layer.has_one_input() {
            a.push(step.saved.shallow_clone());
        }
        if let Some(shape) = &step.shape {
            let counts = gamma::gain_counts(&shape.n)?;
            stats.guard_hits += counts.guard_hits;
            stats.negative_gains += counts.negative_gains;
            stats.measure(&shape.n, &shape.s)?;
            if wanted.trace {
                n.push(shape.n.shallow_clone());
                s.push(shape.s.shallow_clone());
            }
        }
        state = step.state;
    }
    let stack =
        |steps: &[Tensor]| (!steps.is_empty()).then(|| Tensor::f_stack(steps, 0)).transpose();
    let [h, a, n, s, inner] = &all;
    let inputs = inputs.shallow_clone();
    let every = wanted.every_h;
    Ok(ForwardOutput {
        h: stack(h)?.unwrap_or_else(|| state.h.shallow_clone()),
        last: state,
        a: stack(a)?,
        shape: stack(n)?.zip(stack(s)?).map(|(n, s)| GainSaturation { n, s }),
        inner: stack(inner)?,
        tape: wanted.tape.then_some(OperationsPass {
            layer,
            inputs,
            external,
            every,
            states,
            segment,
        }),
    })
}

impl OperationsPass {
    /// Computes the gradients of a loss from `grad_h`, its gradient with respect to the h that the
    /// pass returned.
    pub(super) fn gradients(self, grad_h: &Tensor, request: GradientRequest) -> Result<Gradients> {
        let _guard = no_grad_guard();
        let layer = &self.layer;
        let (steps, _, _) = self.inputs.size3()?;
        let mut sums = WeightGradSums::new(layer)?;
        let (mut grad_inputs, mut grad_states) = (Vec::new(), <[Vec<Tensor>; 2]>::default());
        let mut grad_state =
            if self.every { grad_h.f_get(0)?.f_zeros_like()? } else { grad_h.shallow_clone() };
        let mut grad_inner = None;
        for (index, before) in self.states.iter().enumerate().rev() {
            let first = length(index)? * self.segment;
            let count = self.segment.min(steps - first);
            let external = self.external.f_narrow(0, first, count)?.f_unbind(0)?;
            let mut states = vec![before.share()];
            let mut saved = Vec::new();
            for (external, at) in external.iter().zip(0..) {
                let step = layer.step(external, &states[at])?;
                saved.push(step.saved);
                states.push(step.state);
            }
            let (mut from_outside, mut from_neurons) = (Vec::new(), Vec::new());
            for (t, saved) in saved.iter().enumerate().rev() {
                if self.every {
                    let at = first + length(t)?;
                    grad_state = grad_state.f_add(&grad_h.f_get(at)?)?;
                }
                let (last, next) = (&states[t], &states[t + 1]);
                let grad_h = &grad_state;
                let step = BackwardStep { saved, last, next, grad_h, grad_inner };
                let gradients = layer.backward(&step, &mut sums)?;
                if request.states {
                    grad_states[0].push(grad_state);
                    grad_states[1].extend(gradients.grad_state);
                }
                let grad_feedback =
                    gradients.grad_feedback.as_ref().unwrap_or(&gradients.grad_external);
                grad_state = grad_feedback.f_matmul(&layer.w_h)?;
                if let Some(direct) = &gradients.direct {
                    grad_state = grad_state.f_add(direct)?;
                }
                from_neurons.push(grad_feedback.shallow_clone());
                from_outside.push(gradients.grad_external);
                grad_inner = gradients.grad_inner;
            }
            from_outside.reverse();
            from_neurons.reverse();
            let h: Vec<&Tensor> = states.iter().take(saved.len()).map(|state| &state.h).collect();
            let inputs = self.inputs.f_narrow(0, first, count)?;
            let grad_external = Tensor::f_cat(&from_outside, 0)?;
            sums.add(&grad_external, &inputs.f_flatten(0, 1)?)?;
            sums.add_feedback(&Tensor::f_cat(&from_neurons, 0)?, &Tensor::f_cat(&h, 0)?)?;
            if request.inputs {
                grad_inputs.push(grad_external.f_matmul(&layer.w_x)?.f_reshape(inputs.size())?);
            }
        }
        grad_inputs.reverse();
        let inputs = request.inputs.then(|| Tensor::f_cat(&grad_inputs, 0)).transpose()?;
        let [h, inner] = grad_states.map(|mut steps| {
            steps.reverse();
            (!steps.is_empty()).then(|| Tensor::f_stack(&steps, 0)).transpose()
        });
        let inner = inner?;
        let states = h?.map(|h| StateGradients { h, inner });
        Ok(Gradients { weights: [sums.w_x, sums.w_h, sums.bias], own: sums.own, inputs, states })
    }
}

/// Weight gradients, summed up over segments.
struct WeightGradSums {
    w_x: Tensor,
    w_h: Tensor,
    bias: Tensor,
    own: Vec<Tensor>,
}

impl WeightGradSums {
    fn new(layer: &LayerOperations) -> Result<Self> {
        Ok(Self {
            w_x: layer.w_x.f_zeros_like()?,
            w_h: layer.w_h.f_zeros_like()?,
            bias: layer.bias.f_zeros_like()?,
            own: layer.own.iter().map(Tensor::f_zeros_like).collect::<Result<_>>()?,
        })
    }

    /// Adds gradients [N, G H] with respect to the external input, for inputs [N, I].
    fn add(&mut self, grad_external: &Tensor, inputs: &Tensor) -> Result<()> {
        self.w_x = self.w_x.f_addmm(&grad_external.f_transpose(0, 1)?, inputs)?;
        self.bias = self.bias.f_add(&over_rows(grad_external)?)?;
        Ok(())
    }

    /// Adds gradients [N, G H] with respect to the recurrent input, for states [N, H].
    fn add_feedback(&mut self, grad_feedback: &Tensor, h: &Tensor) -> Result<()> {
        self.w_h = self.w_h.f_addmm(&grad_feedback.f_transpose(0, 1)?, h)?;
        Ok(())
    }

    /// Adds gradients of the family's other parameters, in their order.
    fn add_own<const N: usize>(&mut self, gradients: [Tensor; N]) -> Result<()> {
        for (sum, gradient) in self.own.iter_mut().zip(gradients) {
            *sum = sum.f_add(&gradient.f_reshape(sum.size())?)?;
        }
        Ok(())
    }
}

/// Returns the sum over the rows of [N, K], [K].
fn over_rows(tensor: &Tensor) -> Result<Tensor> {
    tensor.f_sum_dim_intlist(0, false, tensor.f_kind()?)
}
