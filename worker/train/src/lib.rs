//! Networks, tasks and training on libtorch: the only crate that links it.
//!
//! [`TorchTrainer`] implements [`rheo_model::trainer::Trainer`]: it trains one trial as a resumable state
//! machine whose every step ends where a checkpoint can be taken. A trial's rows and weights are a
//! function of its configuration alone: whether it was interrupted, and what ran beside it, changes
//! no bit of them. The modules below are what the state machine is made of; they are public for
//! benches and for the oracles of `tests/`.
//!
//! What is absent, and why: no `VarStore` and no optimizer of tch, because their state would have
//! to be taken apart for checkpoints; no panicking tensor call (`a + b`, `a.sum()`), because a
//! failure of libtorch is an error of one trial and not of the worker.

mod analysis;
mod checkpoint;
pub mod dynamics;
mod error;
pub mod evaluation;
pub mod gamma;
pub mod network;
mod neuron_slopes;
pub mod numerics;
pub mod optimizer;
pub mod schedule;
mod shape_stats;
pub mod step;
pub mod task;
mod tensor;
mod trainer;
mod trial;

pub use error::Error;
pub use shape_stats::{NeuronShapes, ShapeStats};
pub use task::DataDirs;
pub use trainer::{TorchTrainer, visible_gpus};
pub use trial::{config_of, export};
