//! A layer as its callers see it.

use pulp::Simd;

use crate::Real;
use crate::adaptive::{Adaptive, AdaptiveCell};
use crate::cell::{Cell, Size};
use crate::gated::{Gru, Lstm};
use crate::matrix::{Buffer, Outer, zeros};
use crate::pass::{Pass, Runner, Tape};
use crate::plain::{Plain, PlainCell};
use crate::product::Product;
use crate::sequence::{Resources, Sequence, Wanted};

/// A recurrent layer with its weights.
#[derive(Debug, Clone, Copy)]
pub enum Layer<'a, R> {
    /// Neurons with a fixed curve.
    Plain(Plain<'a, R>),
    /// Neurons that share a controller of their curves.
    Adaptive(Adaptive<'a, R>),
    /// Long short-term memory.
    Lstm(Lstm<'a, R>),
    /// Gated recurrent units.
    Gru(Gru<'a, R>),
}

/// What is known of a loss, and what is asked of it.
#[derive(Debug, Clone, Copy)]
pub struct Loss<'a, R> {
    /// Its gradient by h after every step [T, B, H], or after the last [B, H].
    pub by_h: &'a [R],
    /// Which of the two.
    pub every: bool,
    /// Whether the gradient by x is wanted too.
    pub wants_x: bool,
    /// Whether those by the states after every step are.
    pub wants_states: bool,
}

/// Gradients of a loss by what a layer has learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<R> {
    /// By the connections.
    pub weights: WeightGradients<R>,
    /// By what the layer has besides, in the order of its fields: b of `Modrelu`; n and s of `Gamma`;
    /// those of [`Controller`](crate::Controller); the bias of the candidate of `Gru`.
    pub own: Vec<Vec<R>>,
    /// By x [T, B, I], if wanted.
    pub x: Vec<R>,
    /// By h after every step [T, B, H], if wanted, at a constant inner state of the same step.
    pub h: Vec<R>,
    /// By the inner state after every step, as in [`State::inner`](crate::State::inner), if wanted;
    /// it counts what reaches h of the same step.
    pub inner: Vec<R>,
}

/// Numbers for which this crate has compiled its passes, so that others need not.
pub trait Compiled: Real {
    #[doc(hidden)]
    fn forward(
        layer: &Layer<'_, Self>,
        task: &Task<'_, Self>,
        wanted: Wanted,
        spare: Option<Tape<Self>>,
    ) -> Pass<Self>;
    #[doc(hidden)]
    fn backward(
        layer: &Layer<'_, Self>,
        task: &Task<'_, Self>,
        tape: &mut Tape<Self>,
        loss: Loss<'_, Self>,
    ) -> Gradients<Self>;
}

/// What a pass goes over, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a, R> {
    pub(crate) sequence: &'a Sequence<'a, R>,
    pub(crate) resources: Resources,
}

impl<R: Compiled> Layer<'_, R> {
    /// Reads a sequence. The memory of `spare`, a tape that is not needed any more, is used again
    /// if it fits.
    pub fn forward(
        &self,
        sequence: &Sequence<'_, R>,
        wanted: Wanted,
        resources: Resources,
        spare: Option<Tape<R>>,
    ) -> Pass<R> {
        R::forward(self, &Task { sequence, resources }, wanted, spare)
    }

    /// The gradients of a loss. `tape` is from a forward pass over the same sequence with the same
    /// weights and resources; it can be gone over only once.
    pub fn backward(
        &self,
        sequence: &Sequence<'_, R>,
        tape: &mut Tape<R>,
        loss: Loss<'_, R>,
        resources: Resources,
    ) -> Gradients<R> {
        R::backward(self, &Task { sequence, resources }, tape, loss)
    }
}

fn backward<R: Real, C: Cell<R>>(
    cell: &C,
    task: &Task<'_, R>,
    tape: &mut Tape<R>,
    loss: Loss<'_, R>,
) -> Gradients<R> {
    let runner = Runner { cell, task };
    let found = runner.backward(tape, loss);
    let (weights, own) = cell.gradients(&found.parts, runner.shape());
    Gradients { weights, own, x: found.x, h: found.h, inner: found.inner }
}

/// Calls `$work` with the cell of a layer.
macro_rules! with_cell {
    ($layer:expr, $cell:ident => $work:expr) => {
        match $layer {
            Layer::Plain(layer) => {
                let $cell = &PlainCell::new(layer);
                $work
            }
            Layer::Adaptive(layer) => {
                let $cell = &AdaptiveCell::new(layer);
                $work
            }
            Layer::Lstm($cell) => $work,
            Layer::Gru($cell) => $work,
        }
    };
}

macro_rules! compiled {
    ($real:ty) => {
        impl Compiled for $real {
            fn forward(
                layer: &Layer<'_, Self>,
                task: &Task<'_, Self>,
                wanted: Wanted,
                spare: Option<Tape<Self>>,
            ) -> Pass<Self> {
                with_cell!(layer, cell => Runner { cell, task }.forward(wanted, spare))
            }

            fn backward(
                layer: &Layer<'_, Self>,
                task: &Task<'_, Self>,
                tape: &mut Tape<Self>,
                loss: Loss<'_, Self>,
            ) -> Gradients<Self> {
                with_cell!(layer, cell => backward(cell, task, tape, loss))
            }
        }
    };
}

compiled!(f32);
compiled!(f64);

/// The weights of a_t = w_x x_t + w_h h_{t-1} + bias, of one gate above the other if neurons have G
/// of them.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a, R> {
    /// From the input, [G H, I].
    pub w_x: &'a [R],
    /// From the neurons, [G H, H].
    pub w_h: &'a [R],
    /// The sum of all biases, [G H].
    pub bias: &'a [R],
}

impl<R: Real> Weights<'_, R> {
    /// The product of all weights of so many gates with [h | x | 1].
    pub(crate) fn product<S: Simd>(&self, size: &Size, gates: usize) -> Product<R> {
        let Size { hidden, inputs, .. } = *size;
        let weight = |gate, neuron, k| self.get(gate * hidden + neuron, k, (hidden, inputs));
        Product::new::<S>(size, (0, gates), true, weight)
    }

    /// The weight of the k-th number of [h | x | 1] in a row, of H neurons and I inputs.
    pub(crate) fn get(&self, row: usize, k: usize, (hidden, inputs): (usize, usize)) -> R {
        if k < hidden {
            self.w_h[row * hidden + k]
        } else if k < hidden + inputs {
            self.w_x[row * inputs + k - hidden]
        } else {
            self.bias[row]
        }
    }
}

/// Gradients by [`Weights`].
#[derive(Debug, Clone, PartialEq)]
pub struct WeightGradients<R> {
    /// [G H, I].
    pub w_x: Vec<R>,
    /// [G H, H].
    pub w_h: Vec<R>,
    /// [G H].
    pub bias: Vec<R>,
}

/// Sizes of what [`WeightGradients::collect`] collects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Neurons.
    pub(crate) hidden: usize,
    /// Neurons with padding.
    pub(crate) padded: usize,
    /// How many of the neurons are listened to: all or none.
    pub(crate) heard: usize,
    /// Inputs.
    pub(crate) inputs: usize,
}

impl<R: Real> WeightGradients<R> {
    /// Takes out what threads have summed up over [h | x | 1], or over [x | 1], for so many gates.
    pub(crate) fn collect<'a>(
        sums: &(impl Iterator<Item = &'a Outer<R>> + Clone),
        gates: usize,
        shape: Shape,
    ) -> Self {
        let Shape { hidden, padded, heard, inputs } = shape;
        let rows = || {
            (0..gates).flat_map(move |gate| (0..hidden).map(move |neuron| gate * padded + neuron))
        };
        let total = |row: usize, column: usize| {
            let mut sum = R::ZERO;
            sums.clone().for_each(|part| sum += part.get(row, column));
            sum
        };
        let all = |first: usize, count: usize| -> Vec<R> {
            rows()
                .flat_map(|row| (first..first + count).map(move |column| (row, column)))
                .map(|(row, column)| total(row, column))
                .collect()
        };
        Self { w_h: all(0, heard), w_x: all(heard, inputs), bias: all(heard + inputs, 1) }
    }
}

/// A running sum in two stages: over the steps of a chunk in the precision of the kernel, over
/// chunks in double precision.
#[derive(Debug, Clone)]
pub(crate) struct Sum<R> {
    pub(crate) recent: Buffer<R>,
    settled: Vec<f64>,
    /// Numbers that one sum is made of.
    lanes: usize,
}

impl<R: Real> Sum<R> {
    /// `count` sums, each a number.
    pub(crate) fn new(count: usize) -> Self {
        Self::of_lanes(count, 1)
    }

    /// `count` sums, each a vector whose lanes are to be added up.
    pub(crate) fn of_lanes(count: usize, lanes: usize) -> Self {
        let length = count * lanes;
        Self { recent: zeros(length), settled: vec![0.0; length], lanes }
    }

    pub(crate) fn settle(&mut self) {
        for (settled, recent) in self.settled.iter_mut().zip(self.recent.iter_mut()) {
            *settled += (*recent).into();
            *recent = R::ZERO;
        }
    }

    /// The sums over all threads.
    pub(crate) fn total<'a>(parts: impl Iterator<Item = &'a Self>) -> Vec<R> {
        let mut total: Vec<f64> = Vec::new();
        for part in parts {
            let sums = part.settled.chunks_exact(part.lanes);
            total.resize(sums.len(), 0.0);
            sums.zip(&mut total).for_each(|(lanes, sum)| *sum += lanes.iter().sum::<f64>());
        }
        total.into_iter().map(R::of).collect()
    }
}
