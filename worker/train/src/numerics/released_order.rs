//! The fractional order as the authors' released code computes it (science reference, 7.7).
//!
//! ```text
//! y = Re IFFT[(i 2 pi f)^alpha FFT r] ,  principal branch, 0 at f = 0 ,  y -= y[25]
//! alpha* = argmin over a grid of the mean square of (y - target) in the window, summed over drives
//! ```
//!
//! alpha > 0 means integration here: the operator inverts the neurons' response. The fit has no
//! gain, so a gain is mistaken for an order; [`super::order`] is the corrected fit.

use std::f64::consts::{FRAC_PI_2, PI, TAU};
use std::ops::Range;

use super::search::smallest;

/// Sample at which every derivative is set to zero.
const REFERENCE: usize = 25;

/// Minimum of the released fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReleasedFit {
    /// alpha*; NaN for responses that are not numbers.
    pub alpha: f64,
    /// Mean squared y - target in the window, summed over the drives.
    pub error: f64,
}

/// Returns the circular convolution kernel of T = `steps` elements that applies (i 2 pi f)^alpha to
/// real sequences.
///
/// The spectrum is conjugate symmetric, so the terms of f and -f add up to twice the real part of
/// one: 2 (2 pi f)^alpha cos(2 pi f t + alpha pi/2). The frequency 1/2 of an even T has no partner.
pub fn kernel(steps: usize, alpha: f64) -> Vec<f64> {
    let length = steps as f64;
    let phase = alpha * FRAC_PI_2;
    // 2 pi k / T is both the frequency of index k and its angle per step.
    let angle = |k: usize| TAU * k as f64 / length;
    let amplitudes: Vec<f64> =
        (1..steps.div_ceil(2)).map(|k| 2.0 * angle(k).powf(alpha) / length).collect();
    let waves: Vec<f64> = (0..steps).map(|k| (angle(k) + phase).cos()).collect();
    let unpaired =
        if steps.is_multiple_of(2) { PI.powf(alpha) * phase.cos() / length } else { 0.0 };
    let at = |t: usize| {
        let sign = if t.is_multiple_of(2) { 1.0 } else { -1.0 };
        let terms = (1..).zip(&amplitudes).map(|(k, amplitude)| amplitude * waves[k * t % steps]);
        terms.sum::<f64>() + sign * unpaired
    };
    (0..steps).map(at).collect()
}

/// Returns y over all steps of `response`, zero at the reference sample.
pub fn derivative(response: &[f64], alpha: f64) -> Vec<f64> {
    let kernel = kernel(response.len(), alpha);
    derivative_within(response, &kernel, 0..response.len())
}

fn derivative_within(response: &[f64], kernel: &[f64], window: Range<usize>) -> Vec<f64> {
    let steps = response.len();
    let at = |t: usize| -> f64 {
        let (past, future) = response.split_at((t + 1).min(steps));
        let near: f64 = past.iter().rev().zip(kernel).map(|(r, k)| r * k).sum();
        let wrapped: f64 = future.iter().rev().zip(&kernel[past.len()..]).map(|(r, k)| r * k).sum();
        near + wrapped
    };
    let zero = at(REFERENCE.min(steps.saturating_sub(1)));
    window.map(|t| at(t) - zero).collect()
}

/// A grid of alpha, prepared for fits of many responses.
#[derive(Debug)]
pub struct ReleasedGrid {
    alphas: Vec<f64>,
    kernels: Vec<Vec<f64>>,
    window: Range<usize>,
}

impl ReleasedGrid {
    /// Prepares the values `alphas` for responses of T = `steps` and a `window` within them.
    pub fn new(alphas: Vec<f64>, steps: usize, window: Range<usize>) -> Self {
        let kernels = alphas.iter().map(|&alpha| kernel(steps, alpha)).collect();
        Self { alphas, kernels, window }
    }

    /// Returns the alpha that brings `responses` closest to `targets`, of T steps each.
    pub fn fit(&self, responses: &[&[f64]], targets: &[Vec<f64>]) -> ReleasedFit {
        let error = |kernel: &Vec<f64>| -> f64 {
            let pairs = responses.iter().zip(targets);
            pairs.map(|(response, target)| self.distance(response, target, kernel)).sum()
        };
        let errors: Vec<f64> = self.kernels.iter().map(error).collect();
        match smallest(&errors) {
            Some(place) => ReleasedFit { alpha: self.alphas[place], error: errors[place] },
            None => ReleasedFit { alpha: f64::NAN, error: f64::NAN },
        }
    }

    /// Returns the mean squared y - `target` in the window.
    fn distance(&self, response: &[f64], target: &[f64], kernel: &[f64]) -> f64 {
        let y = derivative_within(response, kernel, self.window.clone());
        let squares = y.iter().zip(&target[self.window.clone()]).map(|(y, x)| (y - x).powi(2));
        squares.sum::<f64>() / self.window.len() as f64
    }
}
