//! Code shared by the analyses of driven adaptive networks: test sequences, drive windows, and
//! moments of gain and saturation.

use rheo_core::rng::Purpose;
use rheo_model::config::NetworkKind;
use tch::{Kind, Result, Tensor};

use super::Study;
use crate::evaluation::NoiseSource;
use crate::task::Split;
use crate::tensor::to_double;

/// Length of the sequences for which the science reference gives windows.
const REFERENCE_STEPS: u64 = 784;

/// Test sequences per batch.
const BATCH: usize = 50;

/// Scales step number `step` of 784 to a sequence of `steps`: round(step T / 784), halves up. All
/// windows use this rule.
pub(super) fn scaled(step: u32, steps: u32) -> u32 {
    let product = u64::from(step) * u64::from(steps);
    u32::try_from((product + REFERENCE_STEPS / 2) / REFERENCE_STEPS).unwrap_or(u32::MAX)
}

impl Study<'_> {
    /// Whether the neurons of the network have a controller.
    pub(super) fn is_adaptive(&self) -> bool {
        self.network.kind() == NetworkKind::Adaptive
    }

    /// Returns the drive strengths.
    pub(super) fn levels(&self, default: &[f64]) -> Vec<f64> {
        self.analysis.level.clone().unwrap_or_else(|| default.to_vec())
    }

    /// Returns the first test sequences, as many as configured or `default`, in the batches that
    /// [`Task::batch`](crate::task::Task::batch) builds. For a text, whose window columns are the
    /// sequences, returns whole windows, each starting at rest.
    pub(super) fn test_batches(&self, default: u32) -> Vec<Vec<u32>> {
        let wanted = u64::from(self.analysis.samples.unwrap_or(default));
        let size = self.task.size(Split::Test);
        let numbers = |count: u64| 0..u32::try_from(count).unwrap_or(u32::MAX);
        let Some(columns) = self.columns() else {
            let samples: Vec<u32> = numbers(wanted.min(size)).collect();
            return samples.chunks(BATCH).map(<[u32]>::to_vec).collect();
        };
        let complete = size / columns / u64::from(self.task.steps().max(1));
        numbers(wanted.div_ceil(columns).min(complete)).map(|window| vec![window]).collect()
    }

    /// Returns the number of sequences per window of the test set, for texts.
    fn columns(&self) -> Option<u64> {
        let columns = self.config.task.eval_batch.max(1);
        self.task.windows(Split::Test).map(|_| columns.into())
    }

    /// Returns standard normal numbers [`steps`, B, H] for a batch of [`Study::test_batches`]: the
    /// draws of the first repetition of the noise drive at evaluation. Sequences of a text are
    /// numbered window by window.
    pub(super) fn neuron_noise(&self, batch: &[u32], steps: u32) -> Result<Tensor> {
        let seed = self.config.seeds.of(Purpose::Noise, self.config.seed);
        let columns = self.columns().unwrap_or(1);
        let first = u64::from(batch.first().copied().unwrap_or(0)) * columns;
        let count = batch.len() as u64 * columns;
        let size = [u64::from(steps), count, self.network.hidden().into()];
        let size = size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let mut source = NoiseSource::Samples { seed, repetition: 0, first };
        source.normals(size, self.network.precision())
    }
}

/// Count, mean and sum of squared deviations of numbers that arrive in batches.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct RunningMoments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl RunningMoments {
    /// Adds all elements of `values` (Chan, Golub and LeVeque 1983: unlike sums of squares, this
    /// does not cancel for small deviations).
    pub(super) fn add(&mut self, values: &Tensor) -> Result<()> {
        let values = values.f_to_dtype(Kind::Double, false, false)?;
        let count = values.numel() as f64;
        let mean = to_double(&values.f_mean(Kind::Double)?)?;
        let squares = to_double(&values.f_sub_scalar(mean)?.f_square()?.f_sum(Kind::Double)?)?;
        let (total, difference) = (self.count + count, mean - self.mean);
        self.squares += squares + difference.powi(2) * self.count * count / total;
        self.mean += difference * count / total;
        self.count = total;
        Ok(())
    }

    /// Returns the mean; NaN if empty.
    pub(super) fn mean(&self) -> f64 {
        if self.count > 0.0 { self.mean } else { f64::NAN }
    }

    /// Returns the standard deviation; NaN if empty.
    pub(super) fn deviation(&self) -> f64 {
        (self.squares / self.count).sqrt()
    }
}

#[cfg(test)]
mod tests;
