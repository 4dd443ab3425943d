//! Test sequences of an analysis, in batches that fit into memory, and moments over sequences.

use tch::Tensor;

use super::Study;
use crate::Error;
use crate::step::Batch;
use crate::task::Split;
use crate::tensor::length;

/// Some test sequences of equal length that run in one batch.
pub(super) struct SequenceBatch {
    /// Sample indices; of a text, one window.
    samples: Vec<u32>,
    /// First column and number of columns of a window; none if the whole batch is used.
    columns: Option<[i64; 2]>,
    /// Number of sequences.
    pub(super) count: usize,
}

/// Test sequences of equal length.
pub(super) struct TestSequences {
    /// Inputs [T, B, I].
    pub(super) inputs: Tensor,
    /// Target classes, one per row of the logits of [`crate::network::Network::logits`].
    pub(super) targets: Tensor,
}

/// Returns the first test sequences, as many as the analysis configures, else `default`, in batches
/// of at most `at_once`. The sequences of a text are the columns of its full-length windows, each
/// from rest.
pub(super) fn parts(
    study: &Study<'_>,
    default: u32,
    at_once: usize,
) -> Result<Vec<SequenceBatch>, Error> {
    let wanted = study.analysis.samples.unwrap_or(default);
    let Some(windows) = study.task.windows(Split::Test) else {
        let there = u32::try_from(study.task.size(Split::Test)).unwrap_or(u32::MAX);
        let samples: Vec<u32> = (0..wanted.min(there)).collect();
        let part = |samples: &[u32]| SequenceBatch {
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
            parts.push(SequenceBatch {
                samples: vec![window],
                columns: Some(range),
                count: part.len(),
            });
        }
        left -= columns.len();
    }
    Ok(parts)
}

impl SequenceBatch {
    /// Loads the sequences.
    pub(super) fn load(&self, study: &Study<'_>) -> Result<TestSequences, Error> {
        let Batch { inputs, targets, .. } = study.task.batch(Split::Test, &self.samples)?;
        let Some([first, count]) = self.columns else {
            return Ok(TestSequences { inputs, targets });
        };
        let (steps, columns, _) = inputs.size3()?;
        // A text has one target per step; steps are the outermost dimension.
        let targets = targets.f_reshape([steps, columns])?.f_narrow(1, first, count)?;
        let inputs = inputs.f_narrow(1, first, count)?;
        Ok(TestSequences { inputs, targets: targets.f_reshape([-1])? })
    }
}

/// Mean and standard deviation of some values.
#[derive(Debug, PartialEq)]
pub(super) struct MeanStd {
    /// Mean.
    pub(super) mean: f64,
    /// Standard deviation of these values; not an estimate for a larger population.
    pub(super) std: f64,
}

/// Returns the mean and standard deviation of `values`.
pub(super) fn moments(values: &[f64]) -> MeanStd {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    MeanStd { mean, std: variance.sqrt() }
}

#[cfg(test)]
mod tests {
    use rheo_core::rng::{Purpose, TrialRng};
    use rheo_model::config::{
        self, Analysis, AnalysisKind, LyapunovMode, NetworkKind, TaskKind, TrialConfig,
    };

    use super::*;
    use crate::network::Network;
    use crate::task::{SampleLibrary, Task};

    #[test]
    fn nan_stays_in_the_moments() {
        assert_eq!(moments(&[1.0, 3.0]), MeanStd { mean: 2.0, std: 1.0 });
        assert!(moments(&[1.0, f64::NAN]).mean.is_nan());
        assert!(moments(&[1.0, f64::NEG_INFINITY]).mean < f64::MIN);
    }

    #[test]
    fn the_sequences_of_a_text_are_columns_of_whole_windows() {
        let task = config::Task {
            kind: TaskKind::CharLm,
            length: 1200,
            window: 12,
            eval_batch: 4,
            embedding: 3,
            ..config::Task::default()
        };
        let network = config::Network {
            kind: NetworkKind::Adaptive,
            hidden: 5,
            controller: 3,
            ..config::Network::default()
        };
        let config = TrialConfig { task, network, ..TrialConfig::default() };
        let task = Task::load(&config, &SampleLibrary::default()).unwrap();
        let mut rng = TrialRng::new(1, Purpose::Init);
        let network =
            Network::new(&config.network, task.interface(), tch::Kind::Float, &mut rng).unwrap();
        let rows = |analysis: &Analysis| {
            let (task, network) = (&task, &network);
            let study = Study {
                config: &config,
                analysis,
                epoch: 0,
                task,
                network,
                initial: None,
                phase: "trained",
            };
            (counts(&study), study.run(&mut || Ok(())).unwrap())
        };
        let analysis = |kind| Analysis { kind, samples: Some(6), ..Analysis::default() };
        let modes = vec![LyapunovMode::Autonomous, LyapunovMode::Driven, LyapunovMode::Frozen];
        let lyapunov = Analysis {
            mode: Some(modes),
            exponents: 2,
            steps: 20,
            level: Some(vec![1.0]),
            ..analysis(AnalysisKind::Lyapunov)
        };
        let (counts, found) = rows(&lyapunov);
        assert_eq!(counts, [3, 1, 2]);
        let of = |mode: &str| found.lyapunov.iter().filter(move |row| row.mode == mode).count();
        assert_eq!(["autonomous", "driven", "frozen"].map(of), [4, 2, 16]);
        assert!(found.lyapunov[4..6].iter().all(|row| row.sequences == 6 && row.window_end == 12));
        let found = rows(&analysis(AnalysisKind::MutualInformation)).1.mutual_information;
        assert!(!found.is_empty() && found.iter().all(|row| row.sequences == 6));
        let found = rows(&analysis(AnalysisKind::Jacobian)).1.jacobian;
        assert!(found.len() == 2 && found.iter().all(|row| row.samples == 6));
        assert_eq!(rows(&analysis(AnalysisKind::Gradients)).1.gradients.len(), 12 + 12 + 3);
        // A test text of 120 symbols has exactly two whole windows of four columns.
        let many = Analysis { samples: Some(100), ..analysis(AnalysisKind::Jacobian) };
        assert_eq!(rows(&many).1.jacobian[0].samples, 8);
    }

    /// Returns the sizes of the batches, at most three sequences each.
    fn counts(study: &Study<'_>) -> Vec<usize> {
        let parts = parts(study, 100, 3).unwrap();
        for part in &parts {
            let TestSequences { inputs, targets } = part.load(study).unwrap();
            let columns = i64::try_from(part.count).unwrap();
            assert_eq!(inputs.size(), [12, columns, 1]);
            // The target of a step is the input of the next.
            let targets = targets.view([12, columns]);
            let ahead = inputs.squeeze_dim(-1).narrow(0, 1, 11);
            assert_eq!(ahead.to_kind(tch::Kind::Int64), targets.narrow(0, 0, 11));
        }
        parts.iter().map(|part| part.count).collect()
    }
}
