//! The guarantees of the trainer, checked from outside: reference values, bit-identical resumption,
//! damaged files, learning.

#![expect(
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "equal bits are the promise under test, and the numbers cast are small"
)]
#![expect(clippy::unwrap_used, reason = "a test helper panics like the test")]

mod analyses_dynamics;
mod analyses_shape;
mod checkpoints;
mod cifar;
mod curves;
mod data;
mod evidence;
mod export;
mod initial;
mod kernels;
mod learning;
mod networks;
mod optimizers;
mod parameter_counts;
mod perturbed;
mod resumption;
mod rows;
mod support;
mod text;
