//! Random numbers as functions of (seed, stream, position). A checkpoint stores these three
//! integers, and resuming continues the same sequence.
//!
//! Each purpose has its own ChaCha8 generator. The transformations to uniform and normal numbers
//! are written out here, because results must not change when a library changes.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The purpose of a stream of random numbers. The streams of one seed are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Initial weights and the initial shape.
    Init,
    /// The order of the training samples, reshuffled every epoch.
    Order,
    /// Perturbations applied to training batches.
    Augment,
    /// Noise of perturbations at evaluation; sub-streams come from [`TrialRng::stream`].
    Noise,
    /// The split of the data into training and validation.
    Split,
    /// The permutation of the steps of a sequence.
    Permutation,
    /// Draws of analyses.
    Analysis,
    /// Training data generated for each update.
    Fresh,
    /// Points chosen by a sampler.
    Sampler,
}

impl Purpose {
    /// Returns the stream number.
    pub fn stream(self) -> u64 {
        match self {
            Self::Init => 1,
            Self::Order => 2,
            Self::Augment => 3,
            Self::Noise => 4,
            Self::Split => 5,
            Self::Permutation => 6,
            Self::Analysis => 7,
            Self::Fresh => 8,
            Self::Sampler => 9,
        }
    }
}

/// A random generator for one seed and one purpose.
#[derive(Debug, Clone)]
pub struct TrialRng(ChaCha8Rng);

impl TrialRng {
    /// Creates the generator of `purpose` under `seed`, at its start.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self::stream(seed, purpose.stream())
    }

    /// Creates the generator of a numbered stream, for families of streams such as one per
    /// generated sample.
    pub fn stream(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Returns the number of 32-bit words drawn so far.
    pub fn position(&self) -> u128 {
        self.0.get_word_pos()
    }

    /// Moves to a position returned by [`Self::position`].
    pub fn seek(&mut self, position: u128) {
        self.0.set_word_pos(position);
    }

    /// Draws 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws a uniform number in [0, 1), a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * 2f64.powi(-53)
    }

    /// Draws a uniform number in [low, high).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Draws a standard normal number by the Box-Muller transformation. It takes two draws per
    /// number, so that the position alone determines what follows.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Draws a uniform integer in 0..`bound` without bias; `bound` is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "an empty range has no elements");
        // Numbers at and above the largest multiple of `bound` would favour small results.
        let limit = u64::MAX - u64::MAX % bound;
        loop {
            let bits = self.bits();
            if bits < limit {
                return bits % bound;
            }
        }
    }

    /// Draws a uniformly random order of 0..`len` (Fisher-Yates from the end).
    pub fn permutation(&mut self, len: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..).take(len).collect();
        for i in (1..len).rev() {
            let j = self.below(i as u64 + 1);
            order.swap(i, usize::try_from(j).unwrap_or(i));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_are_pinned() {
        // Goldens: a change here changes every result of every sweep.
        let mut rng = TrialRng::new(400, Purpose::Init);
        let drawn = [rng.bits(), rng.bits(), rng.bits()];
        let golden =
            [13_396_656_926_450_011_994, 2_519_169_221_087_501_526, 17_458_706_508_581_454_268];
        assert_eq!(drawn, golden);
        assert_eq!(rng.permutation(8), [0, 2, 4, 3, 7, 1, 5, 6]);
    }

    #[test]
    fn seeking_back_repeats_the_sequence() {
        let mut rng = TrialRng::new(7, Purpose::Order);
        rng.normal();
        let position = rng.position();
        let first = (rng.normal(), rng.below(10), rng.permutation(5));
        rng.seek(position);
        assert_eq!(first, (rng.normal(), rng.below(10), rng.permutation(5)));
    }

    #[test]
    fn normals_have_unit_variance() {
        let mut rng = TrialRng::new(1, Purpose::Noise);
        let n = 100_000;
        let drawn: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / f64::from(n);
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        // Five standard errors of the mean and of the variance.
        assert!(mean.abs() < 5.0 / f64::from(n).sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * (2.0 / f64::from(n)).sqrt(), "{variance}");
    }
}
