//! The promises of the trainer, checked from outside: reference values, bit-identical resumption,
//! damaged files, learning.

mod checkpoints;
mod data;
mod learning;
mod networks;
mod resumption;
mod rows;
mod support;
