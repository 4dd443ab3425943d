//! Random numbers that are functions of (seed, stream, position), three integers that a checkpoint
//! can store: resuming continues the very same sequence.
//!
//! One ChaCha8 generator per purpose. The transformations to uniform and normal numbers are written
//! out here, because a result must not change when a library changes its own.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What a stream of random numbers is for. Streams of one seed are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Initial weights and the initial shape.
    Init,
    /// The order of the training samples, reshuffled every epoch.
    Order,
    /// Perturbations applied to training batches.
    Augment,
    /// Noise of perturbations at evaluation; [`TrialRng::stream`] has the sub-streams.
    Noise,
    /// The split of the data into training and validation.
    Split,
    /// The permutation of the steps of a sequence.
    Permutation,
    /// Whatever an analysis draws.
    Analysis,
    /// Training data generated afresh for each update.
    Fresh,
    /// The choices of a sampler: the points of a sweep.
    Sampler,
}

impl Purpose {
    /// The stream number of this purpose.
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

/// A generator for one purpose of one seed.
#[derive(Debug, Clone)]
pub struct TrialRng(ChaCha8Rng);

impl TrialRng {
    /// The generator of `purpose` under `seed`, at its beginning.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self::stream(seed, purpose.stream())
    }

    /// The generator of an explicitly numbered stream, for families of streams such as one per
    /// generated sample.
    pub fn stream(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// How many 32-bit words have been drawn.
    pub fn position(&self) -> u128 {
        self.0.get_word_pos()
    }

    /// Goes to a position that [`Self::position`] gave.
    pub fn seek(&mut self, position: u128) {
        self.0.set_word_pos(position);
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * 2f64.powi(-53)
    }

    /// Uniform in [low, high).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Standard normal, by the Box-Muller transformation: two draws a number, so that a position
    /// alone determines what comes next.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Uniform in 0..`bound`, without bias; `bound` is at least 1.
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

    /// A uniformly random order of 0..`len` (Fisher-Yates from the end).
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
