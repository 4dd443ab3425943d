//! Fits of gain and saturation as the authors' released code makes them: general least squares,
//! started at a = b = c = 1 (science reference, 7.5).
//!
//! The method is Levenberg-Marquardt with the limits of its common implementation, as in their
//! code. From this distant start it may stop at a local minimum, or fail to converge;
//! [`super::scaling`] does neither.

use super::scaling::{CurveForm, ScalingFit};

/// Relative decrease of the sum of squares at which the search stops.
const SETTLED: f64 = 1.49e-8;

/// Maximum evaluations of the curve: 200 (parameters + 1).
const MOST: u32 = 800;

/// Damping above which no step, however small, is downhill.
const STUCK: f64 = 1e16;

/// Fits `form` to `values` at the strengths `xi`, using only those above zero. None for fewer
/// points than parameters, or if the search does not converge.
pub fn fit(form: CurveForm, xi: &[f64], values: &[f64]) -> Option<ScalingFit> {
    let points: Vec<(f64, f64)> =
        xi.iter().copied().zip(values.iter().copied()).filter(|(xi, _)| *xi > 0.0).collect();
    if points.len() < 3 {
        return None;
    }
    let parameters = descend(form, &points)?;
    let rest = NormalEquations::new(form, &points, parameters).rest;
    let count = points.len() as f64;
    let mean = points.iter().map(|(_, value)| value).sum::<f64>() / count;
    let variance: f64 = points.iter().map(|(_, value)| (value - mean).powi(2)).sum();
    let [a, b, c] = parameters;
    let r2 = if variance > 0.0 { 1.0 - rest / variance } else { f64::NAN };
    Some(ScalingFit { a, b, c, rmse: (rest / count).sqrt(), r2 })
}

/// Minimises from a = b = c = 1 until there is no more improvement.
fn descend(form: CurveForm, points: &[(f64, f64)]) -> Option<[f64; 3]> {
    let mut parameters = [1.0; 3];
    let mut normal = NormalEquations::new(form, points, parameters);
    let mut damping = 1e-3;
    for _ in 1..MOST {
        let step = normal.step(damping);
        let next = [0, 1, 2].map(|i| parameters[i] + step[i]);
        let there = NormalEquations::new(form, points, next);
        if there.rest <= normal.rest {
            let gained = normal.rest - there.rest;
            let settled = gained <= SETTLED * normal.rest;
            (parameters, normal) = (next, there);
            damping /= 10.0;
            if settled {
                return Some(parameters);
            }
        } else if damping > STUCK {
            return Some(parameters).filter(|_| normal.rest.is_finite());
        } else {
            damping *= 10.0;
        }
    }
    None
}

/// Normal equations of the linearised problem at some parameters.
struct NormalEquations {
    /// J^T J with J the derivatives of the curve with respect to a, b and c.
    matrix: [[f64; 3]; 3],
    /// J^T times the residuals.
    slope: [f64; 3],
    /// Sum of the squared residuals.
    rest: f64,
}

impl NormalEquations {
    fn new(form: CurveForm, points: &[(f64, f64)], [a, b, c]: [f64; 3]) -> Self {
        let mut normal = Self { matrix: [[0.0; 3]; 3], slope: [0.0; 3], rest: 0.0 };
        for &(xi, value) in points {
            let (basis, by_b) = form.basis_slope(xi, b);
            let residual = value - a * basis - c;
            let row = [basis, a * by_b, 1.0];
            for i in 0..3 {
                for j in 0..3 {
                    normal.matrix[i][j] += row[i] * row[j];
                }
                normal.slope[i] += row[i] * residual;
            }
            normal.rest += residual.powi(2);
        }
        normal
    }

    /// Returns the damped step: the solution of (M + damping diag M) x = slope.
    fn step(&self, damping: f64) -> [f64; 3] {
        let mut matrix = self.matrix;
        for (i, row) in matrix.iter_mut().enumerate() {
            row[i] *= 1.0 + damping;
        }
        let all = determinant(&matrix);
        // Cramer's rule suffices for three unknowns.
        [0, 1, 2].map(|column| {
            let mut replaced = matrix;
            for (row, slope) in replaced.iter_mut().zip(self.slope) {
                row[column] = slope;
            }
            determinant(&replaced) / all
        })
    }
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    let minor = |a: usize, b: usize| m[1][a] * m[2][b] - m[1][b] * m[2][a];
    m[0][0] * minor(1, 2) - m[0][1] * minor(0, 2) + m[0][2] * minor(0, 1)
}
