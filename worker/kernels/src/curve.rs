//! Activation functions and gamma(x; n, s) with their derivatives, on vectors (Geadah et al. 2024;
//! science reference, section 2).
//!
//! Every function is a straight sequence of vector operations for all arguments: no branches, no
//! tables in memory, one division. A NaN stays a NaN, results below the normal range are rounded
//! once, and no infinity meets a zero except in (1 - s) x of gamma for s = 1 at an infinite x.
//! Errors are a few units in the last place; the tests state the bounds.

mod coefficients;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod tests;

use std::f64::consts::LOG2_E;

use pulp::Simd;

use crate::Real;
use crate::real::Comparison;
use coefficients::table;

/// The smallest absolute gain that is used unchanged. A gain closer to zero is replaced by plus or
/// minus this value, and the derivative with respect to n is zero there.
pub(crate) const GAIN_GUARD: f64 = 1e-3;

/// Derivatives of gamma with respect to x, n and s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GammaSlopes<V> {
    pub(crate) x: V,
    pub(crate) n: V,
    pub(crate) s: V,
}

/// The hyperbolic tangent; never larger than one in absolute value.
///
/// With tanh(x / 2) = p / q, tanh x = 2 p q / (2 p q + (q - p)^2), whose denominator is never less
/// than its numerator, whatever the rounding. Errors of p / q fade out where tanh x approaches one,
/// so few coefficients suffice. A form with exp is slightly more accurate, but 10 to 25 % slower in
/// single precision, because it assembles an exponent.
#[inline(always)]
pub(crate) fn tanh<R: Real, S: Simd>(simd: S, x: R::Vector<S>) -> R::Vector<S> {
    let table = table::<R>();
    let constant = |value: f64| R::splat(simd, R::of(value));
    let m = R::at_most(simd, R::abs(simd, x), constant(table.half_end));
    let square = R::mul(simd, m, m);
    // 2 p. The polynomial's constant, which is one, is added last: one rounding less for small m.
    let above = polynomial::<R, S>(simd, square, table.half_above, 1.0);
    let above = R::mul_add(simd, R::mul(simd, m, square), above, m);
    // q - 1.
    let below = polynomial::<R, S>(simd, square, table.half_below, 1.0);
    let below = R::mul(simd, square, below);
    let product = R::mul_add(simd, above, below, above);
    let difference = R::mul_add(simd, above, constant(-0.5), below);
    let difference = R::add(simd, difference, constant(1.0));
    let sum = R::mul_add(simd, difference, difference, product);
    R::with_sign(simd, R::div(simd, product, sum), x)
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
pub(crate) fn sigmoid<R: Real, S: Simd>(simd: S, x: R::Vector<S>) -> R::Vector<S> {
    let (zero, one) = (R::splat(simd, R::ZERO), R::splat(simd, R::ONE));
    let small = decay::<R, S>(simd, R::abs(simd, x));
    let above = R::where_less(simd, Comparison { less: zero, than: x }, one, small);
    R::div(simd, above, R::add(simd, one, small))
}

/// ln(1 + exp(x)).
#[inline(always)]
pub(crate) fn softplus<R: Real, S: Simd>(simd: S, x: R::Vector<S>) -> R::Vector<S> {
    let small = decay::<R, S>(simd, R::abs(simd, x));
    let rectified = R::at_least(simd, x, R::splat(simd, R::ZERO));
    R::add(simd, rectified, log_above_one::<R, S>(simd, small))
}

/// sigma(x) sigma(-x), the derivative of [`sigmoid`], without cancellation.
#[inline(always)]
pub(crate) fn bell<R: Real, S: Simd>(simd: S, x: R::Vector<S>) -> R::Vector<S> {
    let small = decay::<R, S>(simd, R::abs(simd, x));
    // (1 + e)^2 as 1 + e (2 + e), which avoids rounding the sum twice.
    let more = R::add(simd, R::splat(simd, R::of(2.0)), small);
    R::div(simd, small, R::mul_add(simd, small, more, R::splat(simd, R::ONE)))
}

/// gamma(x; n, s) = (1 - s) softplus(n x) / n + s sigma(n x).
#[inline(always)]
pub(crate) fn gamma<R: Real, S: Simd>(
    simd: S,
    x: R::Vector<S>,
    n: R::Vector<S>,
    s: R::Vector<S>,
) -> R::Vector<S> {
    GammaParams::<R, S>::new(simd, n, s).gamma(simd, x)
}

/// The derivatives of [`gamma`].
#[inline(always)]
pub(crate) fn gamma_slopes<R: Real, S: Simd>(
    simd: S,
    x: R::Vector<S>,
    n: R::Vector<S>,
    s: R::Vector<S>,
) -> GammaSlopes<R::Vector<S>> {
    GammaParams::<R, S>::new(simd, n, s).gamma_with_slopes(simd, x).1
}

/// Gains and saturations of neurons, with the values that can be computed before x is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GammaParams<R: Real, S: Simd> {
    /// n after the guard.
    gain: R::Vector<S>,
    /// 1 / n.
    inverse: R::Vector<S>,
    /// s.
    saturation: R::Vector<S>,
    /// 1 - s.
    linear: R::Vector<S>,
    /// s n.
    steep: R::Vector<S>,
    /// -(1 - s) / n^2, zero where the gain was replaced.
    entropy: R::Vector<S>,
    /// s / n, zero where the gain was replaced.
    pull: R::Vector<S>,
}

impl<R: Real, S: Simd> GammaParams<R, S> {
    /// Prepares gain `n` and saturation `s`.
    #[inline(always)]
    pub(crate) fn new(simd: S, n: R::Vector<S>, s: R::Vector<S>) -> Self {
        let (zero, one) = (R::splat(simd, R::ZERO), R::splat(simd, R::ONE));
        let guard = R::splat(simd, R::of(GAIN_GUARD));
        let to_guard = Comparison { less: R::abs(simd, n), than: guard };
        let nearest =
            R::where_less(simd, Comparison { less: n, than: zero }, R::neg(simd, guard), guard);
        let gain = R::where_less(simd, to_guard, nearest, n);
        let inverse = R::div(simd, one, gain);
        let linear = R::sub(simd, one, s);
        // Two products with 1 / n because n^2 may overflow.
        let entropy = R::mul(simd, R::mul(simd, R::neg(simd, linear), inverse), inverse);
        let pull = R::mul(simd, s, inverse);
        Self {
            gain,
            inverse,
            saturation: s,
            linear,
            steep: R::mul(simd, s, gain),
            entropy: R::where_less(simd, to_guard, zero, entropy),
            pull: R::where_less(simd, to_guard, zero, pull),
        }
    }

    /// gamma(x; n, s).
    #[inline(always)]
    pub(crate) fn gamma(&self, simd: S, x: R::Vector<S>) -> R::Vector<S> {
        let (zero, one) = (R::splat(simd, R::ZERO), R::splat(simd, R::ONE));
        let z = R::mul(simd, self.gain, x);
        let small = decay::<R, S>(simd, R::abs(simd, z));
        let above = R::where_less(simd, Comparison { less: zero, than: z }, one, small);
        let sigmoid = R::div(simd, above, R::add(simd, one, small));
        let soft = self.soft(simd, x, z, log_above_one::<R, S>(simd, small));
        self.value(simd, soft, sigmoid)
    }

    /// Returns gamma(x; n, s) and its derivatives, for little more than the cost of gamma.
    #[inline(always)]
    pub(crate) fn gamma_with_slopes(
        &self,
        simd: S,
        x: R::Vector<S>,
    ) -> (R::Vector<S>, GammaSlopes<R::Vector<S>>) {
        let (zero, one) = (R::splat(simd, R::ZERO), R::splat(simd, R::ONE));
        let end = R::splat(simd, R::of(table::<R>().decay_end));
        let z = R::mul(simd, self.gain, x);
        // z clamped to the range that matters, so that its product with exp(-|z|) is finite.
        let near = R::at_least(simd, R::at_most(simd, z, end), R::neg(simd, end));
        let distance = R::abs(simd, near);
        let small = decay::<R, S>(simd, distance);
        let large = R::div(simd, one, R::add(simd, one, small));
        let small_part = R::mul(simd, small, large);
        let tail = log_above_one::<R, S>(simd, small);
        let sigmoid = R::where_less(simd, Comparison { less: zero, than: z }, large, small_part);
        let bell = R::mul(simd, small_part, large);
        let soft = self.soft(simd, x, z, tail);
        // The binary entropy of sigma(z).
        let entropy = R::mul_add(simd, distance, small_part, tail);
        // s x t (1 - t), computed as (s / n) z t (1 - t).
        let pulled = R::mul(simd, self.pull, R::mul(simd, near, bell));
        let slopes = GammaSlopes {
            x: R::mul_add(simd, self.linear, sigmoid, R::mul(simd, self.steep, bell)),
            n: R::mul_add(simd, self.entropy, entropy, pulled),
            s: R::sub(simd, sigmoid, soft),
        };
        (self.value(simd, soft, sigmoid), slopes)
    }

    /// softplus(z) / n for z = n x and `tail` = ln(1 + exp(-|z|)). max(z, 0) / n is x or 0; neither
    /// overflows.
    #[inline(always)]
    fn soft(&self, simd: S, x: R::Vector<S>, z: R::Vector<S>, tail: R::Vector<S>) -> R::Vector<S> {
        let zero = R::splat(simd, R::ZERO);
        let rectified = R::where_less(simd, Comparison { less: zero, than: z }, x, zero);
        R::mul_add(simd, tail, self.inverse, rectified)
    }

    /// (1 - s) soft + s sigmoid. The form with a single product, soft + s (sigmoid - soft), would
    /// cancel where s is near 1 and x large.
    #[inline(always)]
    fn value(&self, simd: S, soft: R::Vector<S>, sigmoid: R::Vector<S>) -> R::Vector<S> {
        R::mul_add(simd, self.linear, soft, R::mul(simd, self.saturation, sigmoid))
    }
}

/// exp(-m) for m >= 0.
///
/// exp(-m) = 2^k exp(-r) with the integer k nearest to -m / ln 2 and r = m + k ln 2. The mantissa
/// is computed too small by a constant power of two, and k compensates. So 2^k needs no special
/// case for results below the normal range, and those are rounded once.
#[inline(always)]
fn decay<R: Real, S: Simd>(simd: S, m: R::Vector<S>) -> R::Vector<S> {
    let table = table::<R>();
    let constant = |value: f64| R::splat(simd, R::of(value));
    let m = R::at_most(simd, m, constant(table.decay_end));
    let (headroom, exponent) = table.headroom;
    let rounding = constant(R::ROUNDING.into() + exponent);
    let rounded = R::mul_add(simd, m, constant(-LOG2_E), rounding);
    let k = R::sub(simd, rounded, rounding);
    let r = R::mul_add(simd, k, constant(table.ln_2.0), m);
    let r = R::mul_add(simd, k, constant(table.ln_2.1), r);
    let mantissa = polynomial::<R, S>(simd, r, table.decay, 1.0 / headroom);
    R::mul(simd, mantissa, R::power_of_two(simd, rounded))
}

/// ln(1 + e) for 0 <= e <= 1, to the relative precision of e.
#[inline(always)]
fn log_above_one<R: Real, S: Simd>(simd: S, e: R::Vector<S>) -> R::Vector<S> {
    R::mul(simd, e, polynomial::<R, S>(simd, e, table::<R>().log, 1.0))
}

/// Evaluates the polynomial with these coefficients, constant first, times `factor`, a power of
/// two.
#[inline(always)]
fn polynomial<R: Real, S: Simd>(
    simd: S,
    x: R::Vector<S>,
    coefficients: &[f64],
    factor: f64,
) -> R::Vector<S> {
    let mut sum = R::splat(simd, R::ZERO);
    for (i, coefficient) in coefficients.iter().rev().enumerate() {
        let coefficient = R::splat(simd, R::of(coefficient * factor));
        sum = if i == 0 { coefficient } else { R::mul_add(simd, sum, x, coefficient) };
    }
    sum
}
