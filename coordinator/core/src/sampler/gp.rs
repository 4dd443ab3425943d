//! Gaussian process search: models the loss over the space by a Gaussian process, and chooses the
//! point with the largest expected improvement on the best.
//!
//! The loss at x has the mean μ(x) = k(x)ᵀ K⁻¹ y and the variance σ²(x) = k(x, x) - k(x)ᵀ K⁻¹ k(x), with
//! K the covariances of the n results y and their noise (Rasmussen C E, Williams C K I (2006), eq.
//! 2.25 and 2.26). The point chosen has the largest E[max(best - f(x), 0)], by its logarithm (Ament et
//! al. 2023, arXiv:2310.20708). The parts are below: [`kernel`] (Matérn 5/2 with a lengthscale per
//! axis), [`fit`] (hyperparameters), [`posterior`] (pending points as believed results),
//! [`improvement`] and [`acquire`].
//!
//! Axes have their declared scale, so that a logarithmic parameter is modelled on its logarithm. On
//! an axis that does not exist at a point, the point has the middle of the prior, or a value of its
//! own if the axis has no order; the axis that decides tells the branches apart.
//!
//! Losses above the median are compressed logarithmically, so that a few very bad results do not
//! hide the differences between good ones. A diverged point has the worst finite loss; a pruned one
//! its last loss, but no better than the median of those that completed.
//!
//! A suggestion costs O(n³). With more than [`MAX_POINTS`] results, the tree-structured Parzen
//! estimator takes over. With fewer results than the axes plus 3 (at least 5 and at most 10), and
//! without a finite loss, points come from a Sobol sequence.

mod acquire;
mod fit;
mod improvement;
mod kernel;
mod linear;
mod minimize;
mod posterior;

use std::sync::Arc;

use self::acquire::Search;
use self::kernel::Kernel;
use self::posterior::Posterior;
use super::{FIRST_STREAM, Random, Sampler, Sobol, Suggestion, Tpe};
use crate::history::{History, HistoryRetention, PointTable, PointValue};
use crate::ranking::median;
use crate::rng::TrialRng;
use crate::space::Point;
use crate::space::encoding::{Coordinates, EncodedSpace};

/// The largest number of results that the process models.
const MAX_POINTS: usize = 200;

/// The largest number of pending points, the latest.
const MAX_PENDING: usize = 100;

/// The number of best points near which candidates are sought.
const CENTRES: usize = 5;

/// Gaussian process search.
#[derive(Debug)]
pub(crate) struct Gp {
    space: EncodedSpace,
    seed: u64,
    /// The sampler of the first points.
    start: Sobol,
    /// The sampler of points for which no new candidate is found.
    rest: Random,
    /// The sampler beyond [`MAX_POINTS`] results.
    successor: Tpe,
}

impl Gp {
    pub(crate) fn new(start: Sobol, rest: Random, successor: Tpe) -> Self {
        let space = EncodedSpace::new(Arc::clone(&rest.axes));
        Self { space, seed: rest.seed, start, rest, successor }
    }

    /// Returns the number of results before the model is used.
    fn start_points(&self) -> usize {
        (self.space.scales().len() + 3).clamp(5, 10)
    }

    fn coordinates(&self, history: &History, point: u64) -> Option<Coordinates> {
        let suggestion = history.suggestions().get(usize::try_from(point).ok()?)?;
        Some(self.space.encode(&suggestion.point))
    }

    /// Returns the best new point by the model; none if there is no model or no new point.
    fn best_point(&self, history: &History, targets: &[f64], index: u64) -> Option<Point> {
        let kernel = Kernel::new(self.space.scales());
        let coordinates = |point| self.coordinates(history, point);
        let points = history.points();
        let known: Vec<Coordinates> = points.ranked().filter_map(coordinates).collect();
        let pending = points.pending().take(MAX_PENDING).filter_map(coordinates);
        let pending = pending.map(|it| kernel.features(&it)).collect();
        let rows: Vec<_> = known.iter().map(|it| kernel.features(it)).collect();
        let at = fit::fit(&kernel, &rows, targets);
        let posterior = Posterior::new(kernel, at, rows, targets, pending)?;
        let search = Search { space: &self.space, history, posterior: &posterior };
        let mut rng = TrialRng::stream(self.seed, FIRST_STREAM.wrapping_add(index));
        search.run(&known[..CENTRES.min(known.len())], &mut rng)
    }
}

impl Sampler for Gp {
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion> {
        let count = history.points().len();
        if count > MAX_POINTS {
            return self.successor.suggest(history, index);
        }
        let targets = if count < self.start_points() { None } else { targets(history.points()) };
        let Some(targets) = targets else { return self.start.suggest(history, index) };
        match self.best_point(history, &targets, index) {
            Some(point) => Some(Suggestion::new(point)),
            None => self.rest.suggest(history, index),
        }
    }

    fn cardinality(&self) -> Option<u64> {
        self.rest.cardinality()
    }

    fn blind_points(&self) -> Option<u64> {
        Some(self.start_points() as u64)
    }

    fn is_slow(&self, history: &History) -> bool {
        (self.start_points()..=MAX_POINTS).contains(&history.points().len())
    }

    fn is_stateless(&self) -> bool {
        false
    }

    fn retention(&self) -> HistoryRetention {
        HistoryRetention { points: true, reports: true }
    }
}

/// Returns the targets of the points with a result, the best point first, with mean 0 and variance 1;
/// none if no loss is finite, or losses are too large to be compared.
fn targets(points: &PointTable) -> Option<Vec<f64>> {
    let values = || points.ranked().filter_map(|point| points.value(point));
    let completed = values().filter_map(|value| match value {
        PointValue::Completed { loss } => Some(loss),
        PointValue::Pruned { .. } | PointValue::Diverged => None,
    });
    let completed: Vec<f64> = completed.collect();
    let worst = values().filter_map(PointValue::loss).reduce(f64::max)?;
    let losses = values().map(|value| match value {
        PointValue::Completed { loss } => loss,
        PointValue::Pruned { loss, .. } => loss.max(median(&completed).unwrap_or(loss)),
        PointValue::Diverged => worst,
    });
    let targets = standardized(&compressed(&losses.collect::<Vec<f64>>()));
    // The distances of huge losses can overflow.
    targets.iter().all(|target| target.is_finite()).then_some(targets)
}

/// Compresses what lies above the median m, in units of the distance s of the best from it, to m +
/// s log(1 + (y - m) / s).
fn compressed(losses: &[f64]) -> Vec<f64> {
    let mut sorted = losses.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(median), Some(best)) = (median(&sorted), sorted.first()) else {
        return losses.to_vec();
    };
    let unit = median - best;
    if unit <= 0.0 {
        return losses.to_vec();
    }
    let compress = |loss: f64| {
        let excess = ((loss - median) / unit).max(0.0);
        loss.min(median) + unit * libm::log1p(excess)
    };
    losses.iter().map(|loss| compress(*loss)).collect()
}

fn standardized(values: &[f64]) -> Vec<f64> {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / count;
    let unit = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    values.iter().map(|y| (y - mean) / unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_losses_keep_their_distances_and_bad_ones_their_order() {
        let found = compressed(&[1.0, 2.0, 3.0, 5.0, 1e9]);
        assert_eq!(found[..3], [1.0, 2.0, 3.0]);
        assert!((found[3] - (3.0 + 2.0 * 2f64.ln())).abs() < 1e-12);
        assert!(found[4] > found[3] && found[4] < 50.0, "{found:?}");
    }

    #[test]
    fn losses_without_a_spread_below_the_median_stay() {
        for losses in [&[2.0, 2.0, 2.0, 9.0][..], &[]] {
            assert_eq!(compressed(losses), losses);
        }
        assert_eq!(standardized(&[3.0, 3.0]), [0.0, 0.0]);
    }

    #[test]
    fn targets_have_mean_0_and_variance_1() {
        let found = standardized(&[1.0, 2.0, 6.0, 7.0]);
        let square: f64 = found.iter().map(|y| y * y).sum();
        assert!(found.iter().sum::<f64>().abs() < 1e-12 && (square - 4.0).abs() < 1e-12);
    }
}
