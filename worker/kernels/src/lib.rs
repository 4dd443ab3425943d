//! Recurrent layers over whole sequences on the processor, without libtorch.
//!
//! Training a recurrent network step by step spends its time on starting operations and on moving
//! intermediate results through memory. Here one pass covers all steps. Rows of the batch are
//! independent: each thread takes some of them through the whole sequence without waiting for
//! others. A step is one product with packed weights, which stay in the cache, followed by the
//! activation function on the sums in place. The backward pass is written by hand. Steps that do
//! not fit into memory are recomputed from states stored every few steps.
//!
//! Slices are row-major. Shapes: B samples, T steps, I inputs, H neurons, S controller units. The
//! code is generic over [`Real`], single or double precision, and over the instruction set, which
//! is detected at run time. A *drive* is an extra input current into the neurons.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function compiled for an instruction set uses it"
)]
#![expect(clippy::many_single_char_names, reason = "the names follow the literature")]

mod adaptive;
mod cell;
mod curve;
mod dims;
mod gated;
mod gradients;
mod isa;
mod layer;
mod matrix;
mod memory;
mod pairs;
mod pass;
mod plain;
mod product;
mod real;
mod sequence;
mod sum;
mod thread_gradients;
mod weights;

pub use adaptive::{AdaptiveLayer, Controller};
pub use gated::{Gru, Lstm};
pub use gradients::{BackwardRequest, Gradients};
pub use isa::Isa;
pub use layer::{CompiledReal, Layer};
pub use pass::{LayerOutput, Tape};
pub use plain::{NeuronFunction, PlainLayer};
pub use real::{Comparison, Real};
pub use sequence::{
    ComputeResources, Drive, GainSaturation, GainStats, LayerState, OutputSelection, Sequence,
    SequenceDims, StepTrace,
};
pub use weights::{WeightGradients, Weights};
