//! Recurrent layers over whole sequences on the processor, without libtorch.
//!
//! Training a recurrent network step by step spends its time on starting operations and on moving
//! intermediate results through memory. Here one pass goes over all steps: rows of the batch are
//! independent, so every thread takes some of them through the whole sequence and waits for nobody;
//! a step is one product with packed weights that stay in the cache, and the neurons' curve where
//! the sums lie. The backward pass is written by hand and computes again, from states kept every
//! few steps, what does not fit into memory.
//!
//! Slices are row-major. Shapes: B samples, T steps, I inputs, H neurons, S controller units.
//! Everything is generic over [`Real`], single or double precision, and over the instruction set,
//! which is found when the program runs.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined into code that is compiled for an instruction set does not use it"
)]
#![expect(clippy::many_single_char_names, reason = "these are the names of the field")]

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
