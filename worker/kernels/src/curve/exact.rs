//! The curves in twice the precision, as a reference for tests.
//!
//! A number is the sum of two `f64`; the second is at most half a unit in the last place of the
//! first (Dekker 1971). This gives about 104 bits, enough to resolve hundredths of a unit in the
//! last place.

use std::f64::consts::{LN_2, LOG2_E};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// The difference between ln 2 and [`LN_2`].
const LN_2_REST: f64 = 2.319_046_813_846_299_6e-17;

/// A number in two parts: value and rounding error.
#[derive(Debug, Clone, Copy)]
pub(super) struct DoubleDouble(pub(super) f64, pub(super) f64);

impl DoubleDouble {
    const ZERO: Self = Self(0.0, 0.0);
    const ONE: Self = Self(1.0, 0.0);

    pub(super) fn abs(self) -> Self {
        if self.0 < 0.0 { -self } else { self }
    }

    /// Returns the exact sum, up to rounding, of a larger and a smaller number.
    fn of_sum(large: f64, small: f64) -> Self {
        let sum = large + small;
        Self(sum, small - (sum - large))
    }

    fn times_power_of_two(self, exponent: f64) -> Self {
        // Two steps, because the full power may be out of range where the result is not.
        let half = (exponent / 2.0).floor();
        let (first, second) = (half.exp2(), (exponent - half).exp2());
        Self(self.0 * first * second, self.1 * first * second)
    }

    pub(super) fn exp(self) -> Self {
        let k = (self.0 * LOG2_E).round();
        let r = self - Self::from(k) * Self(LN_2, LN_2_REST);
        let series =
            (1..=27).rev().fold(Self::ONE, |sum, i| Self::ONE + sum * r / Self::from(f64::from(i)));
        series.times_power_of_two(k)
    }

    /// ln(1 + e) for 0 <= e <= 1.
    fn log_above_one(self) -> Self {
        if self.0 < 1e-9 {
            let cube = self * self * self;
            return self - self * self / Self::from(2.0) + cube / Self::from(3.0);
        }
        // ln(1 + e) = y + ln((1 + e) exp(-y)); the second logarithm is close to zero.
        let y = Self::from(self.0.ln_1p());
        let rest = (Self::ONE + self) * (-y).exp() - Self::ONE;
        y + rest - rest * rest / Self::from(2.0)
    }

    pub(super) fn tanh(self) -> Self {
        if self.0.abs() < 1e-5 {
            let square = self * self;
            let fifth = square * square * Self::from(2.0) / Self::from(15.0);
            return self - self * (square / Self::from(3.0) - fifth);
        }
        let e = (self.abs() * Self::from(-2.0)).exp();
        let size = (Self::ONE - e) / (Self::ONE + e);
        if self.0 < 0.0 { -size } else { size }
    }

    pub(super) fn sigmoid(self) -> Self {
        let e = (-self.abs()).exp();
        (if self.0 > 0.0 { Self::ONE } else { e }) / (Self::ONE + e)
    }

    pub(super) fn softplus(self) -> Self {
        let rectified = if self.0 > 0.0 { self } else { Self::ZERO };
        rectified + (-self.abs()).exp().log_above_one()
    }

    pub(super) fn bell(self) -> Self {
        self.sigmoid() * (-self).sigmoid()
    }
}

/// Returns gamma(x; n, s) and its derivatives with respect to x, n and s. Each comes with the sum
/// of the absolute values of its terms, the scale for errors where terms cancel.
pub(super) fn gamma([x, n, s]: [f64; 3]) -> [(DoubleDouble, f64); 4] {
    let [x, n, s] = [x, n, s].map(DoubleDouble::from);
    let z = n * x;
    let linear = DoubleDouble::ONE - s;
    let (soft, sigmoid, bell) = (z.softplus() / n, z.sigmoid(), z.bell());
    let entropy = z.abs() * (-z.abs()).sigmoid() + (-z.abs()).exp().log_above_one();
    [
        (linear * soft, s * sigmoid),
        (linear * sigmoid, s * n * bell),
        (-linear / n / n * entropy, s * x * bell),
        (sigmoid, -soft),
    ]
    .map(|(first, second)| (first + second, first.0.abs() + second.0.abs()))
}

impl From<f64> for DoubleDouble {
    fn from(value: f64) -> Self {
        Self(value, 0.0)
    }
}

impl Neg for DoubleDouble {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0, -self.1)
    }
}

impl Add for DoubleDouble {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let sum = self.0 + other.0;
        let of_other = sum - self.0;
        let rest = (self.0 - (sum - of_other)) + (other.0 - of_other);
        let first = Self::of_sum(sum, rest + self.1 + other.1);
        Self::of_sum(first.0, first.1)
    }
}

impl Sub for DoubleDouble {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for DoubleDouble {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let product = self.0 * other.0;
        let rest = self.0.mul_add(other.0, -product);
        Self::of_sum(product, rest + self.0 * other.1 + self.1 * other.0)
    }
}

impl Div for DoubleDouble {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let first = self.0 / other.0;
        let rest = self - other * Self::from(first);
        let second = rest.0 / other.0;
        let rest = rest - other * Self::from(second);
        Self::of_sum(first, second) + Self::from(rest.0 / other.0)
    }
}
