//! Long short-term memory:
//!
//! ```text
//! f, i, o = sigma(..) ;  c_t = f c_{t-1} + i tanh(..) ;  h_t = o tanh(c_t)
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

/// A layer of LSTM units.
#[derive(Debug, Clone, Copy)]
pub struct Lstm<'a, R> {
    /// Connection weights of f, i, o and the candidate.
    pub weights: Weights<'a, R>,
    /// Indices of the gates that a drive is added to.
    pub driven: &'a [usize],
}

/// Gates: f, i, o and the candidate.
const GATES: usize = 4;
/// Index of the output gate o.
const OUTPUT: usize = 2;

impl<R: Real> Cell<R> for Lstm<'_, R> {
    type Sums = ();

    fn products<S: Simd>(&self, size: &GroupDims) -> Vec<WeightProduct<R>> {
        vec![self.weights.product::<S>(size, GATES)]
    }

    fn blocks(&self) -> usize {
        GATES
    }

    fn driven(&self) -> &[usize] {
        self.driven
    }

    fn carried(&self) -> usize {
        1
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, step: ForwardArgs<'_, R>) {
        let padded = step.size.padded;
        let rows = step
            .pre
            .chunks_exact_mut(GATES * padded)
            .zip(step.h.values.chunks_exact_mut(step.h.stride))
            .zip(step.inner.chunks_exact(padded).zip(step.next.chunks_exact_mut(padded)));
        for ((pre, h), (c, next)) in rows {
            let (c, next) = (R::vectors::<S>(c).0, R::vectors_mut::<S>(next).0);
            let h = R::vectors_mut::<S>(&mut h[..padded]).0;
            let [f, i, o, g] = split(R::vectors_mut::<S>(pre).0, c.len());
            for v in 0..c.len() {
                f[v] = curve::sigmoid::<R, S>(simd, f[v]);
                i[v] = curve::sigmoid::<R, S>(simd, i[v]);
                o[v] = curve::sigmoid::<R, S>(simd, o[v]);
                g[v] = curve::tanh::<R, S>(simd, g[v]);
                next[v] = R::mul_add(simd, f[v], c[v], R::mul(simd, i[v], g[v]));
                h[v] = R::mul(simd, o[v], curve::tanh::<R, S>(simd, next[v]));
            }
        }
    }

    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, step: BackwardArgs<'_, R>, (): &mut ()) {
        let padded = step.size.padded;
        let rows = step
            .pre
            .chunks_exact_mut(GATES * padded)
            .zip(step.grad_h.values.chunks_exact(step.grad_h.stride))
            .zip(step.inner.chunks_exact(padded).zip(step.next.chunks_exact(padded)))
            .zip(step.grad_inner.chunks_exact_mut(padded));
        let times = |a, b| R::mul(simd, a, b);
        for (((pre, grad_h), (c, next)), grad_c) in rows {
            let (c, next) = (R::vectors::<S>(c).0, R::vectors::<S>(next).0);
            let grad_h = R::vectors::<S>(&grad_h[..padded]).0;
            let grad_c = R::vectors_mut::<S>(grad_c).0;
            let [f, i, o, g] = split(R::vectors_mut::<S>(pre).0, c.len());
            for v in 0..c.len() {
                let shown = curve::tanh::<R, S>(simd, next[v]);
                let through = times(times(grad_h[v], o[v]), tanh_slope::<R, S>(simd, shown));
                let grad_next = R::add(simd, grad_c[v], through);
                grad_c[v] = times(grad_next, f[v]);
                let grad_i = times(grad_next, g[v]);
                let grad_g = times(grad_next, i[v]);
                f[v] = times(times(grad_next, c[v]), sigmoid_slope::<R, S>(simd, f[v]));
                i[v] = times(grad_i, sigmoid_slope::<R, S>(simd, i[v]));
                o[v] = times(times(grad_h[v], shown), sigmoid_slope::<R, S>(simd, o[v]));
                g[v] = times(grad_g, tanh_slope::<R, S>(simd, g[v]));
            }
        }
    }

    fn gradients(
        &self,
        parts: &[ThreadGradients<R, ()>],
        shape: LayerDims,
    ) -> (WeightGradients<R>, Vec<Vec<R>>) {
        let products = parts.iter().map(|part| &part.products[0]);
        (WeightGradients::collect(&products, GATES, shape), Vec::new())
    }

    fn sums<S: Simd>(&self, _size: &GroupDims) {}

    fn flush(&self, (): &mut ()) {}

    fn load<S: Simd>(&self, size: &GroupDims, given: &[R], inner: &mut [R]) {
        for (given, c) in given.chunks_exact(size.hidden).zip(inner.chunks_exact_mut(size.padded)) {
            c[..size.hidden].copy_from_slice(given);
        }
    }

    fn unload<S: Simd>(&self, size: &GroupDims, inner: &[R], given: &mut [R]) {
        for (given, c) in given.chunks_exact_mut(size.hidden).zip(inner.chunks_exact(size.padded)) {
            given.copy_from_slice(&c[..size.hidden]);
        }
    }

    #[inline(always)]
    fn grad_state<S: Simd>(&self, simd: S, step: &BackwardArgs<'_, R>, grad_state: &mut [R]) {
        let padded = step.size.padded;
        for row in 0..step.size.rows {
            let o = &step.pre[(row * GATES + OUTPUT) * padded..][..padded];
            let grad_h = &step.grad_h.values[row * step.grad_h.stride..][..padded];
            let own = row * padded..(row + 1) * padded;
            let (o, grad_h) = (R::vectors::<S>(o).0, R::vectors::<S>(grad_h).0);
            let c = R::vectors::<S>(&step.next[own.clone()]).0;
            let grad_c = R::vectors::<S>(&step.grad_inner[own.clone()]).0;
            let grad_state = R::vectors_mut::<S>(&mut grad_state[own]).0;
            for v in 0..c.len() {
                let shown = curve::tanh::<R, S>(simd, c[v]);
                let slope = R::mul(simd, o[v], tanh_slope::<R, S>(simd, shown));
                grad_state[v] = R::mul_add(simd, grad_h[v], slope, grad_c[v]);
            }
        }
    }
}
