//! Student's t distribution: the quantile of a one-sided confidence bound.
//!
//! For `n` degrees of freedom, the probability that |t| stays below `tan(a) * sqrt(n)` is a finite
//! sum in `a` (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), whose inverse is found by bisection
//! in O(n). From [`MANY`] on, an expansion in 1/n around the normal quantile is exact to 1e-10
//! (26.7.5).

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// The probability of the bound.
const LEVEL: f64 = 0.95;

/// The quantile of the normal distribution at [`LEVEL`].
const NORMAL_QUANTILE: f64 = 1.644_853_626_951_472_2;

/// The degrees of freedom from which the expansion is used.
const MANY: u64 = 100;

/// Returns the 95 % quantile of Student's t with `freedom` degrees of freedom, at least 1.
pub(crate) fn quantile_95(freedom: u64) -> f64 {
    let freedom = freedom.max(1);
    if freedom >= MANY {
        return expansion(freedom as f64);
    }
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    // Each step gains a bit; the numbers have 53.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if central_probability(middle, freedom) < 2.0 * LEVEL - 1.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low.tan() * (freedom as f64).sqrt()
}

/// Returns the probability of |t| < tan(`angle`) sqrt(`freedom`).
fn central_probability(angle: f64, freedom: u64) -> f64 {
    let (sine, cosine) = angle.sin_cos();
    let square = cosine * cosine;
    let is_odd = freedom % 2 == 1;
    // The powers of the cosine rise by two, up to `freedom` - 2.
    let first = if is_odd { cosine } else { 1.0 };
    let (mut term, mut sum) = (first, 0.0);
    for power in (u64::from(is_odd)..freedom.saturating_sub(1)).step_by(2) {
        sum += term;
        let power = power as f64;
        term *= square * (power + 1.0) / (power + 2.0);
    }
    if is_odd { FRAC_2_PI * (angle + sine * sum) } else { sine * sum }
}

fn expansion(n: f64) -> f64 {
    let x = NORMAL_QUANTILE;
    let square = x * x;
    let first = x * (square + 1.0) / 4.0;
    let second = x * ((5.0 * square + 16.0) * square + 3.0) / 96.0;
    let third = x * (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0;
    let fourth = x
        * ((((79.0 * square + 776.0) * square + 1482.0) * square - 1920.0) * square - 945.0)
        / 92_160.0;
    x + (first + (second + (third + fourth / n) / n) / n) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 95 % quantiles as printed in tables.
    const TABLE: [(u64, f64); 9] = [
        (1, 6.3138),
        (2, 2.9200),
        (3, 2.3534),
        (4, 2.1318),
        (5, 2.0150),
        (9, 1.8331),
        (30, 1.6973),
        (60, 1.6706),
        (120, 1.6577),
    ];

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, expected) in TABLE {
            let found = quantile_95(freedom);
            assert!((found - expected).abs() < 5.1e-5, "{freedom}: {found}");
        }
    }

    #[test]
    fn quantiles_fall_to_the_normal_one_without_a_step() {
        let quantiles: Vec<f64> = (1..400).map(quantile_95).collect();
        assert!(quantiles.windows(2).all(|pair| pair[0] > pair[1]));
        assert!((quantile_95(1_000_000) - NORMAL_QUANTILE).abs() < 2e-6);
        assert!((expansion(99.0) - quantile_95(99)).abs() < 1e-9);
    }
}
