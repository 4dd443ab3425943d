//! Dependence of gain and saturation on the noise strength: least-squares fits of a xi^-b + c and a
//! exp(-b xi) + c (science reference, 7.5).
//!
//! For a given b, the fit of a and c is linear; b is searched on a grid and refined. So the fit
//! does not depend on a starting point, unlike that of the released code.

use super::search::{linspace, refine, smallest};

/// Number of values of b, geometrically spaced from [`LEAST`] to [`MOST`].
const GRID: usize = 400;
const LEAST: f64 = 0.01;
const MOST: f64 = 5.0;

/// Form of the fitted curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CurveForm {
    /// a xi^-b + c.
    Power,
    /// a exp(-b xi) + c.
    Exponential,
}

impl CurveForm {
    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Exponential => "exponential",
        }
    }

    /// Returns the factor of a.
    fn basis(self, xi: f64, b: f64) -> f64 {
        match self {
            Self::Power => xi.powf(-b),
            Self::Exponential => (-b * xi).exp(),
        }
    }

    /// Returns the factor of a, and its derivative with respect to b.
    pub(super) fn basis_slope(self, xi: f64, b: f64) -> (f64, f64) {
        let basis = self.basis(xi, b);
        match self {
            Self::Power => (basis, -xi.ln() * basis),
            Self::Exponential => (basis, -xi * basis),
        }
    }
}

/// Parameters and quality of a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScalingFit {
    /// Parameter a.
    pub a: f64,
    /// Parameter b, between .01 and 5.
    pub b: f64,
    /// Parameter c.
    pub c: f64,
    /// Root mean squared residual.
    pub rmse: f64,
    /// Fraction of the variance that is explained; NaN without variance.
    pub r2: f64,
}

/// Fits `form` to `values` at the strengths `xi`, using only those above zero. None for fewer
/// points than parameters, and for values that are not numbers.
pub fn fit(form: CurveForm, xi: &[f64], values: &[f64]) -> Option<ScalingFit> {
    let points: Vec<(f64, f64)> =
        xi.iter().copied().zip(values.iter().copied()).filter(|(xi, _)| *xi > 0.0).collect();
    if points.len() < 3 {
        return None;
    }
    let grid: Vec<f64> = linspace(LEAST.ln(), MOST.ln(), GRID).into_iter().map(f64::exp).collect();
    let rest = |b: f64| LinearFit::through(form, &points, b).rest;
    let rests: Vec<f64> = grid.iter().map(|&b| rest(b)).collect();
    let b = refine(&grid, smallest(&rests)?, rest);
    let line = LinearFit::through(form, &points, b);
    let variance = line.variance;
    Some(ScalingFit {
        a: line.a,
        b,
        c: line.c,
        rmse: (line.rest / points.len() as f64).sqrt(),
        r2: if variance > 0.0 { 1.0 - line.rest / variance } else { f64::NAN },
    })
}

/// The best a and c for a given b.
struct LinearFit {
    a: f64,
    c: f64,
    /// Residual sum of squares.
    rest: f64,
    /// Sum of squares around the mean.
    variance: f64,
}

impl LinearFit {
    fn through(form: CurveForm, points: &[(f64, f64)], b: f64) -> Self {
        let count = points.len() as f64;
        let basis: Vec<f64> = points.iter().map(|(xi, _)| form.basis(*xi, b)).collect();
        let mean_basis = basis.iter().sum::<f64>() / count;
        let mean_value = points.iter().map(|(_, value)| value).sum::<f64>() / count;
        let (mut shared, mut power, mut variance) = (0.0, 0.0, 0.0);
        for (f, (_, value)) in basis.iter().zip(points) {
            shared += (f - mean_basis) * (value - mean_value);
            power += (f - mean_basis).powi(2);
            variance += (value - mean_value).powi(2);
        }
        let a = if power > 0.0 { shared / power } else { 0.0 };
        let c = mean_value - a * mean_basis;
        let left = basis.iter().zip(points).map(|(f, (_, value))| (value - a * f - c).powi(2));
        Self { a, c, rest: left.sum(), variance }
    }
}
