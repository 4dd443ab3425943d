//! The search distribution of CMA-ES and its update by one population.
//!
//! Axes with an order have a normal distribution N(m, σ² C) of their coordinates, and each axis
//! without one a probability for each row. With y_i = (x_i - m) / σ of the i-th best of λ points and
//! weights w_i, the update is that of Hansen 2016 (arXiv:1604.00772), appendix A, with negative weights
//! for the worse half:
//!
//! * m ← m + σ y_w, with y_w = Σ w_i y_i over the better half;
//! * p_σ ← (1 - c_σ) p_σ + √(c_σ (2 - c_σ) μ_eff) C^(-1/2) y_w, σ ← σ exp(c_σ / d_σ (|p_σ| / E|N(0, I)| - 1));
//! * p_c ← (1 - c_c) p_c + √(c_c (2 - c_c) μ_eff) y_w, C ← (1 - c_1 - c_μ Σ w_i) C + c_1 p_c p_cᵀ + c_μ Σ w_i y_i y_iᵀ.
//!
//! A point from an older distribution, or from elsewhere, counts with |C^(-1/2) y_i| ≤ √n + 2n / (n + 2)
//! (Hansen 2011, arXiv:1110.4181). Row k of an axis without an order has its probability moved to
//! Σ w_i [x_i = k] by the rate c_1 + c_μ, and at least the margin (1 - 0.73^(1/axes)) / (rows - 1)
//! (Hamano et al. 2024, arXiv:2405.09962). On an axis of ordered rows, the standard deviation is at
//! least so large that a neighbouring row has a probability of 1 / (λ n) (the margin of Hamano et al.
//! 2022, arXiv:2205.13482).

use super::eigen::Eigen;
use crate::rng::TrialRng;
use crate::sampler::draw_row;
use crate::space::encoding::{Coordinates, EncodedSpace, Scale, row};
use crate::space::normal;

/// The standard deviation at the start.
const START_SIGMA: f64 = 0.2;

/// The standard deviation along every axis at which a search has converged.
const CONVERGED: f64 = 1e-6;

/// The ratio of eigenvalues at which a search has degenerated.
const MAX_CONDITION: f64 = 1e14;

/// The number of points in a population at the start of the first search.
pub(super) fn population(axes: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds down")]
    let more = (3.0 * libm::log(axes.max(1) as f64)) as usize;
    4 + more
}

/// The distribution from which points are drawn.
#[derive(Debug, Clone)]
pub(super) struct Distribution {
    /// The axes with an order.
    ordered: Vec<usize>,
    /// The number of points in a population.
    pub(super) size: usize,
    mean: Vec<f64>,
    sigma: f64,
    covariance: Vec<Vec<f64>>,
    eigen: Eigen,
    path_sigma: Vec<f64>,
    path_c: Vec<f64>,
    /// The number of updates.
    updates: i32,
    /// The probabilities of the rows, for axes without an order.
    rows: Vec<Option<Vec<f64>>>,
}

impl Distribution {
    /// Creates the distribution at the start of a search around `mean`, a coordinate for each axis.
    pub(super) fn new(space: &EncodedSpace, size: usize, mean: impl Fn(usize) -> f64) -> Self {
        let scales = space.scales();
        let is_ordered = |axis: &usize| !matches!(scales[*axis], Scale::Choice(_));
        let ordered: Vec<usize> = (0..scales.len()).filter(is_ordered).collect();
        let count = ordered.len();
        let identity = |i| (0..count).map(|j| if i == j { 1.0 } else { 0.0 }).collect();
        let covariance: Vec<Vec<f64>> = (0..count).map(identity).collect();
        let rows = scales.iter().enumerate().map(|(axis, scale)| match scale {
            Scale::Choice(_) => Some(space.probabilities(axis)),
            Scale::Continuous | Scale::Ordered(_) => None,
        });
        Self {
            mean: ordered.iter().map(|axis| mean(*axis)).collect(),
            size,
            sigma: START_SIGMA,
            eigen: Eigen::new(covariance.clone()),
            covariance,
            path_sigma: vec![0.0; count],
            path_c: vec![0.0; count],
            updates: 0,
            rows: rows.collect(),
            ordered,
        }
    }

    /// Draws a coordinate for each axis; those of ordered axes may lie outside [0, 1].
    pub(super) fn draw(&self, space: &EncodedSpace, rng: &mut TrialRng) -> Vec<f64> {
        let lengths = self.eigen.values.iter().map(|value| value.max(0.0).sqrt() * rng.normal());
        let lengths: Vec<f64> = lengths.collect();
        let mut coordinates = vec![0.0; self.rows.len()];
        for (i, axis) in self.ordered.iter().enumerate() {
            let along = lengths.iter().zip(&self.eigen.vectors);
            let y: f64 = along.map(|(length, vector)| length * vector[i]).sum();
            coordinates[*axis] = self.mean[i] + self.sigma * self.widening(space, i) * y;
        }
        for (coordinate, rows) in coordinates.iter_mut().zip(&self.rows) {
            if let Some(rows) = rows {
                *coordinate = draw_row(rows.iter().copied(), rng) as f64;
            }
        }
        coordinates
    }

    /// Whether all coordinates of ordered axes are in [0, 1].
    pub(super) fn is_inside(&self, coordinates: &[f64]) -> bool {
        self.ordered.iter().all(|axis| (0.0..=1.0).contains(&coordinates[*axis]))
    }

    /// Whether the search has converged, or degenerated.
    pub(super) fn is_exhausted(&self) -> bool {
        let largest = self.eigen.values.iter().copied().fold(0.0, f64::max);
        let smallest = self.eigen.values.iter().copied().fold(f64::INFINITY, f64::min);
        let is_sound = self.sigma.is_finite() && largest.is_finite();
        let has_converged = self.sigma * largest.sqrt() < CONVERGED;
        !self.ordered.is_empty()
            && (!is_sound || has_converged || largest > MAX_CONDITION * smallest)
    }

    /// Returns the factor by which axis `i` is wider, so that neighbouring rows stay likely enough.
    fn widening(&self, space: &EncodedSpace, i: usize) -> f64 {
        let axis = self.ordered[i];
        let Scale::Ordered(_) = space.scales()[axis] else { return 1.0 };
        let mean = self.mean[i].clamp(0.0, 1.0);
        let (low, high) = space.cell(axis, space.row_at(axis, mean));
        let inner = |bound: f64| 0.0 < bound && bound < 1.0;
        let distances = [low, high].into_iter().filter(|bound| inner(*bound));
        let Some(distance) = distances.map(|bound| (bound - mean).abs()).reduce(f64::min) else {
            return 1.0;
        };
        let likely = 1.0 / (self.size * self.rows.len()).max(2) as f64;
        let least = distance / -normal::quantile(likely.min(0.3));
        let width = self.sigma * self.covariance[i][i].max(f64::MIN_POSITIVE).sqrt();
        (least / width).max(1.0)
    }

    /// Follows a population, the best point first. `rng` gives coordinates that points lack.
    pub(super) fn update(
        &mut self,
        space: &EncodedSpace,
        points: &[Coordinates],
        rng: &mut TrialRng,
    ) {
        let rates = Rates::new(self.ordered.len(), points.len());
        self.update_rows(points, &rates);
        if self.ordered.is_empty() {
            return;
        }
        let steps: Vec<Step> = points.iter().map(|point| self.step(space, point, rng)).collect();
        let count = self.ordered.len();
        let weighted = |of: &dyn Fn(&Step) -> f64| -> f64 {
            steps.iter().zip(&rates.weights).map(|(step, w)| w.max(0.0) * of(step)).sum()
        };
        let shift: Vec<f64> = (0..count).map(|i| weighted(&|step| step.y[i])).collect();
        let whitened = self.whitened(&shift);
        self.updates += 1;
        let (keep, gain) =
            (1.0 - rates.sigma, (rates.sigma * (2.0 - rates.sigma) * rates.selected).sqrt());
        for (path, z) in self.path_sigma.iter_mut().zip(&whitened) {
            *path = keep * *path + gain * z;
        }
        let length = norm(&self.path_sigma);
        let settled = (1.0 - keep.powi(2 * self.updates)).sqrt();
        let is_short = length / settled < (1.4 + 2.0 / (count as f64 + 1.0)) * rates.expected;
        let h = if is_short { 1.0 } else { 0.0 };
        let (keep, gain) =
            (1.0 - rates.path, (rates.path * (2.0 - rates.path) * rates.selected).sqrt());
        for (path, y) in self.path_c.iter_mut().zip(&shift) {
            *path = keep * *path + h * gain * y;
        }
        for (mean, y) in self.mean.iter_mut().zip(&shift) {
            *mean = (*mean + self.sigma * y).clamp(0.0, 1.0);
        }
        self.update_covariance(&rates, &steps, (1.0 - h) * rates.path * (2.0 - rates.path));
        let exponent = rates.sigma / rates.damping * (length / rates.expected - 1.0);
        // Wider than the space is no wider.
        self.sigma = (self.sigma * libm::exp(exponent.min(1.0))).min(1.0);
    }

    fn update_covariance(&mut self, rates: &Rates, steps: &[Step], missing: f64) {
        let count = self.ordered.len();
        // A point that is worse counts the less, the longer its step is.
        let of = |step: &Step, w: f64| {
            if w < 0.0 { w * count as f64 / (step.length * step.length).max(1e-12) } else { w }
        };
        let weights: Vec<f64> = steps.iter().zip(&rates.weights).map(|(s, w)| of(s, *w)).collect();
        let sum: f64 = rates.weights.iter().sum();
        let keep = 1.0 + rates.one * missing - rates.one - rates.rank * sum;
        for i in 0..count {
            for j in 0..=i {
                let many = steps.iter().zip(&weights).map(|(step, w)| w * step.y[i] * step.y[j]);
                let entry = keep * self.covariance[i][j]
                    + rates.one * self.path_c[i] * self.path_c[j]
                    + rates.rank * many.sum::<f64>();
                self.covariance[i][j] = entry;
                self.covariance[j][i] = entry;
            }
        }
        self.eigen = Eigen::new(self.covariance.clone());
    }

    fn update_rows(&mut self, points: &[Coordinates], rates: &Rates) {
        let axes = self.rows.len() as f64;
        for (axis, rows) in self.rows.iter_mut().enumerate() {
            let Some(rows) = rows else { continue };
            let chosen = points.iter().zip(&rates.weights).filter(|(_, w)| **w > 0.0);
            let chosen: Vec<(usize, f64)> =
                chosen.filter_map(|(point, w)| Some((row(point[axis]?), *w))).collect();
            let rate = rates.one + rates.rank;
            let total: f64 = chosen.iter().map(|(_, w)| w).sum();
            let least = (1.0 - libm::pow(0.73, 1.0 / axes)) / (rows.len() as f64 - 1.0).max(1.0);
            for (number, probability) in rows.iter_mut().enumerate() {
                let share: f64 =
                    chosen.iter().filter(|(at, _)| *at == number).map(|(_, w)| w).sum();
                *probability = (*probability + rate * (share - total * *probability)).max(least);
            }
            let sum: f64 = rows.iter().sum();
            for probability in rows.iter_mut() {
                *probability /= sum;
            }
        }
    }

    /// Returns the step from the mean to a point, in units of σ, not longer than is plausible.
    fn step(&self, space: &EncodedSpace, point: &Coordinates, rng: &mut TrialRng) -> Step {
        let imputed = self.draw(space, rng);
        let of = |(i, axis): (usize, &usize)| {
            let x = point[*axis].unwrap_or(imputed[*axis]);
            (x - self.mean[i]) / (self.sigma * self.widening(space, i))
        };
        let mut y: Vec<f64> = self.ordered.iter().enumerate().map(of).collect();
        let length = norm(&self.whitened(&y));
        let count = self.ordered.len() as f64;
        let longest = count.sqrt() + 2.0 * count / (count + 2.0);
        if length > longest {
            for y in &mut y {
                *y *= longest / length;
            }
        }
        Step { y, length: length.min(longest) }
    }

    /// Returns C^(-1/2) y.
    fn whitened(&self, y: &[f64]) -> Vec<f64> {
        let mut z = vec![0.0; y.len()];
        for (value, vector) in self.eigen.values.iter().zip(&self.eigen.vectors) {
            let along: f64 = vector.iter().zip(y).map(|(v, y)| v * y).sum();
            let along = along / value.max(f64::MIN_POSITIVE).sqrt();
            for (z, v) in z.iter_mut().zip(vector) {
                *z += along * v;
            }
        }
        z
    }
}

/// A step from the mean.
struct Step {
    y: Vec<f64>,
    /// |C^(-1/2) y|.
    length: f64,
}

/// The weights and rates for a number of axes and a population.
struct Rates {
    /// The weights, the best point first.
    weights: Vec<f64>,
    /// μ_eff, the number of points that the weights select.
    selected: f64,
    /// c_σ.
    sigma: f64,
    /// d_σ.
    damping: f64,
    /// c_c.
    path: f64,
    /// c_1.
    one: f64,
    /// c_μ.
    rank: f64,
    /// The mean length of a standard normal vector.
    expected: f64,
}

impl Rates {
    fn new(axes: usize, points: usize) -> Self {
        let n = axes.max(1) as f64;
        let half = libm::log(f64::midpoint(points as f64, 1.0));
        let raw: Vec<f64> = (1..=points).map(|i| half - libm::log(i as f64)).collect();
        let effective = |weights: &[f64]| {
            let (sum, squares): (f64, f64) =
                weights.iter().fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
            if squares > 0.0 { sum * sum / squares } else { 0.0 }
        };
        let (better, worse) = raw.split_at(points / 2);
        let (selected, rejected) = (effective(better).max(1.0), effective(worse));
        let sigma = (selected + 2.0) / (n + selected + 5.0);
        let damping = 1.0 + 2.0 * (((selected - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + sigma;
        let path = (4.0 + selected / n) / (n + 4.0 + 2.0 * selected / n);
        let one = 2.0 / ((n + 1.3) * (n + 1.3) + selected);
        let many = 2.0 * (0.25 + selected + 1.0 / selected - 2.0);
        let rank = (many / ((n + 2.0) * (n + 2.0) + selected)).min(1.0 - one);
        // The bounds that keep C positive definite.
        let bounds = [
            1.0 + one / rank.max(f64::MIN_POSITIVE),
            1.0 + 2.0 * rejected / (selected + 2.0),
            (1.0 - one - rank) / (n * rank.max(f64::MIN_POSITIVE)),
        ];
        let negative = bounds.into_iter().fold(f64::INFINITY, f64::min);
        let (gain, loss): (f64, f64) = (better.iter().sum(), -worse.iter().sum::<f64>());
        let scaled = |w: &f64| if *w >= 0.0 { w / gain } else { w * negative / loss };
        let expected = n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n));
        let weights = raw.iter().map(scaled).collect();
        Self { weights, selected, sigma, damping, path, one, rank, expected }
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::name::WorkloadName;
    use crate::schema::WorkloadSchema;
    use crate::space::resolved_space::ResolvedSpace;
    use crate::space::{Domain, Parameter, Space};

    fn space(domains: &[Domain]) -> EncodedSpace {
        let parameter = |(number, domain): (usize, &Domain)| Parameter {
            path: format!("x{number}"),
            domain: domain.clone(),
            when: Vec::new(),
        };
        let parameters = domains.iter().enumerate().map(parameter).collect();
        let space = Space { parameters, ..Space::default() };
        let schema = WorkloadSchema::unknown(WorkloadName::of("anything"));
        EncodedSpace::new(Arc::new(ResolvedSpace::new(&schema, &space, &json!({}))))
    }

    const UNIT: Domain = Domain::Uniform { min: 0.0, max: 1.0 };

    /// Follows populations of points, with coordinates in the middle of their rows as in a history.
    fn search(
        space: &EncodedSpace,
        populations: usize,
        loss: impl Fn(&[f64]) -> f64,
    ) -> (Distribution, f64) {
        let mut distribution = Distribution::new(space, population(space.scales().len()), |_| 0.5);
        let mut rng = TrialRng::stream(3, 7);
        let mut best = f64::INFINITY;
        for _ in 0..populations {
            let middle = |(axis, x): (usize, f64)| match space.scales()[axis] {
                Scale::Ordered(_) => {
                    let (low, high) = space.cell(axis, space.row_at(axis, x));
                    f64::midpoint(low, high)
                }
                Scale::Continuous | Scale::Choice(_) => x,
            };
            let draw = |rng: &mut TrialRng| -> Vec<f64> {
                distribution.draw(space, rng).into_iter().enumerate().map(middle).collect()
            };
            let mut points: Vec<Vec<f64>> =
                (0..distribution.size).map(|_| draw(&mut rng)).collect();
            points.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
            best = best.min(loss(&points[0]));
            let known = |point: &Vec<f64>| point.iter().copied().map(Some).collect();
            let points: Vec<Coordinates> = points.iter().map(known).collect();
            distribution.update(space, &points, &mut rng);
        }
        (distribution, best)
    }

    #[test]
    fn a_narrow_valley_is_followed_to_its_end() {
        // The directions of the ellipsoid differ a thousandfold and are not along the axes.
        let valley = |x: &[f64]| {
            let (a, b, c) = (x[0] - 0.3, x[1] - 0.6, x[2] - 0.5);
            (a + b + c).powi(2) + 1e3 * (a - b).powi(2) + 1e6 * (b - c).powi(2)
        };
        let space = space(&[UNIT, UNIT, UNIT]);
        let (distribution, best) = search(&space, 150, valley);
        assert!(best < 1e-8, "{best}");
        assert!(distribution.eigen.values.iter().copied().fold(0.0, f64::max) > 0.0);
        let (distribution, _) = search(&space, 400, valley);
        assert!(distribution.is_exhausted());
    }

    #[test]
    fn rows_stay_likely_and_choices_follow_the_best() {
        let texts = ["a", "b", "c"].map(|text| json!(text)).to_vec();
        let choice = Domain::Categorical { values: texts, probabilities: None };
        let space = space(&[Domain::IntUniform { min: 0, max: 9 }, choice, UNIT]);
        assert_eq!(space.scales()[..2], [Scale::Ordered(10), Scale::Choice(3)]);
        // Row 8 of the first axis, and row 2 of the second.
        let loss = |x: &[f64]| (x[0] - 0.85).abs() + if row(x[1]) == 2 { 0.0 } else { 1.0 };
        let (distribution, _) = search(&space, 60, loss);
        let mut rng = TrialRng::stream(5, 7);
        let draws: Vec<Vec<f64>> =
            (0..2_000).map(|_| distribution.draw(&space, &mut rng)).collect();
        let share = |of: &dyn Fn(&Vec<f64>) -> bool| {
            draws.iter().filter(|draw| of(draw)).count() as f64 / draws.len() as f64
        };
        let best = share(&|draw| space.row_at(0, draw[0]) == 8);
        assert!((0.5..0.98).contains(&best), "{best}");
        let best = share(&|draw| row(draw[1]) == 2);
        assert!((0.7..0.97).contains(&best), "{best}");
    }

    #[test]
    fn worse_points_have_negative_weights_and_the_covariance_stays_definite() {
        for (axes, points) in [(1, 4), (2, 6), (5, 8), (30, 14), (30, 400), (1, 1_024)] {
            let rates = Rates::new(axes, points);
            let better: f64 = rates.weights.iter().filter(|w| **w > 0.0).sum();
            assert!((better - 1.0).abs() < 1e-12);
            // A large population is all that the next covariance is made of.
            assert!(points > 100 || rates.weights.iter().any(|w| *w < 0.0));
            let sum: f64 = rates.weights.iter().sum();
            let worse: f64 = rates.weights.iter().filter(|w| **w < 0.0).sum();
            // Along the worst direction, C loses n times the weight of the worse points.
            let left = 1.0 - rates.one - rates.rank * sum + rates.rank * worse * axes as f64;
            assert!(left > -1e-12, "{axes} axes, {points} points: {left}");
        }
    }
}
