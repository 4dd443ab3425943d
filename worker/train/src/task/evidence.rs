//! The evidence task: decide the sign of the mean of a noisy signal (science reference, section 4).
//! Needs no download.
//!
//! The input is silence, then x_t = c + sigma eta_t, then silence of the same length; the label is
//! 1 if the coherence c is positive. Sample i of a split is a function of (seed, split, i), cheap
//! enough to be generated for every batch.

use rheo_core::rng::TrialRng;
use rheo_model::config;
use tch::Kind;

use super::{Split, assemble, buffer};
use crate::Error;
use crate::step::Batch;

/// Signed coherences, all equally likely.
const COHERENCES: [f64; 10] =
    [-0.512, -0.256, -0.128, -0.064, -0.032, 0.032, 0.064, 0.128, 0.256, 0.512];

/// An evidence task.
pub(super) struct EvidenceTask {
    /// Standard deviation of the noise, sigma.
    noise: f64,
    /// Steps with evidence.
    stimulus: usize,
    /// Steps of silence before the evidence, and after it.
    silence: usize,
    seed: u64,
}

impl EvidenceTask {
    pub(super) fn new(task: &config::Task) -> Self {
        Self {
            noise: task.noise,
            stimulus: task.stimulus as usize,
            silence: task.silence as usize,
            seed: task.seed,
        }
    }

    pub(super) fn steps(&self) -> u32 {
        u32::try_from(2 * self.silence + self.stimulus).unwrap_or(u32::MAX)
    }

    /// Returns the given samples of a split, with their coherences as conditions.
    pub(super) fn batch(&self, split: Split, samples: &[u32], kind: Kind) -> Result<Batch, Error> {
        let steps = self.steps() as usize;
        let count = samples.len();
        let mut inputs: Vec<f64> = buffer("the inputs of a batch", steps * count)?;
        let mut coherences = Vec::with_capacity(count);
        for (column, &sample) in samples.iter().enumerate() {
            let mut rng = TrialRng::stream(self.seed, split.stream(sample));
            // The order of the draws is part of the definition: coherence, then step by step.
            let coherence = coherence(&mut rng);
            for step in self.silence..self.silence + self.stimulus {
                inputs[step * count + column] = coherence + self.noise * rng.normal();
            }
            coherences.push(coherence);
        }
        let labels: Vec<i64> = coherences.iter().map(|&c| i64::from(c > 0.0)).collect();
        let batch = assemble(&inputs, [steps, count, 1], &labels, count, kind)?;
        Ok(Batch { conditions: Some(coherences), ..batch })
    }
}

fn coherence(rng: &mut TrialRng) -> f64 {
    let number = rng.below(COHERENCES.len() as u64);
    COHERENCES[usize::try_from(number).unwrap_or_default()]
}
