//! Layers whose neurons have a fixed curve: h_t = phi(a_t).

use pulp::Simd;

use crate::Real;
use crate::cell::{Backward, Cell, Forward};
use crate::curve;
use crate::matrix::{Buffer, zeros};
use crate::parts::Parts;
use crate::product::Product;
use crate::real::Comparison;
use crate::size::{Shape, Size};
use crate::sum::Sum;
use crate::weights::{WeightGradients, Weights};

/// A layer of neurons with a fixed curve.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a, R> {
    /// The connections.
    pub weights: Weights<'a, R>,
    /// phi.
    pub neurons: Neurons<'a, R>,
}

/// What neurons make of what they receive.
#[derive(Debug, Clone, Copy)]
pub enum Neurons<'a, R> {
    /// max(a, 0).
    Relu,
    /// tanh(a).
    Tanh,
    /// 1 / (1 + exp(-a)).
    Sigmoid,
    /// ln(1 + exp(a)).
    Softplus,
    /// a.
    Linear,
    /// sign(a) max(|a| + b, 0).
    Modrelu {
        /// b [H].
        b: &'a [R],
    },
    /// gamma(a; n, s).
    Gamma {
        /// Gains [H].
        n: &'a [R],
        /// Saturations [H].
        s: &'a [R],
    },
}

pub(crate) struct PlainCell<'a, R> {
    layer: &'a Plain<'a, R>,
    /// What every neuron has of its own, each with a vector's worth of padding.
    parameters: Vec<Buffer<R>>,
}

impl<'a, R: Real> PlainCell<'a, R> {
    pub(crate) fn new(layer: &'a Plain<'a, R>) -> Self {
        // Neurons that are not there have a gain that needs no guard.
        let filled = |values: &[R]| {
            let mut buffer = zeros(values.len() + MOST_LANES);
            buffer.fill(R::ONE);
            buffer[..values.len()].copy_from_slice(values);
            buffer
        };
        let parameters = match layer.neurons {
            Neurons::Modrelu { b } => vec![filled(b)],
            Neurons::Gamma { n, s } => vec![filled(n), filled(s)],
            _ => Vec::new(),
        };
        Self { layer, parameters }
    }

    /// Gains and saturations, a vector of neurons each, prepared once per step.
    #[inline(always)]
    fn shapes<S: Simd>(&self, simd: S) -> Vec<curve::Shape<R, S>> {
        let own = |which: usize| R::vectors::<S>(&self.parameters[which]).0;
        let (n, s) = (own(0), own(1));
        let mut shapes = Vec::with_capacity(n.len());
        for i in 0..n.len() {
            shapes.push(curve::Shape::new(simd, n[i], s[i]));
        }
        shapes
    }

    /// Replaces what neurons received by what they emit.
    #[inline(always)]
    fn map<S: Simd>(step: Forward<'_, R>, function: impl Fn(usize, R::Vector<S>) -> R::Vector<S>) {
        let Forward { size, pre, h, .. } = step;
        let Size { padded, .. } = *size;
        let rows = pre.chunks_exact(padded).zip(h.values.chunks_exact_mut(h.stride));
        for (pre, h) in rows {
            let (a, h) = (R::vectors::<S>(pre).0, R::vectors_mut::<S>(&mut h[..padded]).0);
            for (i, (a, h)) in a.iter().zip(h).enumerate() {
                *h = function(i, *a);
            }
        }
    }

    /// Replaces what neurons received by the gradients by it, made of what they received, what they
    /// emitted and the gradients by that.
    #[inline(always)]
    fn map_back<S: Simd>(
        step: Backward<'_, R>,
        mut function: impl FnMut(usize, [R::Vector<S>; 3]) -> R::Vector<S>,
    ) {
        let Backward { size, pre, h, by_h, .. } = step;
        let Size { padded, .. } = *size;
        let rows = pre
            .chunks_exact_mut(padded)
            .zip(h.values.chunks_exact(h.stride))
            .zip(by_h.values.chunks_exact(by_h.stride));
        for ((pre, h), by_h) in rows {
            let a = R::vectors_mut::<S>(pre).0;
            let h = R::vectors::<S>(&h[..padded]).0;
            let by_h = R::vectors::<S>(&by_h[..padded]).0;
            for (i, ((a, h), by_h)) in a.iter_mut().zip(h).zip(by_h).enumerate() {
                *a = function(i, [*a, *h, *by_h]);
            }
        }
    }
}

/// At least the lanes of any vector.
const MOST_LANES: usize = 16;

impl<R: Real> Cell<R> for PlainCell<'_, R> {
    type Sums = Vec<Sum<R>>;

    fn products<S: Simd>(&self, size: &Size) -> Vec<Product<R>> {
        vec![self.layer.weights.product::<S>(size, 1)]
    }

    fn blocks(&self) -> usize {
        1
    }

    fn driven(&self) -> &[usize] {
        &[0]
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, step: Forward<'_, R>) {
        let zero = R::splat(simd, R::ZERO);
        let own = |which: usize| R::vectors::<S>(&self.parameters[which]).0;
        match self.layer.neurons {
            Neurons::Relu => Self::map::<S>(step, |_, a| R::at_least(simd, a, zero)),
            Neurons::Tanh => Self::map::<S>(step, |_, a| curve::tanh::<R, S>(simd, a)),
            Neurons::Sigmoid => Self::map::<S>(step, |_, a| curve::sigmoid::<R, S>(simd, a)),
            Neurons::Softplus => Self::map::<S>(step, |_, a| curve::softplus::<R, S>(simd, a)),
            Neurons::Linear => Self::map::<S>(step, |_, a| a),
            Neurons::Modrelu { .. } => {
                let b = own(0);
                Self::map::<S>(step, |i, a| {
                    let size = R::at_least(simd, R::add(simd, R::abs(simd, a), b[i]), zero);
                    R::mul(simd, sign::<R, S>(simd, a), size)
                });
            }
            Neurons::Gamma { .. } => {
                let shapes = self.shapes(simd);
                Self::map::<S>(step, |i, a| shapes[i].gamma(simd, a));
            }
        }
    }

    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, step: Backward<'_, R>, sums: &mut Vec<Sum<R>>) {
        let (zero, one) = (R::splat(simd, R::ZERO), R::splat(simd, R::ONE));
        let own = |which: usize| R::vectors::<S>(&self.parameters[which]).0;
        let times = |a, b| R::mul(simd, a, b);
        match self.layer.neurons {
            Neurons::Relu => Self::map_back::<S>(step, |_, [a, _, by_h]| {
                times(by_h, R::where_less(simd, Comparison { less: zero, than: a }, one, zero))
            }),
            Neurons::Tanh => Self::map_back::<S>(step, |_, [_, h, by_h]| {
                times(by_h, R::sub(simd, one, times(h, h)))
            }),
            Neurons::Sigmoid => Self::map_back::<S>(step, |_, [a, _, by_h]| {
                times(by_h, curve::bell::<R, S>(simd, a))
            }),
            Neurons::Softplus => Self::map_back::<S>(step, |_, [a, _, by_h]| {
                times(by_h, curve::sigmoid::<R, S>(simd, a))
            }),
            Neurons::Linear => Self::map_back::<S>(step, |_, [_, _, by_h]| by_h),
            Neurons::Modrelu { .. } => {
                let [by_b] = sums.as_mut_slice() else { return };
                let (b, by_b) = (own(0), R::vectors_mut::<S>(&mut by_b.recent).0);
                Self::map_back::<S>(step, |i, [a, _, by_h]| {
                    let size = R::add(simd, R::abs(simd, a), b[i]);
                    let sign = sign::<R, S>(simd, a);
                    let by_size = R::where_less(
                        simd,
                        Comparison { less: zero, than: size },
                        times(by_h, sign),
                        zero,
                    );
                    by_b[i] = R::add(simd, by_b[i], by_size);
                    times(by_size, sign)
                });
            }
            Neurons::Gamma { .. } => {
                let [by_n, by_s] = sums.as_mut_slice() else { return };
                let by_n = R::vectors_mut::<S>(&mut by_n.recent).0;
                let by_s = R::vectors_mut::<S>(&mut by_s.recent).0;
                let shapes = self.shapes(simd);
                Self::map_back::<S>(step, |i, [a, _, by_h]| {
                    let (_, slopes) = shapes[i].gamma_with_slopes(simd, a);
                    by_n[i] = R::mul_add(simd, by_h, slopes.n, by_n[i]);
                    by_s[i] = R::mul_add(simd, by_h, slopes.s, by_s[i]);
                    times(by_h, slopes.x)
                });
            }
        }
    }

    fn gradients(
        &self,
        parts: &[Parts<R, Vec<Sum<R>>>],
        shape: Shape,
    ) -> (WeightGradients<R>, Vec<Vec<R>>) {
        let weights =
            WeightGradients::collect(&parts.iter().map(|part| &part.products[0]), 1, shape);
        let total = |which: usize| {
            let mut sums = Sum::total(parts.iter().map(|part| &part.sums[which]));
            sums.truncate(shape.hidden);
            sums
        };
        (weights, (0..self.parameters.len()).map(total).collect())
    }

    fn sums<S: Simd>(&self, size: &Size) -> Vec<Sum<R>> {
        self.parameters.iter().map(|_| Sum::new(size.padded)).collect()
    }

    fn settle(&self, sums: &mut Vec<Sum<R>>) {
        sums.iter_mut().for_each(Sum::settle);
    }
}

/// -1, 0 or 1.
#[inline(always)]
fn sign<R: Real, S: Simd>(simd: S, x: R::Vector<S>) -> R::Vector<S> {
    let (zero, one) = (R::splat(simd, R::ZERO), R::splat(simd, R::ONE));
    let below = R::where_less(simd, Comparison { less: x, than: zero }, R::neg(simd, one), zero);
    R::where_less(simd, Comparison { less: zero, than: x }, one, below)
}
