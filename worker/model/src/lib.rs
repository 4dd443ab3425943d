//! Trials of recurrent networks as values: their typed configuration, the rows and metrics that they
//! produce, the contract of what trains them, and what the engine of sweeps is told of them.
//!
//! Pure like the engine itself: nothing here does I/O, reads a clock or draws from a global random
//! generator.

pub mod config;
pub mod dataset;
pub mod networks;
pub mod numerics;
pub mod row;
pub mod trainer;
mod words;
