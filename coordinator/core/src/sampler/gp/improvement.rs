//! The logarithm of the expected improvement.
//!
//! EI = σ h(z), h(z) = φ(z) + z Φ(z), z = (best - μ) / σ: Jones D R, Schonlau M, Welch W J (1998),
//! Journal of Global Optimization 13:455-492. Its logarithm has a usable gradient where EI itself
//! vanishes: Ament S, Daulton S, Eriksson D, Balandat M, Bakshy E (2023), NeurIPS, arXiv:2310.20708.
//! Far below the best, where the two terms of h cancel, the continued fraction of Mills' ratio is
//! used instead: with t = -z, (1 - Φ(t)) / φ(t) = 1 / (t + c) with c = 1 / (t + 2 / (t + 3 / (t + …))),
//! so h = φ(t) c / (t + c). Laplace's fraction: Abramowitz M, Stegun I A (1964), 26.2.14.

use super::posterior::Belief;
use crate::space::normal;

/// The z below which the continued fraction is used.
const FAR: f64 = -4.0;

/// The number of terms of the continued fraction, enough for full precision beyond [`FAR`].
const TERMS: u32 = 60;

/// Half the logarithm of 2π.
const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;

/// The logarithm of an expected improvement, and its derivatives.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogImprovement {
    /// The logarithm of the expected improvement.
    pub(super) value: f64,
    /// Its derivative by the mean.
    pub(super) by_mean: f64,
    /// Its derivative by the deviation.
    pub(super) by_deviation: f64,
}

/// Returns the logarithm of the expected improvement below `best`.
pub(super) fn log_improvement(belief: Belief, best: f64) -> LogImprovement {
    let Belief { mean, deviation } = belief;
    let z = (best - mean) / deviation;
    let (log_h, by_z) = log_h(z);
    LogImprovement {
        value: libm::log(deviation) + log_h,
        by_mean: -by_z / deviation,
        by_deviation: (1.0 - by_z * z) / deviation,
    }
}

/// Returns the logarithm of φ(z) + z Φ(z), and its derivative Φ(z) / h(z).
fn log_h(z: f64) -> (f64, f64) {
    let log_density = -0.5 * z * z - HALF_LOG_TAU;
    if z > FAR {
        let below = normal::probability(z);
        let h = libm::exp(log_density) + z * below;
        (libm::log(h), below / h)
    } else {
        let t = -z;
        let c = 1.0 / (2..TERMS).rev().fold(t, |rest, term| t + f64::from(term) / rest);
        (log_density + libm::log(c / (t + c)), 1.0 / c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(z: f64) -> f64 {
        log_improvement(Belief { mean: -2.0 * z, deviation: 2.0 }, 0.0).value - 2f64.ln()
    }

    #[test]
    fn values_agree_with_the_definition_and_with_tabulated_ones() {
        for z in [-2.0f64, -0.5, 0.0, 1.0, 6.0] {
            let h =
                (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt() + z * normal::probability(z);
            assert!((value(z) - h.ln()).abs() < 1e-12, "{z}");
        }
        assert!((value(0.0) + HALF_LOG_TAU).abs() < 1e-15);
        for (z, log_h) in LOG_H {
            assert!((value(z) - log_h).abs() < 1e-11 * f64::abs(log_h), "{z}: {}", value(z));
        }
    }

    /// Values of log h from the definition with 60-digit arithmetic.
    const LOG_H: [(f64, f64); 6] = [
        (-3.9, -11.410_393_270_072_435),
        (-4.1, -12.296_899_546_413_045),
        (-8.0, -37.122_364_261_692_63),
        (-30.0, -457.724_653_760_598),
        (-1e3, -500_014.734_452_091_16),
        (-1e6, -500_000_000_028.55),
    ];

    #[test]
    fn derivatives_agree_with_differences() {
        for z in [-500.0, -30.0, -4.001, -3.999, -1.0, 0.0, 2.0] {
            let belief = Belief { mean: 1.0 - 0.5 * z, deviation: 0.5 };
            let step = 1e-6;
            let at = |mean: f64, deviation: f64| {
                let belief = Belief { mean: belief.mean + mean, deviation: 0.5 + deviation };
                log_improvement(belief, 1.0).value
            };
            let found = log_improvement(belief, 1.0);
            let by_mean = (at(step, 0.0) - at(-step, 0.0)) / (2.0 * step);
            let by_deviation = (at(0.0, step) - at(0.0, -step)) / (2.0 * step);
            assert!((found.by_mean - by_mean).abs() < 1e-5 * by_mean.abs().max(1.0), "{z}");
            assert!(
                (found.by_deviation - by_deviation).abs() < 1e-5 * by_deviation.abs().max(1.0),
                "{z}: {} {by_deviation}",
                found.by_deviation
            );
        }
    }
}
