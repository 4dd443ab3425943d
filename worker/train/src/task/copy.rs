//! The copy task: remember K symbols over a delay of D steps (science reference, section 4).
//!
//! The input is K symbols, D - 1 blanks, the marker and K blanks; the target is blank until the
//! last K steps, which repeat the symbols. Training samples are drawn afresh for every update.

use rheo_core::rng::TrialRng;
use rheo_model::config;
use tch::Kind;

use super::{Split, assemble, buffer};
use crate::Error;
use crate::step::Batch;

/// Number of symbols, which are 1 to this; 0 is blank.
const ALPHABET: u8 = 8;
/// Input that asks for the symbols.
const MARKER: u8 = 9;
/// Number of inputs with one-hot encoding: one per value.
const ONE_HOT: u32 = 10;

/// A copy task.
pub(super) struct Copy {
    symbols: usize,
    delay: usize,
    one_hot: bool,
    seed: u64,
}

impl Copy {
    pub(super) fn new(task: &config::Task) -> Self {
        Self {
            symbols: task.symbols as usize,
            delay: task.delay as usize,
            one_hot: task.one_hot,
            seed: task.seed,
        }
    }

    pub(super) fn steps(&self) -> u32 {
        u32::try_from(self.delay + 2 * self.symbols).unwrap_or(u32::MAX)
    }

    pub(super) fn inputs(&self) -> u32 {
        if self.one_hot { ONE_HOT } else { 1 }
    }

    /// Returns the mean input over the distribution of samples.
    pub(super) fn mean(&self) -> f64 {
        if self.one_hot {
            return 1.0 / f64::from(ONE_HOT);
        }
        let symbol = f64::from(1 + ALPHABET) / 2.0;
        (self.symbols as f64 * symbol + f64::from(MARKER)) / f64::from(self.steps())
    }

    /// Returns the symbols of samples of a split, each from its own random stream.
    pub(super) fn samples(&self, split: Split, samples: &[u32]) -> Vec<Vec<u8>> {
        let one = |&sample: &u32| self.one(&mut TrialRng::stream(self.seed, split.stream(sample)));
        samples.iter().map(one).collect()
    }

    /// Draws the symbols of the next `count` samples of a stream.
    pub(super) fn draw(&self, rng: &mut TrialRng, count: u32) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.one(rng)).collect()
    }

    fn one(&self, rng: &mut TrialRng) -> Vec<u8> {
        let symbol = |rng: &mut TrialRng| {
            1 + u8::try_from(rng.below(u64::from(ALPHABET))).unwrap_or_default()
        };
        (0..self.symbols).map(|_| symbol(rng)).collect()
    }

    /// Builds the batch of samples with these symbols.
    pub(super) fn batch(&self, samples: &[Vec<u8>], kind: Kind) -> Result<Batch, Error> {
        let steps = self.steps() as usize;
        let width = self.inputs() as usize;
        let batch = samples.len();
        let mut inputs: Vec<f64> = buffer("the inputs of a batch", steps * batch * width)?;
        let mut targets: Vec<i64> = buffer("the targets of a batch", steps * batch)?;
        for (column, symbols) in samples.iter().enumerate() {
            for step in 0..steps {
                let value = self.input(symbols, step);
                let cell = (step * batch + column) * width;
                if self.one_hot {
                    inputs[cell + value as usize] = 1.0;
                } else {
                    inputs[cell] = f64::from(value);
                }
            }
            for (file, &symbol) in symbols.iter().enumerate() {
                let step = steps - self.symbols + file;
                targets[step * batch + column] = i64::from(symbol);
            }
        }
        assemble(&inputs, [steps, batch, width], &targets, self.symbols * batch, kind)
    }

    /// Returns the input of a sample with `symbols` at `step`.
    fn input(&self, symbols: &[u8], step: usize) -> u8 {
        if step + 1 == self.symbols + self.delay {
            return MARKER;
        }
        symbols.get(step).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use rheo_core::rng::Purpose;

    use super::*;
    use crate::tensor::to_doubles;

    fn copy(symbols: usize, delay: usize, one_hot: bool) -> Copy {
        Copy { symbols, delay, one_hot, seed: 0 }
    }

    #[test]
    fn a_sequence_has_symbols_blanks_marker_and_blanks() {
        // (delay, inputs, targets) of the symbols 3 7.
        let cases: [(usize, &[f64], &[f64]); 3] = [
            (1, &[3., 7., 9., 0., 0.], &[0., 0., 0., 3., 7.]),
            (2, &[3., 7., 0., 9., 0., 0.], &[0., 0., 0., 0., 3., 7.]),
            (4, &[3., 7., 0., 0., 0., 9., 0., 0.], &[0., 0., 0., 0., 0., 0., 3., 7.]),
        ];
        for (delay, inputs, targets) in cases {
            let batch = copy(2, delay, false).batch(&[vec![3, 7]], Kind::Double).unwrap();
            assert_eq!(to_doubles(&batch.inputs).unwrap(), inputs, "delay {delay}");
            assert_eq!(to_doubles(&batch.targets).unwrap(), targets, "delay {delay}");
            assert_eq!(batch.scored, 2);
        }
    }

    #[test]
    fn a_unit_vector_has_its_one_at_the_number() {
        let numbers =
            copy(3, 2, false).batch(&[vec![1, 8, 4], vec![2, 2, 5]], Kind::Float).unwrap();
        let vectors = copy(3, 2, true).batch(&[vec![1, 8, 4], vec![2, 2, 5]], Kind::Float).unwrap();
        let found = vectors.inputs.f_argmax(2, true).unwrap();
        assert_eq!(to_doubles(&found).unwrap(), to_doubles(&numbers.inputs).unwrap());
        let ones = vectors.inputs.count_nonzero(None).int64_value(&[]);
        assert_eq!(ones, 2 * 8);
    }

    #[test]
    fn drawing_twice_or_in_parts_gives_the_same_samples() {
        let task = copy(4, 3, false);
        let mut whole = TrialRng::new(5, Purpose::Fresh);
        let mut parts = whole.clone();
        let all = task.draw(&mut whole, 6);
        let mut drawn = task.draw(&mut parts, 2);
        drawn.extend(task.draw(&mut parts, 4));
        assert_eq!(all, drawn);
        assert!(all.iter().flatten().all(|symbol| (1..=8).contains(symbol)));
        assert_eq!(task.samples(Split::Test, &[7, 1]), task.samples(Split::Test, &[7, 1]));
        assert_ne!(task.samples(Split::Test, &[7]), task.samples(Split::Validation, &[7]));
    }
}
