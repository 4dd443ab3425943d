//! The posterior of a Gaussian process at any point.
//!
//! Pending points count with their posterior mean as their result (kriging believer: Ginsbourger D,
//! Le Riche R, Carraro L (2010), Computational Intelligence in Expensive Optimization Problems,
//! 131-162). Such results leave the mean as it is everywhere and lower the variance near the pending
//! points, so the mean comes from the results alone, and the variance from all points. With n points,
//! the factor costs O(n³), and the posterior at a point O(n²).

use super::fit;
use super::kernel::{Covariance, Features, Hyperparameters, Kernel};
use super::linear::{Cholesky, dot};

/// The smallest variance, against rounding.
const MIN_VARIANCE: f64 = 1e-12;

/// A Gaussian process with results.
#[derive(Debug)]
pub(super) struct Posterior {
    kernel: Kernel,
    at: Hyperparameters,
    /// The points with a result, then the pending ones.
    rows: Vec<Features>,
    /// The weights of the points with a result.
    weights: Vec<f64>,
    factor: Cholesky,
    best: f64,
}

/// The distribution of the function at a point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Belief {
    /// The mean.
    pub(super) mean: f64,
    /// The standard deviation.
    pub(super) deviation: f64,
}

impl Posterior {
    /// Conditions on standardized `targets` at `known`, and on `pending` points; none if the
    /// covariance is not positive definite to machine precision.
    pub(super) fn new(
        kernel: Kernel,
        at: Hyperparameters,
        known: Vec<Features>,
        targets: &[f64],
        pending: Vec<Features>,
    ) -> Option<Self> {
        let factor = fit::decompose(&kernel, &at, &known)?;
        let weights = factor.solve_upper(factor.solve_lower(targets));
        let mut rows = known;
        let factor = if pending.is_empty() {
            factor
        } else {
            rows.extend(pending);
            fit::decompose(&kernel, &at, &rows)?
        };
        let mut posterior = Self { kernel, at, rows, weights, factor, best: 0.0 };
        let means = posterior.rows.iter().map(|row| posterior.mean(row));
        posterior.best = means.fold(f64::INFINITY, f64::min);
        Some(posterior)
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Returns the lowest mean at a point with a result or a pending one.
    pub(super) fn best(&self) -> f64 {
        self.best
    }

    fn mean(&self, x: &[f64]) -> f64 {
        let covariance = |row: &Features| self.kernel.covariance(&self.at, x, row).value;
        let terms = self.rows.iter().zip(&self.weights);
        terms.map(|(row, weight)| weight * (covariance(row) + fit::MEAN_VARIANCE)).sum()
    }

    fn covariances(&self, x: &[f64]) -> Vec<Covariance> {
        self.rows.iter().map(|row| self.kernel.covariance(&self.at, x, row)).collect()
    }

    /// Returns the belief at `x` with the solution of L v = k.
    fn belief_from(&self, covariances: &[Covariance]) -> (Belief, Vec<f64>) {
        let values: Vec<f64> = covariances.iter().map(|it| it.value + fit::MEAN_VARIANCE).collect();
        let mean = dot(&values[..self.weights.len()], &self.weights);
        let solved = self.factor.solve_lower(&values);
        let variance = self.at.signal + fit::MEAN_VARIANCE - dot(&solved, &solved);
        (Belief { mean, deviation: variance.max(MIN_VARIANCE).sqrt() }, solved)
    }

    /// Returns the belief about the function, without noise, at `x`.
    pub(super) fn belief(&self, x: &[f64]) -> Belief {
        self.belief_from(&self.covariances(x)).0
    }

    /// Returns the belief at `x`, and the gradients of mean and deviation along `axes`, which have an
    /// order.
    pub(super) fn slopes(&self, x: &[f64], axes: &[usize]) -> (Belief, Vec<(f64, f64)>) {
        let covariances = self.covariances(x);
        let (belief, solved) = self.belief_from(&covariances);
        let weights = self.factor.solve_upper(solved);
        let along = |axis: &usize| {
            let scale = self.at.lengthscales[*axis] * self.at.lengthscales[*axis];
            let (mut mean, mut variance) = (0.0, 0.0);
            for (i, (row, covariance)) in self.rows.iter().zip(&covariances).enumerate() {
                let change = -covariance.slope * (x[*axis] - row[*axis]) / scale;
                mean += change * self.weights.get(i).copied().unwrap_or(0.0);
                variance -= 2.0 * change * weights[i];
            }
            (mean, variance / (2.0 * belief.deviation))
        };
        (belief, axes.iter().map(along).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::encoding::Scale;

    fn line(pending: &[f64]) -> Posterior {
        let kernel = Kernel::new(&[Scale::Continuous]);
        let at = Hyperparameters { lengthscales: vec![0.4], signal: 1.0, noise: 1e-10 };
        let known = [0.1, 0.4, 0.8].map(|x| vec![x]).to_vec();
        let pending = pending.iter().map(|x| vec![*x]).collect();
        Posterior::new(kernel, at, known, &[1.0, -0.5, 0.3], pending).unwrap()
    }

    #[test]
    fn results_without_noise_are_interpolated() {
        let posterior = line(&[]);
        for (x, y) in [(0.1, 1.0), (0.4, -0.5), (0.8, 0.3)] {
            let belief = posterior.belief(&[x]);
            assert!((belief.mean - y).abs() < 1e-6 && belief.deviation < 1e-4, "{belief:?}");
        }
        assert!((posterior.best() + 0.5).abs() < 1e-6);
        assert!(posterior.belief(&[0.6]).deviation > 0.1);
    }

    #[test]
    fn pending_points_leave_the_mean_and_lower_the_deviation() {
        let (alone, together) = (line(&[]), line(&[0.6, 0.95]));
        for x in [0.0, 0.3, 0.55, 0.7, 1.0] {
            let (before, after) = (alone.belief(&[x]), together.belief(&[x]));
            assert!((before.mean - after.mean).abs() < 1e-9);
            assert!(after.deviation < before.deviation + 1e-9);
        }
        assert!(together.belief(&[0.6]).deviation < 1e-4);
    }

    #[test]
    fn slopes_agree_with_differences() {
        let posterior = line(&[0.6]);
        for x in [0.05, 0.3, 0.7] {
            let (belief, slopes) = posterior.slopes(&[x], &[0]);
            let (low, high) = (posterior.belief(&[x - 1e-6]), posterior.belief(&[x + 1e-6]));
            let (by_mean, by_deviation) = slopes[0];
            assert!((by_mean - (high.mean - low.mean) / 2e-6).abs() < 1e-4);
            let difference = (high.deviation - low.deviation) / 2e-6;
            assert!((by_deviation - difference).abs() < 1e-4 / belief.deviation, "{x}");
        }
    }
}
