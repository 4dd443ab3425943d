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
            let frequencies = evaluation
                .frequency
                .clone()
                .unwrap_or_else(|| SINE_FREQUENCIES.to_vec());
            let phase = evaluation.phase;
            let mut cells = Vec::new();
            for level in levels(&SINE_LEVELS) {
                for &frequency in &frequencies {
                    cells.push(Perturbation::Sine {
                        level,
                        frequency,
                        phase,
                    });
                }
            }
            cells
        }
        EvaluationKind::StepDrive => {
            let cell = |level| Perturbation::StepDrive { level };
            levels(&STEP_LEVELS).into_iter().map(cell).collect()
        }
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
            Self::Sine {
                frequency, phase, ..
            } => Some((frequency, phase)),
            Self::None | Self::StepDrive { .. } => None,
        }
    }

    /// The first step, of `steps`, that is perturbed.
    pub fn from_step(&self, steps: u32) -> u32 {
        match self {
            Self::None | Self::Sine { .. } => 0,
            Self::StepDrive { .. } => onset(steps) + 1,
        }
    }

    /// What the inputs are multiplied by at every step, [T, 1, 1].
    pub fn factor(&self, steps: u32, kind: Kind) -> Result<Option<Tensor>> {
        let Self::Sine {
            level,
            frequency,
            phase,
        } = *self
        else {
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
    // Rounds half away from zero; exact far beyond any length of a sequence.
    (200.0 * f64::from(steps) / 784.0).round() as u32
}

fn per_step(steps: u32, value: impl Fn(u32) -> f64, kind: Kind) -> Result<Tensor> {
    let values: Vec<f64> = (0..steps).map(value).collect();
    from_doubles(&values, &[i64::from(steps), 1, 1], kind)
}
