//! Layers of neurons with a fixed activation function: h_t = phi(a_t).

use pulp::Simd;

use crate::Real;
use crate::cell::{BackwardArgs, Cell, ForwardArgs};
use crate::curve;
use crate::dims::{GroupDims, LayerDims};
use crate::matrix::{Buffer, zeros};
use crate::product::WeightProduct;
use crate::real::Comparison;
use crate::sum::RunningSum;
use crate::thread_gradients::ThreadGradients;
use crate::weights::{WeightGradients, Weights};

/// A layer of neurons with a fixed activation function.
#[derive(Debug, Clone, Copy)]
pub struct PlainLayer<'a, R> {
    /// Connection weights.
    pub weights: Weights<'a, R>,
    /// Activation function phi.
    pub neurons: NeuronFunction<'a, R>,
}

/// Activation function phi(a) of a layer's neurons.
#[derive(Debug, Clone, Copy)]
pub enum NeuronFunction<'a, R> {
    /// phi(a) = max(a, 0).
    Relu,
    /// phi(a) = tanh(a).
    Tanh,
    /// phi(a) = 1 / (1 + exp(-a)).
    Sigmoid,
    /// phi(a) = ln(1 + exp(a)).
    Softplus,
    /// phi(a) = a.
    Linear,
    /// phi(a) = sign(a) max(|a| + b, 0).
    Modrelu {
        /// Biases b [H].
        b: &'a [R],
    },
    /// phi(a) = gamma(a; n, s).
    Gamma {
        /// Gains [H].
        n: &'a [R],
        /// Saturations [H].
        s: &'a [R],
    },
}

pub(crate) struct PlainCell<'a, R> {
    layer: &'a PlainLayer<'a, R>,
    /// Parameters per neuron, each buffer with one vector of padding.
    parameters: Vec<Buffer<R>>,
}

impl<'a, R: Real> PlainCell<'a, R> {
    pub(crate) fn new(layer: &'a PlainLayer<'a, R>) -> Self {
        // Padding neurons have a gain that needs no guard.
        let filled = |values: &[R]| {
            let mut buffer = zeros(values.len() + MOST_LANES);
            buffer.fill(R::ONE);
            buffer[..values.len()].copy_from_slice(values);
            buffer
        };
        let parameters = match layer.neurons {
            NeuronFunction::Modrelu { b } => vec![filled(b)],
            NeuronFunction::Gamma { n, s } => vec![filled(n), filled(s)],
            _ => Vec::new(),
        };
        Self { layer, parameters }
    }

    /// Returns prepared gains and saturations, one entry per vector of neurons.
    #[inline(always)]
    fn shapes<S: Simd>(&self, simd: S) -> Vec<curve::GammaParams<R, S>> {
        let own = |which: usize| R::vectors::<S>(&self.parameters[which]).0;
        let (n, s) = (own(0), own(1));
        let mut shapes = Vec::with_capacity(n.len());
        for i in 0..n.len() {
            shapes.push(curve::GammaParams::new(simd, n[i], s[i]));
        }
        shapes
    }

    /// Computes the output of the neurons from their weighted sums.
    #[inline(always)]
    fn map<S: Simd>(
        step: ForwardArgs<'_, R>,
        function: impl Fn(usize, R::Vector<S>) -> R::Vector<S>,
    ) {
        let ForwardArgs { size, pre, h, .. } = step;
        let GroupDims { padded, .. } = *size;
        let rows = pre.chunks_exact(padded).zip(h.values.chunks_exact_mut(h.stride));
        for (pre, h) in rows {
            let (a, h) = (R::vectors::<S>(pre).0, R::vectors_mut::<S>(&mut h[..padded]).0);
            for (i, (a, h)) in a.iter().zip(h).enumerate() {
                *h = function(i, *a);
            }
        }
    }

    /// Replaces the weighted sums by the gradients with respect to them. `function` takes the
    /// weighted sum, the output and the gradient with respect to the output.
    #[inline(always)]
    fn map_back<S: Simd>(
        step: BackwardArgs<'_, R>,
        mut function: impl FnMut(usize, [R::Vector<S>; 3]) -> R::Vector<S>,
    ) {
        let BackwardArgs { size, pre, h, grad_h, .. } = step;
        let GroupDims { padded, .. } = *size;
        let rows = pre
            .chunks_exact_mut(padded)
            .zip(h.values.chunks_exact(h.stride))
            .zip(grad_h.values.chunks_exact(grad_h.stride));
        for ((pre, h), grad_h) in rows {
            let a = R::vectors_mut::<S>(pre).0;
            let h = R::vectors::<S>(&h[..padded]).0;
            let grad_h = R::vectors::<S>(&grad_h[..padded]).0;
            for (i, ((a, h), grad_h)) in a.iter_mut().zip(h).zip(grad_h).enumerate() {
                *a = function(i, [*a, *h, *grad_h]);
            }
        }
    }
}

/// Upper bound of the lanes of any vector.
const MOST_LANES: usize = 16;

impl<R: Real> Cell<R> for PlainCell<'_, R> {
    type Sums = Vec<RunningSum<R>>;

    fn products<S: Simd>(&self, size: &GroupDims) -> Vec<WeightProduct<R>> {
        vec![self.layer.weights.product::<S>(size, 1)]
    }

    fn blocks(&self) -> usize {
        1
    }

    fn driven(&self) -> &[usize] {
        &[0]
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, step: ForwardArgs<'_, R>) {
        let zero = R::splat(simd, R::ZERO);
        let own = |which: usize| R::vectors::<S>(&self.parameters[which]).0;
        match self.layer.neurons {
            NeuronFunction::Relu => Self::map::<S>(step, |_, a| R::at_least(simd, a, zero)),
            NeuronFunction::Tanh => Self::map::<S>(step, |_, a| curve::tanh::<R, S>(simd, a)),
            NeuronFunction::Sigmoid => Self::map::<S>(step, |_, a| curve::sigmoid::<R, S>(simd, a)),
            NeuronFunction::Softplus => {
                Self::map::<S>(step, |_, a| curve::softplus::<R, S>(simd, a));
            }
            NeuronFunction::Linear => Self::map::<S>(step, |_, a| a),
            NeuronFunction::Modrelu { .. } => {
                let b = own(0);
                Self::map::<S>(step, |i, a| {
                    let size = R::at_least(simd, R::add(simd, R::abs(simd, a), b[i]), zero);
                    R::mul(simd, sign::<R, S>(simd, a), size)
                });
            }
            NeuronFunction::Gamma { .. } => {
                let shapes = self.shapes(simd);
                Self::map::<S>(step, |i, a| shapes[i].gamma(simd, a));
            }
        }
    }

    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, step: BackwardArgs<'_, R>, sums: &mut Vec<RunningSum<R>>) {
        let (zero, one) = (R::splat(simd, R::ZERO), R::splat(simd, R::ONE));
        let own = |which: usize| R::vectors::<S>(&self.parameters[which]).0;
        let times = |a, b| R::mul(simd, a, b);
        match self.layer.neurons {
            NeuronFunction::Relu => Self::map_back::<S>(step, |_, [a, _, grad_h]| {
                times(grad_h, R::where_less(simd, Comparison { less: zero, than: a }, one, zero))
            }),
            NeuronFunction::Tanh => Self::map_back::<S>(step, |_, [_, h, grad_h]| {
                times(grad_h, R::sub(simd, one, times(h, h)))
            }),
            NeuronFunction::Sigmoid => Self::map_back::<S>(step, |_, [a, _, grad_h]| {
                times(grad_h, curve::bell::<R, S>(simd, a))
            }),
            NeuronFunction::Softplus => Self::map_back::<S>(step, |_, [a, _, grad_h]| {
                times(grad_h, curve::sigmoid::<R, S>(simd, a))
            }),
            NeuronFunction::Linear => Self::map_back::<S>(step, |_, [_, _, grad_h]| grad_h),
            NeuronFunction::Modrelu { .. } => {
                let [grad_b] = sums.as_mut_slice() else { return };
                let (b, grad_b) = (own(0), R::vectors_mut::<S>(&mut grad_b.recent).0);
                Self::map_back::<S>(step, |i, [a, _, grad_h]| {
                    let size = R::add(simd, R::abs(simd, a), b[i]);
                    let sign = sign::<R, S>(simd, a);
                    let grad_size = R::where_less(
                        simd,
                        Comparison { less: zero, than: size },
                        times(grad_h, sign),
                        zero,
                    );
                    grad_b[i] = R::add(simd, grad_b[i], grad_size);
                    times(grad_size, sign)
                });
            }
            NeuronFunction::Gamma { .. } => {
                let [grad_n, grad_s] = sums.as_mut_slice() else { return };
                let grad_n = R::vectors_mut::<S>(&mut grad_n.recent).0;
                let grad_s = R::vectors_mut::<S>(&mut grad_s.recent).0;
                let shapes = self.shapes(simd);
                Self::map_back::<S>(step, |i, [a, _, grad_h]| {
                    let (_, slopes) = shapes[i].gamma_with_slopes(simd, a);
                    grad_n[i] = R::mul_add(simd, grad_h, slopes.n, grad_n[i]);
                    grad_s[i] = R::mul_add(simd, grad_h, slopes.s, grad_s[i]);
                    times(grad_h, slopes.x)
                });
            }
        }
    }

    fn gradients(
        &self,
        parts: &[ThreadGradients<R, Vec<RunningSum<R>>>],
        shape: LayerDims,
    ) -> (WeightGradients<R>, Vec<Vec<R>>) {
        let weights =
            WeightGradients::collect(&parts.iter().map(|part| &part.products[0]), 1, shape);
        let total = |which: usize| {
            let mut sums = RunningSum::total(parts.iter().map(|part| &part.sums[which]));
            sums.truncate(shape.hidden);
            sums
        };
        (weights, (0..self.parameters.len()).map(total).collect())
    }

    fn sums<S: Simd>(&self, size: &GroupDims) -> Vec<RunningSum<R>> {
        self.parameters.iter().map(|_| RunningSum::new(size.padded)).collect()
    }

    fn flush(&self, sums: &mut Vec<RunningSum<R>>) {
        sums.iter_mut().for_each(RunningSum::flush);
    }
}

/// Returns -1, 0 or 1.
#[inline(always)]
fn sign<R: Real, S: Simd>(simd: S, x: R::Vector<S>) -> R::Vector<S> {
    let (zero, one) = (R::splat(simd, R::ZERO), R::splat(simd, R::ONE));
    let below = R::where_less(simd, Comparison { less: x, than: zero }, R::neg(simd, one), zero);
    R::where_less(simd, Comparison { less: zero, than: x }, one, below)
}
