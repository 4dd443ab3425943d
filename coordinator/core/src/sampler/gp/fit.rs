//! Hyperparameters of a Gaussian process with the highest posterior density (MAP).
//!
//! log p(y | X, θ) = -½ yᵀ K⁻¹ y - ½ log |K| + constant with K the covariance of the targets: that
//! of the kernel, plus 1 for the constant mean, whose prior N(0, 1) is integrated out, plus the
//! variance of the noise on the diagonal. Rasmussen C E, Williams C K I (2006), eq. 5.8 and 5.9.
//!
//! Priors: log-normal on lengthscales, with location √2 + ½ log d and scale √3 for d axes (Hvarfner C,
//! Hellsten E O, Nardi L (2024), ICML, arXiv:2402.02229); log-normal around 1 on the variance of the
//! function; a density that falls as v^0.1 exp(-10 v) on the variance v of the noise, relative to
//! targets of variance 1. One evaluation costs O(n³); a large set of points is approached by a part of it.

use std::f64::consts::SQRT_2;

use super::kernel::{Features, Hyperparameters, Kernel};
use super::linear::{Cholesky, dot};
use super::minimize::{Limits, Slope, minimize};

/// The largest number of points in the first approach.
const MAX_FIRST: usize = 60;

/// The bounds of the logarithms of lengthscales, 0.005 to 150.
const LENGTHSCALES: (f64, f64) = (-5.3, 5.0);

/// The bounds of the logarithm of the variance of the function.
const SIGNAL: (f64, f64) = (-5.0, 5.0);

/// The bounds of the logarithm of the variance of the noise, 1e-7 to 2.7.
const NOISE: (f64, f64) = (-16.1, 1.0);

/// The starts: logarithms of lengthscale (for a single axis), variance of the function and noise.
const STARTS: [[f64; 3]; 3] = [[-0.7, 0.0, -7.0], [0.7, 0.0, -3.0], [-2.0, 0.0, -5.0]];

const FIRST_LIMITS: Limits = Limits { steps: 40, reach: 1.5, tolerance: 1e-3 };
const LAST_LIMITS: Limits = Limits { steps: 12, reach: 1.0, tolerance: 1e-2 };

/// Returns the hyperparameters that fit standardized `targets` best. The points come best first.
pub(super) fn fit(kernel: &Kernel, rows: &[Features], targets: &[f64]) -> Hyperparameters {
    let stride = rows.len().div_ceil(MAX_FIRST).max(1);
    let some_rows: Vec<Features> = rows.iter().step_by(stride).cloned().collect();
    let some_targets: Vec<f64> = targets.iter().step_by(stride).copied().collect();
    let axes = kernel.axes();
    let spread = 0.5 * libm::log(axes.max(1) as f64);
    let bounds: Vec<(f64, f64)> =
        std::iter::repeat_n(LENGTHSCALES, axes).chain([SIGNAL, NOISE]).collect();
    let mut best: Option<(Vec<f64>, f64)> = None;
    for [lengthscale, signal, noise] in STARTS {
        let start = std::iter::repeat_n(lengthscale + spread, axes).chain([signal, noise]);
        let loss = |at: &[f64]| negative_log_posterior(kernel, &some_rows, &some_targets, at);
        let found = minimize(loss, start.collect(), &bounds, FIRST_LIMITS);
        if let Some((at, value)) = found
            && best.as_ref().is_none_or(|(_, lowest)| value < *lowest)
        {
            best = Some((at, value));
        }
    }
    let at = best.map_or_else(|| vec![0.0; axes + 2], |(at, _)| at);
    if stride == 1 {
        return Hyperparameters::from_logarithms(&at);
    }
    let loss = |at: &[f64]| negative_log_posterior(kernel, rows, targets, at);
    let all = minimize(loss, at.clone(), &bounds, LAST_LIMITS);
    Hyperparameters::from_logarithms(&all.map_or(at, |(at, _)| at))
}

/// Decomposes the covariance of targets at `rows`; none if it is not positive definite to machine
/// precision.
pub(super) fn decompose(
    kernel: &Kernel,
    at: &Hyperparameters,
    rows: &[Features],
) -> Option<Cholesky> {
    Cholesky::new(rows.len(), |i, j| {
        let noise = if i == j { at.noise } else { 0.0 };
        kernel.covariance(at, &rows[i], &rows[j]).value + MEAN_VARIANCE + noise
    })
}

/// The variance of the prior of the constant mean.
pub(super) const MEAN_VARIANCE: f64 = 1.0;

/// Returns minus the logarithm of the posterior density up to a constant, and its gradient by the logarithms of the
/// hyperparameters; none if the covariance has no Cholesky factor.
fn negative_log_posterior(
    kernel: &Kernel,
    rows: &[Features],
    targets: &[f64],
    logarithms: &[f64],
) -> Slope {
    let at = Hyperparameters::from_logarithms(logarithms);
    let (count, axes) = (rows.len(), kernel.axes());
    let pairs: Vec<_> = (0..count)
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| kernel.covariance(&at, &rows[i], &rows[j]))
        .collect();
    let pair = |i: usize, j: usize| &pairs[i * i.saturating_sub(1) / 2 + j];
    let factor = Cholesky::new(count, |i, j| {
        MEAN_VARIANCE + if i == j { at.signal + at.noise } else { pair(i, j).value }
    })?;
    let weights = factor.solve_upper(factor.solve_lower(targets));
    let inverse = factor.inverse();
    let mut value = 0.5 * dot(targets, &weights) + factor.half_log_determinant();
    let mut gradient = vec![0.0; axes + 2];
    for i in 0..count {
        for j in 0..i {
            let weight = inverse[i * count + j] - weights[i] * weights[j];
            let pair = pair(i, j);
            gradient[axes] += weight * pair.value;
            let slope = weight * pair.slope;
            for (axis, sum) in gradient[..axes].iter_mut().enumerate() {
                *sum += slope * kernel.squared_distance(axis, &rows[i], &rows[j]);
            }
        }
        let weight = 0.5 * (inverse[i * count + i] - weights[i] * weights[i]);
        gradient[axes] += weight * at.signal;
        gradient[axes + 1] += weight * at.noise;
    }
    for (sum, lengthscale) in gradient.iter_mut().zip(&at.lengthscales) {
        *sum /= lengthscale * lengthscale;
    }
    value += add_priors(logarithms, &mut gradient);
    value.is_finite().then_some((value, gradient))
}

/// Returns minus the logarithm of the prior density up to a constant, and adds its gradient.
fn add_priors(logarithms: &[f64], gradient: &mut [f64]) -> f64 {
    let axes = logarithms.len() - 2;
    let location = SQRT_2 + 0.5 * libm::log(axes.max(1) as f64);
    let mut value = 0.0;
    for (log, slope) in logarithms[..axes].iter().zip(&mut *gradient) {
        let z = log - location;
        // A density of the lengthscale, not of its logarithm.
        value += log + z * z / 6.0;
        *slope += 1.0 + z / 3.0;
    }
    let (signal, noise) = (logarithms[axes], logarithms[axes + 1]);
    value += 0.5 * signal * signal;
    gradient[axes] += signal;
    let variance = libm::exp(noise);
    value += 10.0 * variance - 0.1 * noise;
    gradient[axes + 1] += 10.0 * variance - 0.1;
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, TrialRng};
    use crate::space::encoding::Scale;

    /// Random rows on an ordered, a continuous axis and a choice.
    fn rows(count: usize) -> (Kernel, Vec<Features>) {
        let kernel = Kernel::new(&[Scale::Continuous, Scale::Ordered(50), Scale::Choice(3)]);
        let mut rng = TrialRng::new(3, Purpose::Noise);
        let row = |_| vec![rng.unit(), rng.unit(), rng.below(3) as f64];
        (kernel, (0..count).map(row).collect())
    }

    #[test]
    fn the_gradient_agrees_with_differences() {
        let (kernel, rows) = rows(25);
        let targets: Vec<f64> = rows.iter().map(|x| (5.0 * x[0]).sin() + x[1] * x[2]).collect();
        for at in [[-1.0, 0.3, 0.0, 0.2, -4.0], [0.5, -2.0, 1.0, -1.0, -1.0]] {
            let value = |at: &[f64]| negative_log_posterior(&kernel, &rows, &targets, at).unwrap();
            let (_, gradient) = value(&at);
            for (i, slope) in gradient.iter().enumerate() {
                let moved = |step: f64| {
                    let mut moved = at;
                    moved[i] += step;
                    value(&moved).0
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (slope - difference).abs() < 1e-5 * slope.abs().max(1.0),
                    "{i}: {slope} {difference}"
                );
            }
        }
    }

    #[test]
    fn lengthscales_and_noise_of_a_drawn_function_are_recovered() {
        let (kernel, rows) = rows(60);
        let truth = Hyperparameters { lengthscales: vec![0.3, 2.0, 1.0], signal: 1.0, noise: 0.01 };
        let factor = decompose(&kernel, &truth, &rows).unwrap();
        let mut rng = TrialRng::new(5, Purpose::Noise);
        let normals: Vec<f64> = rows.iter().map(|_| rng.normal()).collect();
        let targets: Vec<f64> = (0..rows.len()).map(|i| factor.product(i, &normals)).collect();
        let found = fit(&kernel, &rows, &targets);
        let is_near = |found: f64, truth: f64, factor: f64| {
            assert!(found < truth * factor && found > truth / factor, "{found}, {truth}");
        };
        is_near(found.lengthscales[0], 0.3, 2.0);
        is_near(found.lengthscales[1], 2.0, 4.0);
        is_near(found.lengthscales[2], 1.0, 4.0);
        is_near(found.noise, 0.01, 2.5);
    }
}
