//! The public interface of a layer.

use crate::Real;
use crate::adaptive::{AdaptiveCell, AdaptiveLayer};
use crate::cell::Cell;
use crate::gated::{Gru, Lstm};
use crate::gradients::{BackwardRequest, Gradients, PassInput};
use crate::pass::{LayerOutput, LayerRunner, Tape};
use crate::plain::{PlainCell, PlainLayer};
use crate::sequence::{ComputeResources, OutputSelection, Sequence};

/// A recurrent layer with its weights.
#[derive(Debug, Clone, Copy)]
pub enum Layer<'a, R> {
    /// Neurons with a fixed activation function.
    Plain(PlainLayer<'a, R>),
    /// Adaptive neurons that share a controller.
    Adaptive(AdaptiveLayer<'a, R>),
    /// Long short-term memory.
    Lstm(Lstm<'a, R>),
    /// Gated recurrent units.
    Gru(Gru<'a, R>),
}

/// A precision for which this crate compiles the kernels, so that dependent crates do not.
pub trait CompiledReal: Real {
    #[doc(hidden)]
    fn forward(
        layer: &Layer<'_, Self>,
        task: &PassInput<'_, Self>,
        wanted: OutputSelection,
        reuse: Option<Tape<Self>>,
    ) -> LayerOutput<Self>;
    #[doc(hidden)]
    fn backward(
        layer: &Layer<'_, Self>,
        task: &PassInput<'_, Self>,
        tape: &mut Tape<Self>,
        loss: BackwardRequest<'_, Self>,
    ) -> Gradients<Self>;
}

impl<R: CompiledReal> Layer<'_, R> {
    /// Runs the layer over a sequence. Reuses the memory of `reuse`, an old tape, if it fits.
    pub fn forward(
        &self,
        sequence: &Sequence<'_, R>,
        wanted: OutputSelection,
        resources: ComputeResources,
        reuse: Option<Tape<R>>,
    ) -> LayerOutput<R> {
        R::forward(self, &PassInput { sequence, resources }, wanted, reuse)
    }

    /// Returns the gradients of a loss. `tape` comes from a forward pass over the same sequence
    /// with the same weights and resources, and can be used only once.
    pub fn backward(
        &self,
        sequence: &Sequence<'_, R>,
        tape: &mut Tape<R>,
        loss: BackwardRequest<'_, R>,
        resources: ComputeResources,
    ) -> Gradients<R> {
        R::backward(self, &PassInput { sequence, resources }, tape, loss)
    }
}

fn backward<R: Real, C: Cell<R>>(
    cell: &C,
    task: &PassInput<'_, R>,
    tape: &mut Tape<R>,
    loss: BackwardRequest<'_, R>,
) -> Gradients<R> {
    let runner = LayerRunner { cell, task };
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
        impl CompiledReal for $real {
            fn forward(
                layer: &Layer<'_, Self>,
                task: &PassInput<'_, Self>,
                wanted: OutputSelection,
                reuse: Option<Tape<Self>>,
            ) -> LayerOutput<Self> {
                with_cell!(layer, cell => LayerRunner { cell, task }.forward(wanted, reuse))
            }

            fn backward(
                layer: &Layer<'_, Self>,
                task: &PassInput<'_, Self>,
                tape: &mut Tape<Self>,
                loss: BackwardRequest<'_, Self>,
            ) -> Gradients<Self> {
                with_cell!(layer, cell => backward(cell, task, tape, loss))
            }
        }
    };
}

compiled!(f32);
compiled!(f64);
