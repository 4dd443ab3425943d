//! Networks, tasks and training on libtorch; the only crate that links it.
//!
//! [`TorchTrainer`] implements [`rheo_model::trainer::Trainer`]: it trains one trial as a resumable
//! state machine, and every step of it ends where a checkpoint can be taken. A trial's rows and
//! weights are a function of its configuration alone; neither interruptions nor other trials change
//! a bit of them. The modules below are the parts of the state machine; they are public for benches
//! and for the reference tests in `tests/`.
//!
//! Absent on purpose: `VarStore` and the optimizers of tch, because checkpoints need their full
//! state; panicking tensor calls (`a + b`, `a.sum()`), because a failure of libtorch is an error of
//! one trial and not of the worker.

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
