//! The search for the point with the largest expected improvement.
//!
//! Candidates are random points of the space and small changes of the best points. The best few are
//! refined: along the gradient on continuous axes, and by trying other rows on the others. Every
//! candidate is decoded to a point, which drops those that violate a constraint, and compared with
//! the history, which drops repeated ones. With n points, one candidate costs O(n²).

use super::improvement::log_improvement;
use super::kernel::Features;
use super::minimize::{Limits, minimize};
use super::posterior::Posterior;
use crate::history::History;
use crate::rng::TrialRng;
use crate::space::Point;
use crate::space::encoding::{Coordinates, EncodedSpace, Scale};

/// The number of random candidates.
const RANDOM: usize = 400;

/// The number of changed copies of each of the best points, for each width.
const COPIES: usize = 20;

/// The widths of changes.
const WIDTHS: [f64; 3] = [0.1, 0.02, 0.004];

/// The number of candidates of either kind that are refined.
const REFINED: usize = 2;

/// The largest number of rounds of refinement.
const MAX_ROUNDS: usize = 3;

/// The largest number of other rows that are tried on an axis without an order.
const MAX_CHOICES: u64 = 16;

/// The rise of the logarithm of the expected improvement that is worth another round.
const MIN_RISE: f64 = 1e-3;

const LIMITS: Limits = Limits { steps: 30, reach: 0.2, tolerance: 1e-6 };

/// A search under way.
pub(super) struct Search<'s> {
    pub(super) space: &'s EncodedSpace,
    pub(super) history: &'s History,
    pub(super) posterior: &'s Posterior,
}

/// A point that could be suggested.
struct Candidate {
    point: Point,
    coordinates: Coordinates,
    features: Features,
    /// The logarithm of the expected improvement.
    score: f64,
}

impl Search<'_> {
    /// Returns the best new point; none if no candidate is feasible and new. `best` holds the points
    /// with the best results.
    pub(super) fn run(&self, best: &[Coordinates], rng: &mut TrialRng) -> Option<Point> {
        let random = (0..RANDOM).filter_map(|_| self.random(rng)).collect();
        let mut refined = self.refined(random);
        let mut near = Vec::new();
        for centre in best {
            for width in WIDTHS {
                near.extend((0..COPIES).filter_map(|_| self.changed(centre, width, rng)));
            }
        }
        refined.extend(self.refined(near));
        best_first(&mut refined);
        refined.into_iter().next().map(|candidate| candidate.point)
    }

    fn refined(&self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        best_first(&mut candidates);
        candidates.truncate(REFINED);
        candidates.into_iter().map(|candidate| self.refine(candidate)).collect()
    }

    /// Returns the candidate with these coordinates, if it is feasible and new.
    fn candidate(&self, coordinate: impl FnMut(usize) -> f64) -> Option<Candidate> {
        let point = self.space.decode(coordinate)?;
        if self.history.contains(&point) {
            return None;
        }
        let coordinates = self.space.encode(&point);
        let features = self.posterior.kernel().features(&coordinates);
        let belief = self.posterior.belief(&features);
        let score = log_improvement(belief, self.posterior.best()).value;
        score.is_finite().then_some(Candidate { point, coordinates, features, score })
    }

    fn random(&self, rng: &mut TrialRng) -> Option<Candidate> {
        self.candidate(|axis| self.draw(axis, rng))
    }

    fn draw(&self, axis: usize, rng: &mut TrialRng) -> f64 {
        match self.space.scales()[axis] {
            Scale::Choice(rows) => rng.below(rows.max(1)) as f64,
            Scale::Continuous | Scale::Ordered(_) => rng.unit(),
        }
    }

    /// Returns a copy of `centre` that is changed on a few axes.
    fn changed(&self, centre: &Coordinates, width: f64, rng: &mut TrialRng) -> Option<Candidate> {
        let share = (2.0 / centre.len().max(1) as f64).max(0.3);
        self.candidate(|axis| match (self.space.scales()[axis], centre[axis]) {
            (_, Some(x)) if rng.unit() >= share => x,
            (_, None) | (Scale::Choice(_), Some(_)) => self.draw(axis, rng),
            (Scale::Continuous, Some(x)) => reflected(x + width * rng.normal()),
            (Scale::Ordered(rows), Some(x)) => {
                // At least about a row.
                reflected(x + width.max(1.0 / rows.max(1) as f64) * rng.normal())
            }
        })
    }

    /// Climbs from `candidate`.
    fn refine(&self, mut candidate: Candidate) -> Candidate {
        for _ in 0..MAX_ROUNDS {
            let before = candidate.score;
            candidate = self.climb(candidate);
            for axis in 0..self.space.scales().len() {
                candidate = self.try_rows(candidate, axis);
            }
            if candidate.score - before < MIN_RISE {
                break;
            }
        }
        candidate
    }

    /// Follows the gradient on the continuous axes, and returns towards the start as far as needed
    /// for a feasible point.
    fn climb(&self, candidate: Candidate) -> Candidate {
        let is_free = |axis: &usize| {
            self.space.scales()[*axis] == Scale::Continuous
                && candidate.coordinates[*axis].is_some()
        };
        let axes: Vec<usize> = (0..candidate.coordinates.len()).filter(is_free).collect();
        if axes.is_empty() {
            return candidate;
        }
        let start: Vec<f64> = axes.iter().map(|axis| candidate.features[*axis]).collect();
        let mut features = candidate.features.clone();
        let loss = |at: &[f64]| {
            for (axis, x) in axes.iter().zip(at) {
                features[*axis] = *x;
            }
            let (belief, slopes) = self.posterior.slopes(&features, &axes);
            let improvement = log_improvement(belief, self.posterior.best());
            let slope = |(mean, deviation): &(f64, f64)| {
                -(improvement.by_mean * mean + improvement.by_deviation * deviation)
            };
            Some((-improvement.value, slopes.iter().map(slope).collect()))
        };
        let bounds = vec![(0.0, 1.0); axes.len()];
        let Some((top, _)) = minimize(loss, start.clone(), &bounds, LIMITS) else {
            return candidate;
        };
        for share in [1.0, 0.5, 0.25, 0.125] {
            let mut target = candidate.features.clone();
            for ((axis, from), to) in axes.iter().zip(&start).zip(&top) {
                target[*axis] = from + share * (to - from);
            }
            if let Some(found) = self.candidate(|axis| target[axis].max(0.0))
                && found.score > candidate.score
            {
                return found;
            }
        }
        candidate
    }

    /// Tries other rows of an axis that has rows.
    fn try_rows(&self, mut candidate: Candidate, axis: usize) -> Candidate {
        let Some(x) = candidate.coordinates[axis] else { return candidate };
        let others: Vec<f64> = match self.space.scales()[axis] {
            Scale::Continuous => return candidate,
            Scale::Choice(rows) => (0..rows.min(MAX_CHOICES)).map(|row| row as f64).collect(),
            Scale::Ordered(rows) => {
                let row = self.space.row_at(axis, x);
                let steps = (0..).map(|power| 4u64.saturating_pow(power));
                let steps = steps.take_while(|step| *step < rows);
                let sides = |step| [row.checked_sub(step), row.checked_add(step)];
                let rows = steps.flat_map(sides).flatten().filter(|row| *row < rows);
                rows.map(|row| self.middle(axis, row)).collect()
            }
        };
        for other in others {
            let coordinate = |it: usize| {
                if it == axis { other } else { candidate.features[it].max(0.0) }
            };
            if let Some(found) = self.candidate(coordinate)
                && found.score > candidate.score
            {
                candidate = found;
            }
        }
        candidate
    }

    fn middle(&self, axis: usize, row: u64) -> f64 {
        let (low, high) = self.space.cell(axis, row);
        f64::midpoint(low, high)
    }
}

fn best_first(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
}

/// Returns a coordinate that left [0, 1] mirrored at the border.
fn reflected(x: f64) -> f64 {
    let inside = if x < 0.0 { -x } else { x };
    let inside = if inside > 1.0 { 2.0 - inside } else { inside };
    inside.clamp(0.0, 1.0)
}
