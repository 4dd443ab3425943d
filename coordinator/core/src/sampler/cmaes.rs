//! Covariance matrix adaptation (CMA-ES): draws points from a normal distribution that moves to the
//! better half of each population, and takes the shape of the steps that led there.
//!
//! The distribution, its update and the references are in [`distribution`]. Populations are consecutive
//! points: λ = 4 + ⌊3 ln n⌋ for n axes. The distribution follows a population once all its points
//! have a result, or were lost; until then, further points are drawn from the distribution before. So
//! workers never wait for each other, and results that come late, of points that were drawn two or
//! three distributions before, still count. Points are ranked as everywhere: those that got further
//! come before those that were pruned earlier, diverged ones after them, and lost ones last.
//!
//! When the distribution has shrunk to a point, another search begins around a random point with
//! twice the population (Auger A, Hansen N (2005), A restart CMA evolution strategy with increasing
//! population size).
//!
//! The first population is a Sobol sequence. Coordinates outside of [0, 1], infeasible points and
//! points that were there already are drawn again.
//!
//! The distribution learned from the first populations is kept, so a suggestion costs O(n² + n³ / λ) with any
//! number of results. It follows from the history: [`SettledPoints`](crate::history::SettledPoints)
//! tells whether it is that of the history at hand; if it is not, the distribution is computed anew.

mod distribution;
mod eigen;

use std::sync::{Arc, Mutex, PoisonError};

use self::distribution::Distribution;
use super::{FIRST_STREAM, Random, Sampler, Sobol, Suggestion};
use crate::history::{History, HistoryRetention};
use crate::rng::TrialRng;
use crate::space::Point;
use crate::space::encoding::{Coordinates, EncodedSpace};

/// The largest number of draws for a point.
const MAX_DRAWS: usize = 100;

/// The number of draws after which coordinates outside of [0, 1] are moved to the bounds.
const INNER_DRAWS: usize = 50;

/// The largest population of a later search.
const MAX_POPULATION: usize = 1024;

/// The largest number of new results that are learned while other decisions wait.
const MAX_NEW_RESULTS: usize = 200;

/// The random streams of restarts and of coordinates that points lack. They are far from those of
/// points.
const LEARNING_STREAM: u64 = FIRST_STREAM << 1;

/// Covariance matrix adaptation.
#[derive(Debug)]
pub(crate) struct Cmaes {
    space: EncodedSpace,
    seed: u64,
    /// The sampler of the first points.
    start: Sobol,
    /// The sampler of points for which no new draw is found.
    rest: Random,
    /// The distribution that was learned most recently. It follows from a history.
    learned: Mutex<Option<Arc<Learned>>>,
}

/// A distribution and the points from which it was learned.
#[derive(Debug, Clone)]
struct Learned {
    /// The number of points, all of whole populations.
    count: usize,
    /// The fingerprint of these points.
    fingerprint: u64,
    distribution: Distribution,
}

impl Cmaes {
    pub(crate) fn new(start: Sobol, rest: Random) -> Self {
        let space = EncodedSpace::new(Arc::clone(&rest.axes));
        Self { space, seed: rest.seed, start, rest, learned: Mutex::new(None) }
    }

    /// Returns the kept distribution, if it was learned from the first points of `history`.
    fn known(&self, history: &History) -> Option<Arc<Learned>> {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        learned.filter(|it| history.settled().fingerprint(it.count) == Some(it.fingerprint))
    }

    /// Returns the distribution after all whole populations of `history`, and keeps it.
    fn learn(&self, history: &History) -> Arc<Learned> {
        let mut learned = self.known(history).unwrap_or_else(|| {
            let size = distribution::population(self.space.scales().len());
            let distribution = Distribution::new(&self.space, size, |_| 0.5);
            Arc::new(Learned { count: 0, fingerprint: 0, distribution })
        });
        loop {
            let end = learned.count + learned.distribution.size;
            let Some(fingerprint) = history.settled().fingerprint(end) else { break };
            let points = self.ranked(history, learned.count, end);
            let learned = Arc::make_mut(&mut learned);
            self.follow(&mut learned.distribution, &points, end);
            (learned.count, learned.fingerprint) = (end, fingerprint);
        }
        *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&learned));
        learned
    }

    /// Follows a population, the best point first, that ends before point `end`.
    fn follow(&self, distribution: &mut Distribution, points: &[Coordinates], end: usize) {
        let mut rng = TrialRng::stream(self.seed, LEARNING_STREAM.wrapping_add(end as u64));
        distribution.update(&self.space, points, &mut rng);
        if distribution.is_exhausted() {
            let size = (2 * distribution.size).min(MAX_POPULATION);
            let mean: Vec<f64> = self.space.scales().iter().map(|_| rng.unit()).collect();
            *distribution = Distribution::new(&self.space, size, |axis| mean[axis]);
        }
    }

    /// Returns the points of a population, the best first.
    fn ranked(&self, history: &History, from: usize, to: usize) -> Vec<Coordinates> {
        let mut numbers: Vec<u64> = (from as u64..to as u64).collect();
        let key = |point: &u64| {
            let rank = history.points().rank(*point);
            (rank.is_none(), rank, *point)
        };
        numbers.sort_by_cached_key(key);
        let known = numbers.into_iter().filter_map(|point| usize::try_from(point).ok());
        let known = known.filter_map(|point| history.suggestions().get(point));
        known.map(|suggestion| self.space.encode(&suggestion.point)).collect()
    }

    /// Draws a new point; none if no draw is one.
    fn draw(&self, history: &History, distribution: &Distribution, index: u64) -> Option<Point> {
        let mut rng = TrialRng::stream(self.seed, FIRST_STREAM.wrapping_add(index));
        for draw in 0..MAX_DRAWS {
            let coordinates = distribution.draw(&self.space, &mut rng);
            if draw < INNER_DRAWS && !distribution.is_inside(&coordinates) {
                continue;
            }
            let point = self.space.decode(|axis| coordinates[axis]);
            if let Some(point) = point.filter(|point| !history.contains(point)) {
                return Some(point);
            }
        }
        None
    }
}

impl Sampler for Cmaes {
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion> {
        let learned = self.learn(history);
        if learned.count == 0 {
            return self.start.suggest(history, index);
        }
        match self.draw(history, &learned.distribution, index) {
            Some(point) => Some(Suggestion::new(point)),
            None => self.rest.suggest(history, index),
        }
    }

    fn blind_points(&self) -> Option<u64> {
        Some(distribution::population(self.space.scales().len()) as u64)
    }

    fn is_slow(&self, history: &History) -> bool {
        let known = self.known(history).map_or(0, |learned| learned.count);
        history.settled().len() - known > MAX_NEW_RESULTS
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
