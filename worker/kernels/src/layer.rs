//! A layer as its callers see it.

use crate::Real;
use crate::adaptive::{Adaptive, AdaptiveCell};
use crate::cell::Cell;
use crate::gated::{Gru, Lstm};
use crate::pass::{Pass, Runner, Tape};
use crate::plain::{Plain, PlainCell};
use crate::sequence::{Resources, Sequence, Wanted};
use crate::task::{Gradients, Loss, Task};

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
