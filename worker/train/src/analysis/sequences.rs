//! Which test sequences an analysis looks at, how its steps scale with their length, and how the
//! numbers of several sequences become one.

use super::Study;
use crate::Error;
use crate::step::Batch;
use crate::task::Split;
use crate::tensor::length;

/// Steps of the sequences for which the science reference gives steps.
const REFERENCE_STEPS: u64 = 784;

/// Some test sequences of equal length, as many as shall run at once.
pub(super) struct Part {
    /// The samples; of a text, one window.
    samples: Vec<u32>,
    /// The first of the columns of a window and their number; without it, all of the batch.
    columns: Option<[i64; 2]>,
    /// How many sequences these are.
    pub(super) count: usize,
}

/// The first test sequences, as many as the analysis asks for, else `default`, in parts of at most
/// `at_once`. The sequences of a text are the columns of its windows, those of full length, each
/// from rest.
pub(super) fn parts(
    study: &Study<'_>,
    default: u32,
    at_once: usize,
) -> Result<Vec<Part>, Error> {
    let wanted = study.analysis.samples.unwrap_or(default);
    let Some(windows) = study.task.windows(Split::Test) else {
        let there = u32::try_from(study.task.size(Split::Test)).unwrap_or(u32::MAX);
        let samples: Vec<u32> = (0..wanted.min(there)).collect();
        let part = |samples: &[u32]| Part {
            samples: samples.to_vec(),
            columns: None,
            count: samples.len(),
        };
        return Ok(samples.chunks(at_once).map(part).collect());
    };
    let (_, columns, _) = study.task.batch(Split::Test, &[0])?.inputs.size3()?;
    let columns = u64::try_from(columns).unwrap_or(1).max(1);
    let whole = study.task.size(Split::Test) / columns / u64::from(study.task.steps()).max(1);
    let mut parts = Vec::new();
    let mut left = usize::try_from(wanted).unwrap_or(usize::MAX);
    for window in 0..u32::try_from(windows.min(whole)).unwrap_or(u32::MAX) {
        let columns: Vec<usize> = (0..left.min(usize::try_from(columns).unwrap_or(1))).collect();
        for part in columns.chunks(at_once) {
            let range = [length(part[0])?, length(part.len())?];
            parts.push(Part { samples: vec![window], columns: Some(range), count: part.len() });
        }
        left -= columns.len();
    }
    Ok(parts)
}

impl Part {
    /// The sequences as a batch.
    pub(super) fn load(&self, study: &Study<'_>) -> Result<Batch, Error> {
        let mut batch = study.task.batch(Split::Test, &self.samples)?;
        let Some([first, count]) = self.columns else { return Ok(batch) };
        let (steps, columns, _) = batch.inputs.size3()?;
        batch.inputs = batch.inputs.f_narrow(1, first, count)?;
        // A text has a target per step, the steps outermost.
        let targets = batch.targets.f_reshape([steps, columns])?.f_narrow(1, first, count)?;
        batch.targets = targets.f_reshape([-1])?;
        Ok(batch)
    }
}

/// Step `step` of a sequence of 784 steps, in one of `steps` steps: rounded, half up.
pub(super) fn scaled(step: u32, steps: u32) -> u32 {
    let (step, steps) = (u64::from(step), u64::from(steps));
    let scaled = (step * steps + REFERENCE_STEPS / 2) / REFERENCE_STEPS;
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// Mean and standard deviation (of these values, not of a population that they stand for).
pub(super) fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_scale_with_the_sequence() {
        assert_eq!([100, 200, 350].map(|step| scaled(step, 784)), [100, 200, 350]);
        assert_eq!([200, 350].map(|step| scaled(step, 1024)), [261, 457]);
        assert_eq!(scaled(100, 0), 0);
    }

    #[test]
    fn what_is_not_a_number_stays_in_the_moments() {
        assert_eq!(moments(&[1.0, 3.0]), (2.0, 1.0));
        assert!(moments(&[1.0, f64::NAN]).0.is_nan());
        assert_eq!(moments(&[1.0, f64::NEG_INFINITY]).0, f64::NEG_INFINITY);
    }
}
