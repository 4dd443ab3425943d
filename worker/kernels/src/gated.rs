//! Layers whose neurons have several gates: long short-term memory and gated recurrent units.
//!
//! The forward pass leaves the values of the gates in `pre`, from which the slopes follow without
//! another exponential.

mod gru;
mod lstm;

pub use gru::Gru;
pub use lstm::Lstm;

use pulp::Simd;

use crate::Real;

/// sigma'(x), from sigma(x).
#[inline(always)]
fn sigmoid_slope<R: Real, S: Simd>(simd: S, y: R::Vector<S>) -> R::Vector<S> {
    R::mul(simd, y, R::sub(simd, R::splat(simd, R::ONE), y))
}

/// tanh'(x), from tanh(x).
#[inline(always)]
fn tanh_slope<R: Real, S: Simd>(simd: S, y: R::Vector<S>) -> R::Vector<S> {
    R::sub(simd, R::splat(simd, R::ONE), R::mul(simd, y, y))
}

/// The blocks of a row, each of `vectors` vectors.
#[inline(always)]
fn split<const N: usize, V>(row: &mut [V], vectors: usize) -> [&mut [V]; N] {
    let mut blocks = row.chunks_exact_mut(vectors);
    std::array::from_fn(|_| blocks.next().unwrap_or_default())
}
