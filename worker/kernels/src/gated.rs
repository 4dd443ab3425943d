//! Layers of gated neurons: LSTM and GRU.
//!
//! The forward pass leaves the gate values in `pre`; the backward pass computes the slopes from
//! them without another exponential.

mod gru;
mod lstm;

pub use gru::Gru;
pub use lstm::Lstm;

use pulp::Simd;

use crate::Real;

/// Returns sigma'(x) from y = sigma(x).
#[inline(always)]
fn sigmoid_slope<R: Real, S: Simd>(simd: S, y: R::Vector<S>) -> R::Vector<S> {
    R::mul(simd, y, R::sub(simd, R::splat(simd, R::ONE), y))
}

/// Returns tanh'(x) from y = tanh(x).
#[inline(always)]
fn tanh_slope<R: Real, S: Simd>(simd: S, y: R::Vector<S>) -> R::Vector<S> {
    R::sub(simd, R::splat(simd, R::ONE), R::mul(simd, y, y))
}

/// Splits a row into its blocks of `vectors` vectors.
#[inline(always)]
fn split<const N: usize, V>(row: &mut [V], vectors: usize) -> [&mut [V]; N] {
    let mut blocks = row.chunks_exact_mut(vectors);
    std::array::from_fn(|_| blocks.next().unwrap_or_default())
}
