//! Layers of adaptive neurons. One controller sets the gain and saturation of each neuron; its
//! weights are shared, its state is per neuron (science reference, section 3):
//!
//! ```text
//! g_t = tanh(u a_t + b + w g_{t-1}) ;  n_t = w_n . g_t + b_n ;  s_t = w_s . g_t + b_s ;  h_t = gamma(a_t; n_t, s_t)
//! ```
//!
//! Neurons lie along the lanes of vectors, so no lane is idle whatever the number of controller
//! units. A tile of a few vectors keeps its states [S, vectors] in the L1 cache through the
//! product, the hyperbolic tangent and the readout.

mod output_writer;

use pulp::Simd;

use crate::Real;
use crate::cell::{BackwardArgs, Cell, ForwardArgs, ShapeRecorder};
use crate::curve;
use crate::dims::{GroupDims, LayerDims};
use crate::matrix::{Buffer, SquareProduct, WIDTH, zeros};
use crate::pairs::PairSums;
use crate::product::WeightProduct;
use crate::sequence::GainSaturation;
use crate::sum::RunningSum;
use crate::thread_gradients::ThreadGradients;
use crate::weights::{WeightGradients, Weights};
use output_writer::{GainCounter, OutputWriter, RowLayout};

/// A layer of neurons that share a controller.
#[derive(Debug, Clone, Copy)]
pub struct AdaptiveLayer<'a, R> {
    /// Connection weights.
    pub weights: Weights<'a, R>,
    /// Controller weights.
    pub controller: Controller<'a, R>,
}

/// Weights of a controller of S units.
#[derive(Debug, Clone, Copy)]
pub struct Controller<'a, R> {
    /// Weights of the neuron's input, u [S].
    pub u: &'a [R],
    /// Sum of both unit biases, [S].
    pub bias: &'a [R],
    /// Recurrent weights, w [S, S].
    pub w: &'a [R],
    /// Readout weights of the gain, w_n [S].
    pub w_n: &'a [R],
    /// Bias of the gain, b_n.
    pub b_n: R,
    /// Readout weights of the saturation, w_s [S].
    pub w_s: &'a [R],
    /// Bias of the saturation, b_s.
    pub b_s: R,
}

pub(crate) struct AdaptiveCell<'a, R> {
    layer: &'a AdaptiveLayer<'a, R>,
    units: usize,
    /// Transposed recurrent weights, w^T [S, S].
    transposed: Vec<R>,
}

/// Gradient sums over neurons, steps and samples. Each sum is a vector whose lanes are added up at
/// the end.
pub(crate) struct ControllerSums<R> {
    u: RunningSum<R>,
    bias: RunningSum<R>,
    w: RunningSum<R>,
    w_n: RunningSum<R>,
    b_n: RunningSum<R>,
    w_s: RunningSum<R>,
    b_s: RunningSum<R>,
    /// Gradients with respect to the argument of the hyperbolic tangent, of one step.
    grad_z: Buffer<R>,
}

/// Bytes of controller state per group of rows, so that the states stay in the L2 cache.
const STATES: usize = 1 << 18;

impl<'a, R: Real> AdaptiveCell<'a, R> {
    pub(crate) fn new(layer: &'a AdaptiveLayer<'a, R>) -> Self {
        let units = layer.controller.u.len();
        let w = layer.controller.w;
        let transposed = (0..units * units).map(|i| w[i % units * units + i / units]).collect();
        Self { layer, units, transposed }
    }

    /// Advances the controllers of N vectors of neurons with input `a` by one step; returns gain
    /// and saturation.
    #[inline(always)]
    fn forward_tile<S: Simd, const N: usize>(
        &self,
        simd: S,
        a: &[R::Vector<S>],
        states: TileStates<'_, R>,
    ) -> GainSaturation<[R::Vector<S>; N]> {
        let Controller { u, bias, w, w_n, b_n, w_s, b_s } = self.layer.controller;
        let (TileStates { g, next }, a) = (states, &a[..N]);
        simd.vectorize(SquareProduct::<R, N> { a: w, k: self.units, b: g, c: &mut *next });
        let next = R::vectors_mut::<S>(next).0;
        let mut n = [R::splat(simd, b_n); N];
        let mut s = [R::splat(simd, b_s); N];
        let units = next.as_chunks_mut::<N>().0.iter_mut().zip(u).zip(bias).zip(w_n).zip(w_s);
        for ((((g, u), bias), w_n), w_s) in units {
            let (u, bias) = (R::splat(simd, *u), R::splat(simd, *bias));
            let (w_n, w_s) = (R::splat(simd, *w_n), R::splat(simd, *w_s));
            for v in 0..N {
                let z = R::add(simd, g[v], R::mul_add(simd, u, a[v], bias));
                g[v] = curve::tanh::<R, S>(simd, z);
                n[v] = R::mul_add(simd, w_n, g[v], n[v]);
                s[v] = R::mul_add(simd, w_s, g[v], s[v]);
            }
        }
        GainSaturation { n, s }
    }

    /// Returns gain and saturation of N vectors of neurons with controller states `g`.
    #[inline(always)]
    fn shape_of<S: Simd, const N: usize>(
        &self,
        simd: S,
        g: &[R],
    ) -> GainSaturation<[R::Vector<S>; N]> {
        let Controller { w_n, b_n, w_s, b_s, .. } = self.layer.controller;
        let mut n = [R::splat(simd, b_n); N];
        let mut s = [R::splat(simd, b_s); N];
        let g = R::vectors::<S>(g).0.as_chunks::<N>().0;
        for ((g, w_n), w_s) in g.iter().zip(w_n).zip(w_s) {
            let (w_n, w_s) = (R::splat(simd, *w_n), R::splat(simd, *w_s));
            for v in 0..N {
                n[v] = R::mul_add(simd, w_n, g[v], n[v]);
                s[v] = R::mul_add(simd, w_s, g[v], s[v]);
            }
        }
        GainSaturation { n, s }
    }

    /// Computes the gradient with respect to the controller states `g` after a step: the sum of
    /// `grad_g`, which came through the next step, and the part through the neurons' output.
    #[inline(always)]
    fn grad_state_tile<S: Simd, const N: usize>(
        &self,
        simd: S,
        neurons: NeuronGrad<R::Vector<S>, N>,
        states: TileStateGrad<'_, R>,
        grad_state: &mut [R],
    ) {
        let NeuronGrad { a, grad_h } = neurons;
        let TileStateGrad { g, grad_g } = states;
        let Controller { w_n, w_s, .. } = self.layer.controller;
        let GainSaturation { n, s } = self.shape_of::<S, N>(simd, g);
        let mut grad_n = [R::splat(simd, R::ZERO); N];
        let mut grad_s = grad_n;
        for v in 0..N {
            let slopes = curve::gamma_slopes::<R, S>(simd, a[v], n[v], s[v]);
            grad_n[v] = R::mul(simd, grad_h[v], slopes.n);
            grad_s[v] = R::mul(simd, grad_h[v], slopes.s);
        }
        let grad_g = R::vectors::<S>(grad_g).0.as_chunks::<N>().0;
        let grad_state = R::vectors_mut::<S>(grad_state).0.as_chunks_mut::<N>().0;
        for (i, (grad_g, grad_state)) in grad_g.iter().zip(grad_state).enumerate() {
            let (w_n, w_s) = (R::splat(simd, w_n[i]), R::splat(simd, w_s[i]));
            for v in 0..N {
                let through_n = R::mul_add(simd, w_n, grad_n[v], grad_g[v]);
                grad_state[v] = R::mul_add(simd, w_s, grad_s[v], through_n);
            }
        }
    }

    /// Goes one step back through the controllers of N vectors of neurons. Returns the gradient
    /// with respect to `a`; `grad_g` becomes the gradient with respect to the state before the
    /// step.
    #[inline(always)]
    fn backward_tile<S: Simd, const N: usize>(
        &self,
        simd: S,
        neurons: NeuronGrad<R::Vector<S>, N>,
        states: TileBackward<'_, R>,
        sums: &mut StepSums<'_, R, S>,
    ) -> [R::Vector<S>; N] {
        let NeuronGrad { a, grad_h } = neurons;
        let TileBackward { g, grad_g, grad_z } = states;
        let Controller { u, w_n, w_s, .. } = self.layer.controller;
        let GainSaturation { n, s } = self.shape_of::<S, N>(simd, g);
        let g = R::vectors::<S>(g).0.as_chunks::<N>().0;
        let mut grad_a = [R::splat(simd, R::ZERO); N];
        let (mut grad_n, mut grad_s) = (grad_a, grad_a);
        for v in 0..N {
            let slopes = curve::gamma_slopes::<R, S>(simd, a[v], n[v], s[v]);
            grad_a[v] = R::mul(simd, grad_h[v], slopes.x);
            grad_n[v] = R::mul(simd, grad_h[v], slopes.n);
            grad_s[v] = R::mul(simd, grad_h[v], slopes.s);
            sums.b_n[0] = R::add(simd, sums.b_n[0], grad_n[v]);
            sums.b_s[0] = R::add(simd, sums.b_s[0], grad_s[v]);
        }
        let one = R::splat(simd, R::ONE);
        let grad_g_rows = R::vectors::<S>(grad_g).0.as_chunks::<N>().0;
        let grad_z_rows = R::vectors_mut::<S>(grad_z).0.as_chunks_mut::<N>().0;
        for (i, ((g, grad_g), grad_z)) in g.iter().zip(grad_g_rows).zip(grad_z_rows).enumerate() {
            let (u, w_n, w_s) =
                (R::splat(simd, u[i]), R::splat(simd, w_n[i]), R::splat(simd, w_s[i]));
            let zero = R::splat(simd, R::ZERO);
            let (mut to_bias, mut to_u, mut to_w_n, mut to_w_s) = (zero, zero, zero, zero);
            for v in 0..N {
                let through_n = R::mul_add(simd, w_n, grad_n[v], grad_g[v]);
                let grad_state = R::mul_add(simd, w_s, grad_s[v], through_n);
                let slope = R::sub(simd, one, R::mul(simd, g[v], g[v]));
                let grad_input = R::mul(simd, grad_state, slope);
                grad_z[v] = grad_input;
                grad_a[v] = R::mul_add(simd, u, grad_input, grad_a[v]);
                to_bias = R::add(simd, to_bias, grad_input);
                to_u = R::mul_add(simd, grad_input, a[v], to_u);
                to_w_n = R::mul_add(simd, grad_n[v], g[v], to_w_n);
                to_w_s = R::mul_add(simd, grad_s[v], g[v], to_w_s);
            }
            sums.bias[i] = R::add(simd, sums.bias[i], to_bias);
            sums.u[i] = R::add(simd, sums.u[i], to_u);
            sums.w_n[i] = R::add(simd, sums.w_n[i], to_w_n);
            sums.w_s[i] = R::add(simd, sums.w_s[i], to_w_s);
        }
        simd.vectorize(SquareProduct::<R, N> {
            a: &self.transposed,
            k: self.units,
            b: grad_z,
            c: grad_g,
        });
        grad_a
    }
}

/// Controller states of a tile of neurons, before and after a forward step.
struct TileStates<'a, R> {
    /// States before the step.
    g: &'a [R],
    /// States after the step; written by the step.
    next: &'a mut [R],
}

/// Controller states of a tile of neurons after a step, and the gradients with respect to them.
#[derive(Clone, Copy)]
struct TileStateGrad<'a, R> {
    /// States after the step.
    g: &'a [R],
    /// Gradients with respect to `g` that came through the next step.
    grad_g: &'a [R],
}

/// Input and output of a backward step through the controllers of a tile of neurons.
struct TileBackward<'a, R> {
    /// States after the step.
    g: &'a [R],
    /// Gradients with respect to `g` that came through the next step; replaced by those with
    /// respect to the states before the step.
    grad_g: &'a mut [R],
    /// Destination of the gradients with respect to the argument of the hyperbolic tangent.
    grad_z: &'a mut [R],
}

/// Input of N vectors of neurons, and the gradients with respect to their output.
#[derive(Clone, Copy)]
struct NeuronGrad<V, const N: usize> {
    /// Input a.
    a: [V; N],
    /// Gradients with respect to the output h.
    grad_h: [V; N],
}

/// Gradient sums of single steps, as vectors.
struct StepSums<'a, R: Real, S: Simd> {
    u: &'a mut [R::Vector<S>],
    bias: &'a mut [R::Vector<S>],
    w_n: &'a mut [R::Vector<S>],
    b_n: &'a mut [R::Vector<S>],
    w_s: &'a mut [R::Vector<S>],
    b_s: &'a mut [R::Vector<S>],
}

impl<R: Real> Cell<R> for AdaptiveCell<'_, R> {
    type Sums = ControllerSums<R>;

    fn products<S: Simd>(&self, size: &GroupDims) -> Vec<WeightProduct<R>> {
        vec![self.layer.weights.product::<S>(size, 1)]
    }

    fn blocks(&self) -> usize {
        1
    }

    fn driven(&self) -> &[usize] {
        &[0]
    }

    fn carried(&self) -> usize {
        self.units
    }

    fn group(&self, size: &GroupDims) -> usize {
        (STATES / (self.units * size.padded * size_of::<R>())).max(1)
    }

    fn adapts(&self) -> bool {
        true
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, step: ForwardArgs<'_, R>) {
        let ForwardArgs { size, pre, h, inner, next, recorder, .. } = step;
        let ShapeRecorder { counts, shapes } = recorder;
        let layout = RowLayout::new::<R, S>(size, h.stride);
        let a = R::vectors::<S>(pre).0;
        let h = R::vectors_mut::<S>(h.values).0;
        let (g, each) = (inner, self.units * R::lanes::<S>());
        let mut out = OutputWriter { h, layout, gains: GainCounter::new(simd, size), shapes };
        let mut first = 0;
        while first + WIDTH <= a.len() {
            let range = first * each..(first + WIDTH) * each;
            let states = TileStates { g: &g[range.clone()], next: &mut next[range] };
            let shape = self.forward_tile::<S, WIDTH>(simd, &a[first..], states);
            out.write(simd, first, &a[first..], &shape);
            first += WIDTH;
        }
        while first < a.len() {
            let range = first * each..(first + 1) * each;
            let states = TileStates { g: &g[range.clone()], next: &mut next[range] };
            let shape = self.forward_tile::<S, 1>(simd, &a[first..], states);
            out.write(simd, first, &a[first..], &shape);
            first += 1;
        }
        let total = out.gains.total(simd);
        counts.guard_hits += total.guard_hits;
        counts.negative_gains += total.negative_gains;
    }

    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, step: BackwardArgs<'_, R>, sums: &mut ControllerSums<R>) {
        let BackwardArgs { size, pre, grad_h, inner, next, grad_inner, .. } = step;
        let layout = RowLayout::new::<R, S>(size, grad_h.stride);
        let rows = R::vectors::<S>(grad_h.values).0;
        let a = R::vectors_mut::<S>(pre).0;
        let (g, grad_g, each) = (next, grad_inner, self.units * R::lanes::<S>());
        sums.grad_z.resize(inner.len(), R::ZERO);
        let grad_z = &mut sums.grad_z[..];
        let mut lanes = StepSums::<R, S> {
            u: R::vectors_mut::<S>(&mut sums.u.recent).0,
            bias: R::vectors_mut::<S>(&mut sums.bias.recent).0,
            w_n: R::vectors_mut::<S>(&mut sums.w_n.recent).0,
            b_n: R::vectors_mut::<S>(&mut sums.b_n.recent).0,
            w_s: R::vectors_mut::<S>(&mut sums.w_s.recent).0,
            b_s: R::vectors_mut::<S>(&mut sums.b_s.recent).0,
        };
        let mut first = 0;
        while first + WIDTH <= a.len() {
            let range = first * each..(first + WIDTH) * each;
            let mut grad_h = [rows[layout.index(first)]; WIDTH];
            for (v, grad_h) in grad_h.iter_mut().enumerate() {
                *grad_h = rows[layout.index(first + v)];
            }
            let mut received = grad_h;
            received.copy_from_slice(&a[first..first + WIDTH]);
            let neurons = NeuronGrad { a: received, grad_h };
            let states = TileBackward {
                g: &g[range.clone()],
                grad_g: &mut grad_g[range.clone()],
                grad_z: &mut grad_z[range],
            };
            let grad_a = self.backward_tile::<S, WIDTH>(simd, neurons, states, &mut lanes);
            a[first..first + WIDTH].copy_from_slice(&grad_a);
            first += WIDTH;
        }
        while first < a.len() {
            let range = first * each..(first + 1) * each;
            let neurons = NeuronGrad { a: [a[first]], grad_h: [rows[layout.index(first)]] };
            let states = TileBackward {
                g: &g[range.clone()],
                grad_g: &mut grad_g[range.clone()],
                grad_z: &mut grad_z[range],
            };
            [a[first]] = self.backward_tile::<S, 1>(simd, neurons, states, &mut lanes);
            first += 1;
        }
        let (a, b) = (&sums.grad_z[..], inner);
        simd.vectorize(PairSums { units: self.units, a, b, sums: &mut sums.w.recent });
    }

    fn gradients(
        &self,
        parts: &[ThreadGradients<R, ControllerSums<R>>],
        shape: LayerDims,
    ) -> (WeightGradients<R>, Vec<Vec<R>>) {
        let weights =
            WeightGradients::collect(&parts.iter().map(|part| &part.products[0]), 1, shape);
        let total = |of: fn(&ControllerSums<R>) -> &RunningSum<R>| {
            RunningSum::total(parts.iter().map(|part| of(&part.sums)))
        };
        let own = vec![
            total(|sums| &sums.u),
            total(|sums| &sums.bias),
            total(|sums| &sums.w),
            total(|sums| &sums.w_n),
            total(|sums| &sums.b_n),
            total(|sums| &sums.w_s),
            total(|sums| &sums.b_s),
        ];
        (weights, own)
    }

    fn sums<S: Simd>(&self, _size: &GroupDims) -> ControllerSums<R> {
        let of = |count: usize| RunningSum::of_lanes(count, R::lanes::<S>());
        let units = self.units;
        ControllerSums {
            u: of(units),
            bias: of(units),
            w: of(units * units),
            w_n: of(units),
            b_n: of(1),
            w_s: of(units),
            b_s: of(1),
            grad_z: zeros(0),
        }
    }

    fn flush(&self, sums: &mut ControllerSums<R>) {
        let ControllerSums { u, bias, w, w_n, b_n, w_s, b_s, grad_z: _ } = sums;
        [u, bias, w, w_n, b_n, w_s, b_s].into_iter().for_each(RunningSum::flush);
    }

    fn load<S: Simd>(&self, size: &GroupDims, given: &[R], inner: &mut [R]) {
        self.each_state::<S>(size, inner.len(), |from, to| inner[to] = given[from]);
    }

    fn unload<S: Simd>(&self, size: &GroupDims, inner: &[R], given: &mut [R]) {
        self.each_state::<S>(size, inner.len(), |to, from| given[to] = inner[from]);
    }

    #[inline(always)]
    fn grad_state<S: Simd>(&self, simd: S, step: &BackwardArgs<'_, R>, grad_state: &mut [R]) {
        let layout = RowLayout::new::<R, S>(step.size, step.grad_h.stride);
        let rows = R::vectors::<S>(step.grad_h.values).0;
        let a = R::vectors::<S>(step.pre).0;
        let each = self.units * R::lanes::<S>();
        let mut first = 0;
        while first + WIDTH <= a.len() {
            let range = first * each..(first + WIDTH) * each;
            let mut grad_h = [rows[layout.index(first)]; WIDTH];
            for (v, grad_h) in grad_h.iter_mut().enumerate() {
                *grad_h = rows[layout.index(first + v)];
            }
            let states = TileStateGrad {
                g: &step.next[range.clone()],
                grad_g: &step.grad_inner[range.clone()],
            };
            let mut received = grad_h;
            received.copy_from_slice(&a[first..first + WIDTH]);
            let neurons = NeuronGrad { a: received, grad_h };
            self.grad_state_tile::<S, WIDTH>(simd, neurons, states, &mut grad_state[range]);
            first += WIDTH;
        }
        while first < a.len() {
            let range = first * each..(first + 1) * each;
            let states = TileStateGrad {
                g: &step.next[range.clone()],
                grad_g: &step.grad_inner[range.clone()],
            };
            let neurons = NeuronGrad { a: [a[first]], grad_h: [rows[layout.index(first)]] };
            self.grad_state_tile::<S, 1>(simd, neurons, states, &mut grad_state[range]);
            first += 1;
        }
    }
}

impl<R: Real> AdaptiveCell<'_, R> {
    /// Calls `pair` with the index of each state in the caller's layout [rows, H, S] and its index
    /// in the tiled layout.
    fn each_state<S: Simd>(
        &self,
        size: &GroupDims,
        length: usize,
        mut pair: impl FnMut(usize, usize),
    ) {
        let lanes = R::lanes::<S>();
        let vectors = length / (self.units * lanes);
        let full = vectors / WIDTH * WIDTH;
        for row in 0..size.rows {
            for neuron in 0..size.hidden {
                let (vector, lane) =
                    ((row * size.padded + neuron) / lanes, (row * size.padded + neuron) % lanes);
                let (first, width) =
                    if vector < full { (vector / WIDTH * WIDTH, WIDTH) } else { (vector, 1) };
                for unit in 0..self.units {
                    let here = first * self.units + unit * width + vector - first;
                    let outside = (row * size.hidden + neuron) * self.units + unit;
                    pair(outside, here * lanes + lane);
                }
            }
        }
    }
}
