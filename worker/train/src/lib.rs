//! Networks, tasks and training on libtorch: the only crate that links it.

pub mod adam;
pub mod gamma;
mod gauge;
pub mod network;
pub mod step;
mod tensor;

pub use gauge::Gauge;
