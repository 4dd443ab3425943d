//! Perturbations under which a network is tested, or trained (science reference, section 6): the
//! cells of the configured grids, and their effect on inputs and neurons.
//!
//! A perturbation acts along the sequence, after the permutation, on frozen weights. Windows scale
//! with the length of the sequence. Cells that differ only in level or wave share the samples and
//! the noise of one pass; apart from rounding, no cell depends on the others.

mod augment;
mod grid;
mod noise;
mod perturbed;
mod rotation;
mod score;

use std::ops::Range;

use rheo_model::config::{EvaluationKind, ShapeMode};

pub use augment::Augmenter;
pub use grid::cells;
pub use noise::NoiseSource;
pub use perturbed::{PerturbationContext, PerturbedBatch, perturb};
pub use rotation::Rotation;
pub use score::scores;

/// A perturbation of the input or of the neurons.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Perturbation {
    /// None: the data are unchanged.
    None,
    /// Sine on the input: x_t (1 + level sin(2 pi frequency t / T + phase)).
    Sine {
        /// Amplitude.
        level: f64,
        /// Cycles per sequence.
        frequency: f64,
        /// Phase in radians.
        phase: f64,
    },
    /// Step drive: a current of strength `level` into all neurons for onset < t < 2 onset.
    StepDrive {
        /// Strength.
        level: f64,
    },
    /// Noise drive: normal noise into the neurons for onset <= t < 2 onset, drawn at every step.
    NoiseDrive {
        /// Standard deviation.
        level: f64,
        /// Mean.
        mean: f64,
        /// Whether all neurons receive the same noise.
        shared: bool,
    },
    /// Input noise: x_t + level eta_t with standard normal eta, not clipped.
    InputNoise {
        /// Standard deviation.
        level: f64,
    },
    /// Contrast: mu + level (x_t - mu) with mu the mean of the training inputs, for t >= from T.
    Contrast {
        /// Factor of the deviation from the mean.
        level: f64,
        /// Fraction of the sequence that stays unchanged.
        from: f64,
    },
    /// Offset: x_t + level for t >= from T.
    Offset {
        /// Added value.
        level: f64,
        /// Fraction of the sequence that stays unchanged.
        from: f64,
    },
    /// Rotation of the image, counter-clockwise by `level` degrees.
    Rotation {
        /// Degrees.
        level: f64,
    },
}

/// The wave of [`Perturbation::Sine`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SineWave {
    /// Cycles per sequence.
    pub frequency: f64,
    /// Phase in radians.
    pub phase: f64,
}

/// One cell of the evaluation: a network under one perturbation; one row of `evaluations`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaluationCell {
    /// Perturbation.
    pub perturbation: Perturbation,
    /// Repetition of the noise, from 0.
    pub repetition: u32,
    /// Source of gain and saturation.
    pub shape_mode: ShapeMode,
    /// Number of test samples, from the first.
    pub samples: u64,
}

/// Kind of noise that a perturbation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoiseKind {
    /// One value per input and step.
    Inputs,
    /// One value per neuron and step of the window.
    Neurons,
    /// One value for all neurons per step of the window.
    Shared,
}

/// Returns the leading cells of `cells` that one pass evaluates, at least one and at most `most`:
/// those that share perturbation, samples, noise and the source of the shape.
pub fn group(cells: &[EvaluationCell], most: usize) -> &[EvaluationCell] {
    let Some(first) = cells.first() else { return cells };
    let joins = |cell: &&EvaluationCell| {
        cell.perturbation.kind() == first.perturbation.kind()
            && cell.perturbation.noise() == first.perturbation.noise()
            && (cell.repetition, cell.shape_mode, cell.samples)
                == (first.repetition, first.shape_mode, first.samples)
    };
    &cells[..cells.iter().take(most.max(1)).take_while(joins).count()]
}

impl Perturbation {
    /// Returns the kind of the perturbation.
    pub fn kind(&self) -> EvaluationKind {
        match self {
            Self::None => EvaluationKind::None,
            Self::Sine { .. } => EvaluationKind::Sine,
            Self::StepDrive { .. } => EvaluationKind::StepDrive,
            Self::NoiseDrive { .. } => EvaluationKind::NoiseDrive,
            Self::InputNoise { .. } => EvaluationKind::InputNoise,
            Self::Contrast { .. } => EvaluationKind::Contrast,
            Self::Offset { .. } => EvaluationKind::Offset,
            Self::Rotation { .. } => EvaluationKind::Rotation,
        }
    }

    /// Returns the name in tables.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Returns the strength; 0 for none.
    pub fn level(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Sine { level, .. }
            | Self::StepDrive { level }
            | Self::NoiseDrive { level, .. }
            | Self::InputNoise { level }
            | Self::Contrast { level, .. }
            | Self::Offset { level, .. }
            | Self::Rotation { level } => level,
        }
    }

    /// Returns the wave, for perturbations that have one.
    pub fn wave(&self) -> Option<SineWave> {
        match *self {
            Self::Sine { frequency, phase, .. } => Some(SineWave { frequency, phase }),
            _ => None,
        }
    }

    /// Returns the first perturbed step, of `steps`.
    pub fn first_step(&self, steps: u32) -> u32 {
        self.window(steps).start
    }

    /// Returns the perturbed steps, of `steps`. The step drive is one step shorter than the noise
    /// drive and begins one step later, as in the paper's code (science reference, trap 17).
    pub fn window(&self, steps: u32) -> Range<u32> {
        let onset = onset(steps);
        match *self {
            Self::StepDrive { .. } => onset + 1..(2 * onset).max(onset + 1),
            Self::NoiseDrive { .. } => onset..2 * onset,
            Self::Contrast { from, .. } | Self::Offset { from, .. } => share(from, steps)..steps,
            Self::None | Self::Sine { .. } | Self::InputNoise { .. } | Self::Rotation { .. } => {
                0..steps
            }
        }
    }

    fn noise(&self) -> Option<NoiseKind> {
        match self {
            Self::InputNoise { .. } => Some(NoiseKind::Inputs),
            Self::NoiseDrive { shared: false, .. } => Some(NoiseKind::Neurons),
            Self::NoiseDrive { shared: true, .. } => Some(NoiseKind::Shared),
            _ => None,
        }
    }
}

/// Returns the onset of a window, which is also its length: 200 of 784 steps, scaled.
fn onset(steps: u32) -> u32 {
    // Integer arithmetic rounds halves up exactly.
    let (steps, half) = (u64::from(steps), 784 / 2);
    u32::try_from((200 * steps + half) / 784).unwrap_or(u32::MAX)
}

/// Returns the step at which `share` of a sequence has passed. Rounds to nearest; rounding up would
/// skip a step where the product misses an integer by its last bit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is in [0, 1] and the cast of anything else saturates"
)]
fn share(share: f64, steps: u32) -> u32 {
    ((share * f64::from(steps)).round() as u32).min(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle() -> serde_json::Value {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../tests/goldens/oracles.json")).unwrap();
        all["perturbations"].clone()
    }

    #[test]
    fn the_step_lasts_as_long_as_in_the_reference() {
        let oracle = oracle();
        let number = |name: &str, field: &str| -> u32 {
            serde_json::from_value(oracle[name][field].clone()).unwrap()
        };
        let window = Perturbation::StepDrive { level: 1.0 }.window(784);
        assert_eq!(window.start, number("step", "first"));
        assert_eq!(window.end - 1, number("step", "last"));
        assert_eq!(window.len(), number("step", "count") as usize);
        let noise = Perturbation::NoiseDrive { level: 1.0, mean: 0.0, shared: false }.window(1024);
        assert_eq!(noise.start, number("step_1024", "onset"));
        assert_eq!(noise.len(), number("step_1024", "length") as usize);
    }

    #[test]
    fn windows_of_short_sequences_may_be_empty_but_stay_inside() {
        let step = Perturbation::StepDrive { level: 1.0 };
        let noise = Perturbation::NoiseDrive { level: 1.0, mean: 0.0, shared: true };
        for steps in 1..40 {
            let onset = onset(steps);
            assert_eq!(step.window(steps).len(), onset.saturating_sub(1) as usize, "{steps} steps");
            assert_eq!(noise.window(steps).len(), onset as usize, "{steps} steps");
            assert!(noise.window(steps).end <= steps, "{steps} steps");
        }
    }

    #[test]
    fn a_share_of_a_sequence_ends_at_the_nearest_step() {
        let cases = [(0.0, 784, 0), (0.5, 784, 392), (0.5, 7, 4), (0.07, 100, 7), (1.0, 9, 9)];
        for (from, steps, first) in cases {
            let offset = Perturbation::Offset { level: 1.0, from };
            assert_eq!(offset.first_step(steps), first, "{from} of {steps}");
            assert_eq!(offset.window(steps).end, steps);
        }
    }

    #[test]
    fn a_group_shares_samples_and_noise() {
        let cell = |perturbation| EvaluationCell {
            perturbation,
            repetition: 0,
            shape_mode: ShapeMode::Own,
            samples: 10,
        };
        let noise = |level, shared| cell(Perturbation::NoiseDrive { level, mean: 0.0, shared });
        let first = noise(1.0, false);
        let same = noise(2.0, false);
        let others = [
            noise(1.0, true),
            cell(Perturbation::InputNoise { level: 1.0 }),
            EvaluationCell { repetition: 1, ..same },
            EvaluationCell { shape_mode: ShapeMode::Frozen, ..same },
            EvaluationCell { samples: 9, ..same },
        ];
        for other in others {
            assert_eq!(group(&[first, same, other, same], 9), [first, same], "{other:?}");
        }
        assert_eq!(group(&[first, same, same], 2), [first, same]);
        assert_eq!(group(&[first, same], 0), [first]);
        assert!(group(&[], 3).is_empty());
    }
}
