//! Fractional derivatives, and the joint fit of order and gain (science reference, 7.7; the
//! corrected fit).
//!
//! ```text
//! (D^beta u)(t) = sum_{j<=t} w_j u(t-j) ,  w_0 = 1 ,  w_j = w_{j-1} (1 - (beta+1)/j)
//! r_xi(t) ~ k (D^beta u_xi)(t) + c_xi
//! ```
//!
//! beta > 0: the response differentiates the drive, as an adapting one does; beta < 0: it
//! integrates. Gain and order are fitted together, because a gain alone would otherwise look like
//! an order.

use std::ops::Range;

use super::search::{linspace, refine, smallest};

/// Orders from -1 to 1 that are tried before refinement, in steps of .01.
const ORDERS: usize = 201;

/// Minimum fraction of explained variance for a response to have an order.
const EXPLAINED: f64 = 0.5;

/// Returns the first `count` weights of the Grunwald-Letnikov derivative of order `beta`.
pub fn weights(beta: f64, count: usize) -> Vec<f64> {
    let mut weights = Vec::with_capacity(count);
    let mut weight = 1.0;
    for j in 0..count {
        if j > 0 {
            weight *= 1.0 - (beta + 1.0) / j as f64;
        }
        weights.push(weight);
    }
    weights
}

/// Returns the Grunwald-Letnikov derivative of order `beta` of `u` at unit steps, where `u` is zero
/// before its first element: the identity at 0, the difference at 1, the running sum at -1.
pub fn derivative(u: &[f64], beta: f64) -> Vec<f64> {
    derivative_within(u, beta, 0..u.len())
}

fn derivative_within(u: &[f64], beta: f64, window: Range<usize>) -> Vec<f64> {
    let weights = weights(beta, window.end);
    let at = |t: usize| weights[..=t].iter().zip(u[..=t].iter().rev()).map(|(w, u)| w * u).sum();
    window.map(at).collect()
}

/// Fitted order and gain of responses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrderFit {
    /// Order beta; NaN if less than half of the variance is explained.
    pub order: f64,
    /// Gain k.
    pub gain: f64,
    /// Offset c, averaged over the drives.
    pub offset: f64,
    /// Mean squared residual in the window, summed over the drives.
    pub error: f64,
    /// Fraction of the variance within the responses that is explained; NaN if there is none.
    pub r2: f64,
}

/// Derivatives of the drives, prepared for fits of many responses.
#[derive(Debug)]
pub struct DriveBases {
    traces: Vec<Vec<f64>>,
    window: Range<usize>,
    orders: Vec<f64>,
    /// Derivatives of all drives in the window, per order.
    bases: Vec<DerivativeBasis>,
}

/// Derivatives of all drives in the window, each without its mean.
#[derive(Debug)]
struct DerivativeBasis {
    centred: Vec<Vec<f64>>,
    means: Vec<f64>,
    /// Sum of the squares of `centred`.
    power: f64,
}

impl DerivativeBasis {
    fn new(drives: &[Vec<f64>], beta: f64, window: &Range<usize>) -> Self {
        let within = |u: &Vec<f64>| centre(&derivative_within(u, beta, window.clone()));
        let (centred, means): (Vec<_>, Vec<_>) = drives.iter().map(within).unzip();
        let power = centred.iter().map(|u| dot(u, u)).sum();
        Self { centred, means, power }
    }

    /// Returns the gain of the least-squares fit; a constant derivative explains nothing.
    fn gain(&self, responses: &[Vec<f64>]) -> f64 {
        let shared: f64 = self.centred.iter().zip(responses).map(|(u, r)| dot(u, r)).sum();
        if self.power > 0.0 { shared / self.power } else { 0.0 }
    }

    /// Returns the sum of squared residuals for centred responses.
    fn rest(&self, responses: &[Vec<f64>]) -> f64 {
        let gain = self.gain(responses);
        let rest = |(u, r): (&Vec<f64>, &Vec<f64>)| -> f64 {
            u.iter().zip(r).map(|(u, r)| (r - gain * u).powi(2)).sum()
        };
        self.centred.iter().zip(responses).map(rest).sum()
    }
}

impl DriveBases {
    /// Prepares `drives` of T steps each for fits in `window`, which must lie within them.
    pub fn new(drives: Vec<Vec<f64>>, window: Range<usize>) -> Self {
        let orders = linspace(-1.0, 1.0, ORDERS);
        let bases =
            orders.iter().map(|&beta| DerivativeBasis::new(&drives, beta, &window)).collect();
        Self { traces: drives, window, orders, bases }
    }

    /// Fits the common order and gain of one response per drive, T steps each.
    pub fn fit(&self, responses: &[&[f64]]) -> OrderFit {
        let within = |r: &&[f64]| centre(&r[self.window.clone()]);
        let (centred, means): (Vec<_>, Vec<_>) = responses.iter().map(within).unzip();
        let variance: f64 = centred.iter().map(|r| dot(r, r)).sum();
        let rests: Vec<f64> = self.bases.iter().map(|basis| basis.rest(&centred)).collect();
        let Some(place) = smallest(&rests) else { return OrderFit::none() };
        let order = refine(&self.orders, place, |beta| self.basis(beta).rest(&centred));
        let basis = self.basis(order);
        let rest = basis.rest(&centred);
        let gain = basis.gain(&centred);
        let r2 = if variance > 0.0 { 1.0 - rest / variance } else { f64::NAN };
        let offsets = means.iter().zip(&basis.means).map(|(r, u)| r - gain * u);
        OrderFit {
            order: if r2 >= EXPLAINED { order } else { f64::NAN },
            gain,
            offset: offsets.sum::<f64>() / means.len() as f64,
            error: rest / self.window.len() as f64,
            r2,
        }
    }

    fn basis(&self, beta: f64) -> DerivativeBasis {
        DerivativeBasis::new(&self.traces, beta, &self.window)
    }
}

impl OrderFit {
    /// Returns the fit of responses that are not numbers.
    fn none() -> Self {
        let nan = f64::NAN;
        Self { order: nan, gain: nan, offset: nan, error: nan, r2: nan }
    }
}

/// Returns `values` without their mean, and the mean.
fn centre(values: &[f64]) -> (Vec<f64>, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| value - mean).collect(), mean)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
