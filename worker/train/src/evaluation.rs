//! Perturbations under which a trained network is tested (science reference, section 6): the cells
//! of the configured grids, and what each does to the input and to the neurons.
//!
//! A perturbation acts along the sequence, after the permutation, on frozen weights. Windows scale
//! with the length of the sequence.

use std::f64::consts::TAU;

use rheo_core::config::{Evaluation, EvaluationKind};
use tch::{Kind, Result, Tensor};

use crate::tensor::from_doubles;

/// The default grids.
const SINE_LEVELS: [f64; 9] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0];
const SINE_FREQUENCIES: [f64; 3] = [0.5, 1.0, 2.0];
const STEP_LEVELS: [f64; 10] = [0.0, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0];

/// One cell of the evaluation: a perturbation and its strength.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Perturbation {
    /// The test data as they are.
    None,
    /// x_t (1 + level sin(2 pi frequency t / T + phase)).
    Sine {
        /// Amplitude.
        level: f64,
        /// Cycles per sequence.
        frequency: f64,
        /// Phase in radians.
        phase: f64,
    },
    /// A current of strength `level` into all neurons for onset < t < 2 onset.
    StepDrive {
        /// Strength.
        level: f64,
    },
}

/// The cells of the configured evaluations: the unperturbed one first, each once.
pub fn cells(evaluations: &[Evaluation]) -> Vec<Perturbation> {
    let mut cells = vec![Perturbation::None];
    for evaluation in evaluations {
        for cell in grid(evaluation) {
            if !cells.contains(&cell) {
                cells.push(cell);
            }
        }
    }
    cells
}

fn grid(evaluation: &Evaluation) -> Vec<Perturbation> {
    let levels = |default: &[f64]| evaluation.level.clone().unwrap_or_else(|| default.to_vec());
    match evaluation.kind {
        EvaluationKind::None => vec![Perturbation::None],
        EvaluationKind::Sine => {
            let frequencies =
                evaluation.frequency.clone().unwrap_or_else(|| SINE_FREQUENCIES.to_vec());
            let phase = evaluation.phase;
            let mut cells = Vec::new();
            for level in levels(&SINE_LEVELS) {
                for &frequency in &frequencies {
                    cells.push(Perturbation::Sine { level, frequency, phase });
                }
            }
            cells
        }
        EvaluationKind::StepDrive => {
            let cell = |level| Perturbation::StepDrive { level };
            levels(&STEP_LEVELS).into_iter().map(cell).collect()
        }
        _ => Vec::new(),
    }
}

impl Perturbation {
    /// The name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sine { .. } => "sine",
            Self::StepDrive { .. } => "step_drive",
        }
    }

    /// Strength, 0 for none.
    pub fn level(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Sine { level, .. } | Self::StepDrive { level } => level,
        }
    }

    /// Frequency and phase, for the perturbation that has them.
    pub fn wave(&self) -> Option<(f64, f64)> {
        match *self {
            Self::Sine { frequency, phase, .. } => Some((frequency, phase)),
            Self::None | Self::StepDrive { .. } => None,
        }
    }

    /// The first step, of `steps`, that is perturbed.
    pub fn first_step(&self, steps: u32) -> u32 {
        match self {
            Self::None | Self::Sine { .. } => 0,
            Self::StepDrive { .. } => onset(steps) + 1,
        }
    }

    /// What the inputs are multiplied by at every step, [T, 1, 1].
    pub fn factor(&self, steps: u32, kind: Kind) -> Result<Option<Tensor>> {
        let Self::Sine { level, frequency, phase } = *self else {
            return Ok(None);
        };
        let factor = |t: u32| {
            let cycles = frequency * f64::from(t) / f64::from(steps);
            1.0 + level * (TAU * cycles + phase).sin()
        };
        per_step(steps, factor, kind).map(Some)
    }

    /// What is added to the current of every neuron at every step, [T, 1, 1].
    pub fn drive(&self, steps: u32, kind: Kind) -> Result<Option<Tensor>> {
        let Self::StepDrive { level } = *self else {
            return Ok(None);
        };
        let window = onset(steps) + 1..2 * onset(steps);
        let drive = |t: u32| if window.contains(&t) { level } else { 0.0 };
        per_step(steps, drive, kind).map(Some)
    }
}

/// Onset of a window and also its length: 200 of 784 steps, scaled.
fn onset(steps: u32) -> u32 {
    // Integers round half up exactly.
    let (steps, half) = (u64::from(steps), 784 / 2);
    u32::try_from((200 * steps + half) / 784).unwrap_or(u32::MAX)
}

fn per_step(steps: u32, value: impl Fn(u32) -> f64, kind: Kind) -> Result<Tensor> {
    let values: Vec<f64> = (0..steps).map(value).collect();
    from_doubles(&values, &[i64::from(steps), 1, 1], kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::to_doubles;

    fn oracle() -> serde_json::Value {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../tests/goldens/oracles.json")).unwrap();
        all["perturbations"].clone()
    }

    fn drive(level: f64, steps: u32) -> Vec<f64> {
        let drive = Perturbation::StepDrive { level }.drive(steps, Kind::Double).unwrap();
        to_doubles(&drive.unwrap()).unwrap()
    }

    #[test]
    fn the_sine_has_the_factors_of_the_reference() {
        let oracle = &oracle()["sine"];
        let number = |name: &str| oracle[name].as_f64().unwrap();
        let sine = Perturbation::Sine {
            level: number("amplitude"),
            frequency: number("frequency"),
            phase: number("phase"),
        };
        let factor = sine.factor(784, Kind::Double).unwrap().unwrap();
        let factors = to_doubles(&factor).unwrap();
        let times: Vec<usize> = serde_json::from_value(oracle["t"].clone()).unwrap();
        for (t, expected) in times.into_iter().zip(oracle["factor"].as_array().unwrap()) {
            let expected = expected.as_f64().unwrap();
            assert!((factors[t] - expected).abs() <= 1e-9 * expected, "{t}: {}", factors[t]);
        }
    }

    #[test]
    fn the_step_lasts_as_long_as_in_the_reference() {
        let oracle = oracle();
        let number = |name: &str, field: &str| -> usize {
            serde_json::from_value(oracle[name][field].clone()).unwrap()
        };
        let driven: Vec<usize> =
            (0..).zip(drive(2.5, 784)).filter(|(_, d)| *d > 0.0).map(|(t, _)| t).collect();
        assert_eq!(driven.first(), Some(&number("step", "first")));
        assert_eq!(driven.last(), Some(&number("step", "last")));
        assert_eq!(driven.len(), number("step", "count"));
        assert_eq!(onset(1024) as usize, number("step_1024", "onset"));
    }

    #[test]
    fn windows_of_short_sequences_may_be_empty_but_never_fail() {
        for steps in 1..40 {
            let driven = drive(1.0, steps).iter().filter(|&&d| d != 0.0).count();
            assert_eq!(driven, (onset(steps) as usize).saturating_sub(1), "{steps} steps");
        }
    }

    #[test]
    fn without_lists_the_grids_are_those_of_the_paper() {
        let count = |kind| cells(&[Evaluation { kind, ..Evaluation::default() }]).len();
        assert_eq!(count(EvaluationKind::None), 1);
        assert_eq!(count(EvaluationKind::Sine), 1 + 27);
        assert_eq!(count(EvaluationKind::StepDrive), 1 + 10);
    }
}
