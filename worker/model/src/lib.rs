//! Trials of recurrent networks as values: their typed configuration, the rows and metrics that
//! they produce, the contract of trainers, and the schema for the engine of sweeps.
//!
//! Pure like the engine itself: this crate does no I/O, reads no clock and uses no global random
//! generator.

pub mod config;
pub mod dataset;
pub mod networks;
pub mod numerics;
pub mod row;
pub mod trainer;
mod words;
