//! Tree-structured Parzen estimator (TPE): models good and other points by two mixtures of kernels,
//! and chooses the point that is most typical of the good ones.
//!
//! With l the density of the best points and g that of all others, the point with the largest
//! l(x) / g(x) has the largest expected improvement: Bergstra J, Bardenet R, Bengio Y, Kégl B (2011),
//! Algorithms for hyper-parameter optimization, NeurIPS 24. Kernels span all axes, as in Falkner S,
//! Klein A, Hutter F (2018), BOHB, ICML, PMLR 80:1437-1446; the rules for their number, weights and
//! form are those of Watanabe S (2023), arXiv:2304.11127, for multivariate kernels. Their widths are
//! 0.35 times as large, which `bench/search` found better (docs/search.md):
//!
//! * the best min(⌈n/10⌉, 25) of n points are good; points that got further come before those that
//!   were pruned earlier, and diverged ones last;
//! * a kernel is a product over the axes: a normal density of width 0.07 n^(-1/(d+4)), but at
//!   least 0.35 / min(n + 2, 100) and half a row, truncated to [0, 1], on an axis with an order, and
//!   the share of equal rows on one without; one more kernel is the prior;
//! * the 25 latest points have weight 1, earlier ones less.
//!
//! Pending points count among the others, so that points chosen together spread out (constant liar).
//! On an axis that does not exist at a kernel's point, the kernel is the prior: conditional spaces
//! need no separate groups, since the kernel of the axis that decides tells the branches apart.
//!
//! The others are the latest [`MAX_OTHERS`] points, so a suggestion costs O(axes) with any number of
//! points. With fewer than [`START_POINTS`] results, points come from a Sobol sequence.

use std::sync::Arc;

use super::{FIRST_STREAM, Random, Sampler, Sobol, Suggestion, draw_row};
use crate::history::{History, HistoryRetention};
use crate::rng::TrialRng;
use crate::space::Point;
use crate::space::encoding::{Coordinates, EncodedSpace, Scale, row};
use crate::space::normal;

/// The number of results before the model is used.
const START_POINTS: usize = 10;

/// The number of candidates among which the best is chosen.
const CANDIDATES: usize = 24;

/// The number of draws to find that many new candidates.
const MAX_DRAWS: usize = 20 * CANDIDATES;

/// The largest number of good points.
const MAX_GOOD: usize = 25;

/// The number of latest points with full weight.
const FULL_WEIGHTS: usize = 25;

/// The largest number of other points with a result.
const MAX_OTHERS: usize = 150;

/// The largest number of pending points.
const MAX_PENDING: usize = 100;

/// The width of a kernel around a single point.
const WIDTH: f64 = 0.07;

/// The least width of a kernel, times the number of kernels up to [`MAX_WIDTH_COUNT`].
const LEAST_WIDTH: f64 = 0.35;

/// The largest number of kernels by which the least width falls.
const MAX_WIDTH_COUNT: f64 = 100.0;

/// The least width of a kernel in rows: about a third of the kernel lies outside its own row, so that
/// no value of a short list is kept for ever.
const LEAST_ROW_WIDTH: f64 = 0.5;

/// The largest number of rows whose probabilities are tabulated; cells of more rows are narrow, and
/// the density at their middle suffices.
const MAX_TABLE: u64 = 32;

/// The tree-structured Parzen estimator.
#[derive(Debug)]
pub(crate) struct Tpe {
    space: EncodedSpace,
    seed: u64,
    /// The sampler of the first points.
    start: Sobol,
    /// The sampler of points for which no new candidate is found.
    rest: Random,
}

impl Tpe {
    pub(crate) fn new(start: Sobol, rest: Random) -> Self {
        Self { space: EncodedSpace::new(Arc::clone(&rest.axes)), seed: rest.seed, start, rest }
    }

    /// Returns the two mixtures: of good points and of others.
    fn mixtures(&self, history: &History) -> (Mixture<'_>, Mixture<'_>) {
        let points = history.points();
        let good_count = points.len().div_ceil(10).min(MAX_GOOD);
        let mut good: Vec<u64> = points.ranked().take(good_count).collect();
        good.sort_unstable_by(|a, b| b.cmp(a));
        let others =
            points.latest().filter(|point| good.binary_search_by(|it| point.cmp(it)).is_err());
        let others = points.pending().take(MAX_PENDING).chain(others.take(MAX_OTHERS)).collect();
        let encoded = |points: Vec<u64>| -> Vec<Coordinates> {
            let known = points.into_iter().filter_map(|point| usize::try_from(point).ok());
            let known = known.filter_map(|point| history.suggestions().get(point));
            known.map(|suggestion| positions(&self.space, &suggestion.point)).collect()
        };
        (Mixture::new(&self.space, encoded(good)), Mixture::new(&self.space, encoded(others)))
    }
}

impl Sampler for Tpe {
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion> {
        if history.points().len() < START_POINTS {
            return self.start.suggest(history, index);
        }
        let (good, others) = self.mixtures(history);
        let mut rng = TrialRng::stream(self.seed, FIRST_STREAM.wrapping_add(index));
        let mut best: Option<(f64, Point)> = None;
        let mut candidates = 0;
        for _ in 0..MAX_DRAWS {
            let Some(point) = good.draw(&mut rng).filter(|point| !history.contains(point)) else {
                continue;
            };
            let at = positions(&self.space, &point);
            let score = good.log_density(&at) - others.log_density(&at);
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, point));
            }
            candidates += 1;
            if candidates == CANDIDATES {
                break;
            }
        }
        match best {
            Some((_, point)) => Some(Suggestion::new(point)),
            None => self.rest.suggest(history, index),
        }
    }

    fn blind_points(&self) -> Option<u64> {
        Some(START_POINTS as u64)
    }

    fn cardinality(&self) -> Option<u64> {
        self.rest.cardinality()
    }

    fn is_stateless(&self) -> bool {
        false
    }

    fn retention(&self) -> HistoryRetention {
        HistoryRetention { points: true, reports: true }
    }
}

/// Returns the coordinates of a point, those on tabulated axes as numbers of rows.
fn positions(space: &EncodedSpace, point: &Point) -> Coordinates {
    let mut coordinates = space.encode(point);
    for (axis, coordinate) in coordinates.iter_mut().enumerate() {
        if is_tabulated(space.scales()[axis]) {
            *coordinate = coordinate.map(|x| space.row_at(axis, x) as f64);
        }
    }
    coordinates
}

fn is_tabulated(scale: Scale) -> bool {
    matches!(scale, Scale::Ordered(rows) if rows <= MAX_TABLE)
}

/// A mixture of kernels, one per point, and the prior.
struct Mixture<'s> {
    space: &'s EncodedSpace,
    /// The centres of the kernels, the latest first.
    centres: Vec<Coordinates>,
    /// The cumulative weights of the kernels; the prior, of weight 1, comes last.
    cumulative: Vec<f64>,
    /// The logarithms of the weights, relative to that of the prior.
    log_weights: Vec<f64>,
    axes: Vec<KernelAxis>,
}

/// The form of all kernels on one axis.
enum KernelAxis {
    /// Truncated normal densities of this width, with the logarithm of the mass within [0, 1] for
    /// each kernel.
    Normal { width: f64, log_masses: Vec<f64> },
    /// Probabilities of the rows under the prior, and by the row of the centre; as logarithms.
    Table { prior: Vec<f64>, kernels: Vec<Vec<f64>> },
    /// Probabilities of the rows under the prior, as logarithms, and the share of the prior in a
    /// kernel; the rest is the centre's row.
    Choice { prior: Vec<f64>, prior_share: f64 },
}

impl<'s> Mixture<'s> {
    fn new(space: &'s EncodedSpace, centres: Vec<Coordinates>) -> Self {
        let count = centres.len();
        let ramp = |age: usize| {
            let below = (count.saturating_sub(FULL_WEIGHTS)) as f64;
            if age < FULL_WEIGHTS {
                1.0
            } else {
                (below - (age - FULL_WEIGHTS) as f64) / (below + 1.0)
            }
        };
        let weights: Vec<f64> = (0..count).map(ramp).chain([1.0]).collect();
        let mut sum = 0.0;
        let cumulative = weights.iter().map(|weight| {
            sum += weight;
            sum
        });
        let cumulative = cumulative.collect();
        let dimensions = space.scales().len() as f64;
        let width = WIDTH * (count.max(1) as f64).powf(-1.0 / (dimensions + 4.0));
        let width = width.max(LEAST_WIDTH / (count as f64 + 2.0).min(MAX_WIDTH_COUNT));
        let axes =
            (0..space.scales().len()).map(|axis| KernelAxis::new(space, axis, &centres, width));
        let axes = axes.collect();
        let log_weights = weights.iter().map(|weight| weight.ln()).collect();
        Self { space, centres, cumulative, log_weights, axes }
    }

    /// Draws a point; none if it violates a constraint.
    fn draw(&self, rng: &mut TrialRng) -> Option<Point> {
        let at = rng.unit() * self.cumulative.last().copied().unwrap_or(1.0);
        let kernel = self.cumulative.partition_point(|sum| *sum <= at);
        let centre = self.centres.get(kernel);
        self.space.decode(|axis| {
            let centre = centre.and_then(|centre| centre[axis]);
            self.axes[axis].draw(self.space, axis, centre, rng)
        })
    }

    /// Returns the logarithm of the density at a point, up to a constant of the space.
    fn log_density(&self, at: &[Option<f64>]) -> f64 {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let mut logs: Vec<f64> = Vec::with_capacity(self.log_weights.len());
        for (kernel, log_weight) in self.log_weights.iter().enumerate() {
            let centre = self.centres.get(kernel);
            let mut log = *log_weight;
            for (axis, x) in at.iter().enumerate() {
                let Some(x) = x else { continue };
                let centre = centre.and_then(|centre| centre[axis]);
                log += self.axes[axis].log_density(kernel, centre, *x);
            }
            logs.push(log);
        }
        let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| (log - highest).exp()).sum();
        highest + sum.ln() - total.ln()
    }
}

impl KernelAxis {
    fn new(space: &EncodedSpace, axis: usize, centres: &[Coordinates], width: f64) -> Self {
        let width = match space.scales()[axis] {
            Scale::Ordered(rows) => width.max(LEAST_ROW_WIDTH / rows as f64),
            Scale::Continuous | Scale::Choice(_) => width,
        };
        let below = |x: f64, centre: f64| normal::probability((x - centre) / width);
        let inside = |centre: f64| (below(1.0, centre) - below(0.0, centre)).max(f64::MIN_POSITIVE);
        match space.scales()[axis] {
            Scale::Ordered(rows) if rows <= MAX_TABLE => {
                let cells: Vec<(f64, f64)> = (0..rows).map(|row| space.cell(axis, row)).collect();
                let log = |centre: f64, (low, high): (f64, f64)| {
                    let mass = below(high, centre) - below(low, centre);
                    (mass / inside(centre)).max(f64::MIN_POSITIVE).ln()
                };
                let kernel = |(low, high): &(f64, f64)| -> Vec<f64> {
                    let centre = f64::midpoint(*low, *high);
                    cells.iter().map(|cell| log(centre, *cell)).collect()
                };
                let prior =
                    cells.iter().map(|(low, high)| (high - low).max(f64::MIN_POSITIVE).ln());
                Self::Table { prior: prior.collect(), kernels: cells.iter().map(kernel).collect() }
            }
            Scale::Continuous | Scale::Ordered(_) => {
                let log_mass = |centre: &Coordinates| inside(centre[axis].unwrap_or(0.5)).ln();
                Self::Normal { width, log_masses: centres.iter().map(log_mass).collect() }
            }
            Scale::Choice(_) => {
                // All kernels together hold the prior as often as a single observed row.
                let share = 1.0 / (centres.len() as f64 + 1.0);
                let prior = space.probabilities(axis).into_iter().map(f64::ln).collect();
                Self::Choice { prior, prior_share: share / (1.0 + share) }
            }
        }
    }

    /// Draws a coordinate from the kernel around `centre`, or from the prior.
    fn draw(
        &self,
        space: &EncodedSpace,
        axis: usize,
        centre: Option<f64>,
        rng: &mut TrialRng,
    ) -> f64 {
        match (self, centre) {
            (Self::Normal { .. }, None) => rng.unit(),
            (Self::Normal { width, .. }, Some(centre)) => {
                truncated_normal(centre, *width, rng.unit())
            }
            (Self::Table { prior, kernels }, centre) => {
                let logs = centre.and_then(|centre| kernels.get(row(centre))).unwrap_or(prior);
                let (low, high) = space.cell(axis, draw_row(logs.iter().map(|log| log.exp()), rng));
                f64::midpoint(low, high)
            }
            (Self::Choice { prior, prior_share }, centre) => match centre {
                Some(centre) if rng.unit() >= *prior_share => centre,
                _ => draw_row(prior.iter().map(|log| log.exp()), rng) as f64,
            },
        }
    }

    /// Returns the logarithm of the density at `x` of kernel number `kernel` around `centre`, or of
    /// the prior.
    fn log_density(&self, kernel: usize, centre: Option<f64>, x: f64) -> f64 {
        let of = |logs: &[f64]| logs.get(row(x)).copied().unwrap_or(f64::NEG_INFINITY);
        match (self, centre) {
            (Self::Normal { .. }, None) => 0.0,
            (Self::Normal { width, log_masses }, Some(centre)) => {
                let z = (x - centre) / width;
                -0.5 * (z * z + LOG_TAU) - width.ln() - log_masses[kernel]
            }
            (Self::Table { prior, kernels }, centre) => {
                of(centre.and_then(|centre| kernels.get(row(centre))).unwrap_or(prior))
            }
            (Self::Choice { prior, .. }, None) => of(prior),
            (Self::Choice { prior, prior_share }, Some(centre)) => {
                let from_prior = prior_share * of(prior).exp();
                let from_centre = if row(x) == row(centre) { 1.0 - prior_share } else { 0.0 };
                (from_prior + from_centre).ln()
            }
        }
    }
}

/// The logarithm of 2π.
const LOG_TAU: f64 = 1.837_877_066_409_345_5;

/// Returns the quantile at `u` of a normal distribution that is truncated to [0, 1].
fn truncated_normal(centre: f64, width: f64, u: f64) -> f64 {
    let below = |x: f64| normal::probability((x - centre) / width);
    let (low, high) = (below(0.0), below(1.0));
    let at = (low + u * (high - low)).clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON);
    (centre + width * normal::quantile(at)).clamp(0.0, 1.0)
}
