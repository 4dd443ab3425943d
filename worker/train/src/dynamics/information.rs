//! Mutual information between two sets of coordinates, by the estimator of Kraskov et al. 2004 in
//! the form that allows repeated values (Gao et al. 2017; science reference, section 7.9).
//!
//! O(N^2) time and O(N) memory: sequences have at most a few thousand steps, too few for a search
//! tree to pay off.

/// N points of a fixed number of coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointSet<'a> {
    /// Coordinates, point by point.
    pub values: &'a [f64],
    /// Coordinates per point, at least 1.
    pub dimension: usize,
}

impl<'a> PointSet<'a> {
    /// Returns the number of points.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension.max(1)
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the points `from`..`to`.
    #[must_use]
    pub fn range(&self, from: usize, to: usize) -> Self {
        let (start, end) = (from * self.dimension, to * self.dimension);
        Self { values: self.values.get(start..end).unwrap_or_default(), ..*self }
    }

    fn point(&self, index: usize) -> &'a [f64] {
        &self.values[index * self.dimension..(index + 1) * self.dimension]
    }

    /// Writes the distance of every point to point `index`: the largest coordinate difference.
    fn distances(&self, index: usize, distances: &mut [f64]) {
        let point = self.point(index);
        for (other, distance) in distances.iter_mut().enumerate() {
            let other = self.point(other);
            *distance = point.iter().zip(other).fold(0.0, |most, (a, b)| {
                let difference = (a - b).abs();
                // Not `max`, which would ignore a distance that is NaN.
                if difference <= most { most } else { difference }
            });
        }
    }
}

/// Estimates I(x; y) in nats: the mean over i of psi(k_i) + ln N - psi(nx_i) - psi(ny_i), where the
/// distance of (x_i, y_i) to its `neighbours`-th neighbour is the radius for the counts around x_i
/// and y_i. None unless x and y have the same length, which must exceed `neighbours`; NaN if a
/// coordinate is not finite.
pub fn mutual_information(x: PointSet<'_>, y: PointSet<'_>, neighbours: usize) -> Option<f64> {
    let count = x.len();
    if count != y.len() || count <= neighbours || neighbours == 0 {
        return None;
    }
    if x.values.iter().chain(y.values).any(|value| !value.is_finite()) {
        return Some(f64::NAN);
    }
    let psi = digammas(count);
    let (mut dx, mut dy) = (vec![0.0; count], vec![0.0; count]);
    let mut both = vec![0.0; count];
    let mut sum = 0.0;
    for index in 0..count {
        x.distances(index, &mut dx);
        y.distances(index, &mut dy);
        for (both, (dx, dy)) in both.iter_mut().zip(dx.iter().zip(&dy)) {
            *both = f64::max(*dx, *dy);
        }
        let [k, nx, ny] = neighbourhood(&dx, &dy, &mut both, neighbours);
        sum += psi[k] - psi[nx] - psi[ny];
    }
    Some(sum / count as f64 + (count as f64).ln())
}

/// Returns k_i, nx_i and ny_i of the point with these distances to all points, itself included.
/// Reorders `both`.
fn neighbourhood(dx: &[f64], dy: &[f64], both: &mut [f64], neighbours: usize) -> [usize; 3] {
    // The point itself is at distance 0, so its k-th neighbour has index k.
    let (_, &mut reach, _) = both.select_nth_unstable_by(neighbours, f64::total_cmp);
    let count = |distances: &[f64], near: &dyn Fn(f64) -> bool| {
        distances.iter().filter(|distance| near(**distance)).count()
    };
    if reach > 0.0 {
        let near = |distance: f64| distance < reach;
        [neighbours, count(dx, &near), count(dy, &near)]
    } else {
        let near = |distance: f64| distance <= 0.0;
        [count(both, &near), count(dx, &near), count(dy, &near)]
    }
}

/// Returns psi(0..=`most`), the logarithmic derivative of the gamma function: at integers psi(1) =
/// -0.577... (Euler's constant) and psi(n + 1) = psi(n) + 1/n. psi(0) is a pole and is never used,
/// because every point is its own neighbour.
fn digammas(most: usize) -> Vec<f64> {
    let mut values = vec![f64::NEG_INFINITY, -std::f64::consts::EULER_GAMMA];
    for n in 1..most {
        values.push(values[n] + 1.0 / n as f64);
    }
    values
}

#[cfg(test)]
mod tests {
    use rheo_core::rng::{Purpose, TrialRng};

    use super::*;

    fn one(values: &[f64]) -> PointSet<'_> {
        PointSet { values, dimension: 1 }
    }

    #[test]
    fn the_estimate_has_the_reference_values() {
        let oracles: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap();
        let oracle = &oracles["mutual_information"];
        let x: Vec<f64> =
            (0..400).map(|i| (f64::from(i) * (5f64.sqrt() - 1.0) / 2.0).fract()).collect();
        let y: Vec<f64> = (0..)
            .zip(&x)
            .map(|(i, x)| (std::f64::consts::TAU * x).sin() + 0.3 * f64::from(7 * i).cos())
            .collect();
        let q: Vec<f64> = x.iter().map(|x| (4.0 * x).floor()).collect();
        for (a, b, k, expected) in [
            (&x, &y, 5, &oracle["nats"]["x_y"]),
            (&q, &y, 5, &oracle["nats"]["q_y"]),
            (&q, &q, 5, &oracle["nats"]["q_q"]),
            (&x, &y, 3, &oracle["k3_x_y"]),
        ] {
            let expected = expected.as_f64().unwrap();
            let found = mutual_information(one(a), one(b), k).unwrap();
            assert!((found - expected).abs() <= 1e-9, "{found}, not {expected}");
        }
    }

    #[test]
    fn a_gaussian_pair_has_the_information_of_its_correlation() {
        let mut rng = TrialRng::new(1, Purpose::Analysis);
        let correlation = 0.9f64;
        let x: Vec<f64> = (0..2000).map(|_| rng.normal()).collect();
        let rest = (1.0 - correlation * correlation).sqrt();
        let y: Vec<f64> = x.iter().map(|x| correlation * x + rest * rng.normal()).collect();
        let found = mutual_information(one(&x), one(&y), 5).unwrap();
        // -ln(1 - 0.81) / 2.
        assert!((found - 0.830).abs() < 0.08, "{found}");
    }

    #[test]
    fn independent_coordinates_carry_no_information() {
        let mut rng = TrialRng::new(2, Purpose::Analysis);
        let x: Vec<f64> = (0..1000).map(|_| rng.normal()).collect();
        let y: Vec<f64> = (0..3000).map(|_| rng.normal()).collect();
        let found = mutual_information(one(&x), PointSet { values: &y, dimension: 3 }, 5).unwrap();
        assert!(found.abs() < 0.08, "{found}");
        let constant = vec![0.0; 1000];
        let found = mutual_information(one(&constant), one(&x), 5).unwrap();
        // psi(k) - psi(n_y) with n_y = k for every point except the nearest ties: about 0.
        assert!(found.abs() < 0.01, "{found}");
    }

    #[test]
    fn more_coordinates_than_one_are_one_variable() {
        let mut rng = TrialRng::new(3, Purpose::Analysis);
        let x: Vec<f64> = (0..500).map(|_| rng.normal()).collect();
        let y: Vec<f64> = x.iter().map(|x| x + 0.5 * rng.normal()).collect();
        let twice: Vec<f64> = y.iter().flat_map(|y| [*y, *y]).collect();
        let single = mutual_information(one(&x), one(&y), 5);
        assert_eq!(
            mutual_information(one(&x), PointSet { values: &twice, dimension: 2 }, 5),
            single
        );
    }

    #[test]
    fn too_few_points_and_infinite_ones_have_no_estimate() {
        let values: Vec<f64> = (0..6).map(f64::from).collect();
        assert_eq!(mutual_information(one(&values[..5]), one(&values[..5]), 5), None);
        assert_eq!(mutual_information(one(&values[..5]), one(&values), 3), None);
        assert!(mutual_information(one(&values), one(&values), 5).is_some());
        let infinite = [f64::INFINITY; 6];
        assert!(mutual_information(one(&values), one(&infinite), 2).unwrap().is_nan());
    }

    #[test]
    fn digammas_have_the_known_values() {
        let psi = digammas(101);
        assert!((psi[1] + 0.577_215_664_901_532_9).abs() < 1e-15);
        // Abramowitz and Stegun, table 6.1 and its asymptotic series.
        assert!((psi[10] - 2.251_752_589_066_721).abs() < 1e-14, "{}", psi[10]);
        assert!((psi[100] - 4.600_161_852_738_087).abs() < 1e-13, "{}", psi[100]);
        assert_eq!(psi.len(), 102);
    }
}
