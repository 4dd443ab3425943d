//! The Matérn covariance with smoothness 5/2 and one lengthscale per axis.
//!
//! k(x, y) = σ² (1 + √5 r + 5/3 r²) exp(-√5 r) with r² = Σ (d_a / l_a)². On an axis with an order d_a is
//! the difference of coordinates; on one without, 1 if the rows differ and 0 if they are equal, which
//! is a Euclidean distance too, so that the covariance is positive definite. Rasmussen C E, Williams C
//! K I (2006), Gaussian processes for machine learning, MIT Press, eq. 4.17 and section 5.1.
//!
//! An axis that does not exist at a point has its middle there, or a row of its own if it has no
//! order. One covariance costs O(axes).

use crate::space::encoding::Scale;

/// The row of an axis without an order that does not exist.
const NO_ROW: f64 = -1.0;

/// The coordinates of a point on all axes.
pub(super) type Features = Vec<f64>;

/// The form of the covariance: how each axis measures distance.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    is_choice: Vec<bool>,
}

/// The hyperparameters of a Gaussian process.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hyperparameters {
    /// The lengthscale of each axis.
    pub(super) lengthscales: Vec<f64>,
    /// The variance of the function around its mean.
    pub(super) signal: f64,
    /// The variance of the noise.
    pub(super) noise: f64,
}

/// A covariance with its derivative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Covariance {
    /// The covariance.
    pub(super) value: f64,
    /// Minus twice its derivative by the squared distance r².
    pub(super) slope: f64,
}

impl Hyperparameters {
    /// Returns the hyperparameters with these logarithms: lengthscales, signal and noise.
    pub(super) fn from_logarithms(logarithms: &[f64]) -> Self {
        let axes = logarithms.len().saturating_sub(2);
        let value = |i: usize| logarithms.get(i).map_or(1.0, |log| libm::exp(*log));
        Self {
            lengthscales: (0..axes).map(value).collect(),
            signal: value(axes),
            noise: value(axes + 1),
        }
    }
}

impl Kernel {
    pub(super) fn new(scales: &[Scale]) -> Self {
        let is_choice = |scale: &Scale| matches!(scale, Scale::Choice(_));
        Self { is_choice: scales.iter().map(is_choice).collect() }
    }

    pub(super) fn axes(&self) -> usize {
        self.is_choice.len()
    }

    /// Returns the coordinates with values for the axes that do not exist.
    pub(super) fn features(&self, coordinates: &[Option<f64>]) -> Features {
        let absent = |is_choice: bool| if is_choice { NO_ROW } else { 0.5 };
        let axes = coordinates.iter().zip(&self.is_choice);
        axes.map(|(x, is_choice)| x.unwrap_or_else(|| absent(*is_choice))).collect()
    }

    /// Returns the squared distance on one axis, before its lengthscale.
    #[expect(clippy::float_cmp, reason = "rows are whole numbers")]
    pub(super) fn squared_distance(&self, axis: usize, x: &[f64], y: &[f64]) -> f64 {
        if self.is_choice[axis] {
            f64::from(u8::from(x[axis] != y[axis]))
        } else {
            (x[axis] - y[axis]) * (x[axis] - y[axis])
        }
    }

    /// Returns the covariance of the function at two points.
    pub(super) fn covariance(&self, at: &Hyperparameters, x: &[f64], y: &[f64]) -> Covariance {
        let scaled = at.lengthscales.iter().enumerate();
        let squared: f64 =
            scaled.map(|(axis, l)| self.squared_distance(axis, x, y) / (l * l)).sum();
        let r = (5.0 * squared).sqrt();
        let decay = at.signal * libm::exp(-r);
        Covariance {
            value: decay * (1.0 + r + r * r / 3.0),
            slope: decay * (5.0 / 3.0) * (1.0 + r),
        }
    }
}
