//! Gated recurrent units:
//!
//! ```text
//! r, z = sigma(..) ;  c = tanh(w_x x + b_x + d + r (w_h h + b_h)) ;  h_t = (1 - z) c + z h_{t-1}
//! ```

use pulp::Simd;

use super::{sigmoid_slope, split, tanh_slope};
use crate::Real;
use crate::cell::{BackwardArgs, Cell, ForwardArgs};
use crate::curve;
use crate::dims::{GroupDims, LayerDims};
use crate::product::WeightProduct;
use crate::thread_gradients::ThreadGradients;
use crate::weights::{WeightGradients, Weights};

/// A layer of gated recurrent units (GRU).
#[derive(Debug, Clone, Copy)]
pub struct Gru<'a, R> {
    /// Connection weights of r, z and the candidate. The biases are those of the input; for r and z
    /// those of the state are added.
    pub weights: Weights<'a, R>,
    /// Bias of the candidate's recurrent part, which r multiplies, [H].
    pub candidate_bias: &'a [R],
    /// Whether a drive is added to r, z and the candidate.
    pub is_driven: bool,
}

/// Gates: r, z and the candidate.
const GATES: usize = 3;

/// Blocks: r, z, the candidate's recurrent part, and the candidate's input part.
const BLOCKS: usize = 4;

impl<R: Real> Cell<R> for Gru<'_, R> {
    type Sums = ();

    fn products<S: Simd>(&self, size: &GroupDims) -> Vec<WeightProduct<R>> {
        let GroupDims { hidden, inputs, .. } = *size;
        let from_state = |gate, neuron, k| {
            if gate < 2 || k < hidden {
                self.weights.get(gate * hidden + neuron, k, size)
            } else if k < hidden + inputs {
                R::ZERO
            } else {
                self.candidate_bias[neuron]
            }
        };
        let from_input = |_, neuron, k| self.weights.get(2 * hidden + neuron, hidden + k, size);
        vec![
            WeightProduct::new::<S>(size, 0..GATES, true, from_state),
            WeightProduct::new::<S>(size, GATES..BLOCKS, false, from_input),
        ]
    }

    fn blocks(&self) -> usize {
        BLOCKS
    }

    fn driven(&self) -> &[usize] {
        if self.is_driven { &[0, 1, 3] } else { &[] }
    }

    fn is_leaky(&self) -> bool {
        true
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, step: ForwardArgs<'_, R>) {
        let padded = step.size.padded;
        let rows = step
            .pre
            .chunks_exact_mut(BLOCKS * padded)
            .zip(step.last.values.chunks_exact(step.last.stride))
            .zip(step.h.values.chunks_exact_mut(step.h.stride));
        for ((pre, last), h) in rows {
            let last = R::vectors::<S>(&last[..padded]).0;
            let h = R::vectors_mut::<S>(&mut h[..padded]).0;
            let [r, z, own, c] = split(R::vectors_mut::<S>(pre).0, last.len());
            for v in 0..last.len() {
                r[v] = curve::sigmoid::<R, S>(simd, r[v]);
                z[v] = curve::sigmoid::<R, S>(simd, z[v]);
                c[v] = curve::tanh::<R, S>(simd, R::mul_add(simd, r[v], own[v], c[v]));
                h[v] = R::mul_add(simd, z[v], R::sub(simd, last[v], c[v]), c[v]);
            }
        }
    }

    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, step: BackwardArgs<'_, R>, (): &mut ()) {
        let padded = step.size.padded;
        let rows = step
            .pre
            .chunks_exact_mut(BLOCKS * padded)
            .zip(step.last.values.chunks_exact(step.last.stride))
            .zip(step.grad_h.values.chunks_exact_mut(step.grad_h.stride));
        let times = |a, b| R::mul(simd, a, b);
        let one = R::splat(simd, R::ONE);
        for ((pre, last), grad_h) in rows {
            let last = R::vectors::<S>(&last[..padded]).0;
            let grad_h = R::vectors_mut::<S>(&mut grad_h[..padded]).0;
            let [r, z, own, c] = split(R::vectors_mut::<S>(pre).0, last.len());
            for v in 0..last.len() {
                let grad_z = times(grad_h[v], R::sub(simd, last[v], c[v]));
                let grad_c = times(grad_h[v], R::sub(simd, one, z[v]));
                let grad_candidate = times(grad_c, tanh_slope::<R, S>(simd, c[v]));
                let grad_r = times(grad_candidate, own[v]);
                grad_h[v] = times(grad_h[v], z[v]);
                own[v] = times(grad_candidate, r[v]);
                r[v] = times(grad_r, sigmoid_slope::<R, S>(simd, r[v]));
                z[v] = times(grad_z, sigmoid_slope::<R, S>(simd, z[v]));
                c[v] = grad_candidate;
            }
        }
    }

    fn gradients(
        &self,
        parts: &[ThreadGradients<R, ()>],
        shape: LayerDims,
    ) -> (WeightGradients<R>, Vec<Vec<R>>) {
        let of = |product: usize| parts.iter().map(move |part| &part.products[product]);
        let mut weights = WeightGradients::collect(&of(0), GATES, shape);
        // The candidate's input part has a product of its own.
        let recurrent = WeightGradients::collect(&of(1), 1, LayerDims { recurrent: 0, ..shape });
        let first = 2 * shape.hidden;
        let candidate_bias = weights.bias[first..].to_vec();
        weights.w_x[first * shape.inputs..].copy_from_slice(&recurrent.w_x);
        weights.bias[first..].copy_from_slice(&recurrent.bias);
        (weights, vec![candidate_bias])
    }

    fn sums<S: Simd>(&self, _size: &GroupDims) {}

    fn flush(&self, (): &mut ()) {}
}
