//! Standard normal numbers for perturbations. At evaluation every test sample and repetition has
//! its own random stream, so the noise of a sample does not depend on its batch, nor on the level,
//! which only scales it.

use rheo_core::rng::TrialRng;
use tch::{Kind, Result, Tensor};

use crate::tensor::{from_doubles, length};

/// First noise stream, and number of streams per repetition.
const STREAMS: u64 = 1 << 50;
const SAMPLES: u64 = 1 << 24;

/// Source of noise.
pub enum NoiseSource<'a> {
    /// One stream per test sample: 2^50 + 2^24 repetition + sample.
    Samples {
        /// Seed of the noise.
        seed: u64,
        /// Repetition, from 0.
        repetition: u32,
        /// First sample of the batch.
        first: u64,
    },
    /// One generator for all samples, in order.
    Stream(&'a mut TrialRng),
}

impl NoiseSource<'_> {
    /// Draws standard normal numbers [T, B, W], for each sample by step, then along W.
    pub(crate) fn normals(&mut self, size: [usize; 3], kind: Kind) -> Result<Tensor> {
        let [steps, batch, width] = size;
        let mut values = vec![0.0; steps * batch * width];
        for sample in 0..batch {
            let mut own;
            let rng = match self {
                Self::Samples { seed, repetition, first } => {
                    let sample = *first + sample as u64;
                    let stream = STREAMS + SAMPLES * u64::from(*repetition) + sample;
                    own = TrialRng::stream(*seed, stream);
                    &mut own
                }
                Self::Stream(rng) => rng,
            };
            for step in 0..steps {
                let place = (step * batch + sample) * width;
                values[place..place + width].fill_with(|| rng.normal());
            }
        }
        from_doubles(&values, &[length(steps)?, length(batch)?, length(width)?], kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::to_doubles;

    fn normals(repetition: u32, first: u64, size: [usize; 3]) -> Vec<f64> {
        let mut source = NoiseSource::Samples { seed: 3, repetition, first };
        to_doubles(&source.normals(size, Kind::Double).unwrap()).unwrap()
    }

    #[test]
    fn the_noise_of_a_sample_does_not_depend_on_its_batch() {
        let whole = normals(1, 4, [5, 6, 3]);
        for (first, batch) in [(0, 6), (0, 1), (2, 3), (5, 1)] {
            let part = normals(1, 4 + first as u64, [5, batch, 3]);
            for step in 0..5 {
                let place = (step * 6 + first) * 3;
                let expected = &whole[place..place + batch * 3];
                assert_eq!(&part[step * batch * 3..(step + 1) * batch * 3], expected);
            }
        }
    }

    #[test]
    fn streams_are_numbered_as_in_the_reference() {
        let mut rng = TrialRng::stream(3, (1 << 50) + (1 << 24) * 2 + 7);
        let expected: Vec<f64> = (0..6).map(|_| rng.normal()).collect();
        assert_eq!(normals(2, 7, [2, 1, 3]), expected);
        // Two samples, and two repetitions, have nothing in common.
        assert_ne!(normals(2, 8, [2, 1, 3]), expected);
        assert_ne!(normals(1, 7, [2, 1, 3]), expected);
    }
}
