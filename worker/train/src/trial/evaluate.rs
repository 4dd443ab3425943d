//! The last stage of a trial: evaluation of the trained network under the configured perturbations.
//!
//! Cells that share samples and noise are evaluated side by side. Their sums are in the state, so a
//! checkpoint may be taken between any two batches.

use rheo_core::rng::Purpose;
use rheo_model::config::{Augmentation, EvaluationKind, ShapeMode, TrialConfig};

use super::state::{CellTally, Stage};
use super::{StepOutcome, Trial, diverged};
use crate::Error;
use crate::evaluation::{
    self, EvaluationCell, NoiseSource, Perturbation, PerturbationContext, PerturbedBatch,
};
use crate::network::{Network, RunConditions, ShapeOverride};
use crate::step::Batch;
use crate::task::{Split, Task};

/// Minimum samples per cell in a batch of a group; with fewer, preparing samples costs more than
/// sharing a pass saves.
const FEWEST_SAMPLES: u32 = 8;

impl Trial<'_> {
    /// Runs one batch of the current group of cells.
    pub(super) fn evaluate(&mut self) -> Result<StepOutcome, Error> {
        let group = self.group();
        let Some(&first) = group.first() else { return Ok(StepOutcome::Done) };
        // Before the first batch, or in a checkpoint of a program that evaluated cells one by one.
        if self.state.tallies.len() != group.len() {
            self.state.batch = 0;
            self.state.tallies = vec![CellTally::default(); group.len()];
        }
        let samples = self.samples(&group, first);
        self.evaluate_batch(&group, &samples)?;
        self.state.batch += 1;
        if samples.last().is_some_and(|&last| u64::from(last) + 1 < first.samples) {
            return Ok(StepOutcome::More);
        }
        self.complete(&group)
    }

    /// Returns the next cells, which are evaluated side by side.
    fn group(&self) -> Vec<EvaluationCell> {
        let rest = self.cells.get(self.state.cell as usize..).unwrap_or_default();
        evaluation::group(rest, (self.chunk() / FEWEST_SAMPLES) as usize).to_vec()
    }

    /// Returns the test samples of the next batch of a group.
    fn samples(&self, group: &[EvaluationCell], first: EvaluationCell) -> Vec<u32> {
        let cells = u32::try_from(group.len()).unwrap_or(u32::MAX);
        let chunk = (self.chunk() / cells).max(1);
        let chunk = if self.task.windows(Split::Test).is_some() { 1 } else { chunk };
        let end = u32::try_from(first.samples).unwrap_or(u32::MAX);
        let start = self.state.batch.saturating_mul(chunk).min(end);
        (start..start.saturating_add(chunk).min(end)).collect()
    }

    fn evaluate_batch(&mut self, group: &[EvaluationCell], samples: &[u32]) -> Result<(), Error> {
        let batch = self.task.batch(Split::Test, samples)?;
        // A window of a text holds all columns.
        let per_unit = batch.samples / (samples.len() as u64).max(1);
        let first = u64::from(samples.first().copied().unwrap_or(0)) * per_unit;
        let PerturbedBatch { inputs, drive } = self.perturbed(group, &batch, first)?;
        let shape_override = self.shape_override(group)?;
        let from = self.left_by_the_last(&batch);
        let conditions =
            RunConditions { drive: drive.as_ref(), shape_override: shape_override.as_ref(), from };
        let (logits, last) = self.network.infer(&inputs, conditions, &mut self.stats)?;
        self.carry(last);
        let scores = evaluation::scores(&logits, &batch, group.len())?;
        let weight = batch.weight / batch.samples.max(1);
        for (tally, scores) in self.state.tallies.iter_mut().zip(&scores) {
            tally.add(scores, batch.conditions.as_deref(), weight);
        }
        Ok(())
    }

    /// Whether the shapes of frozen neurons still have to be measured. They are the shapes of
    /// adaptive neurons, averaged over time and all unperturbed test samples, so the first cell
    /// measures them. Other neurons have the same shape in both modes.
    pub(super) fn measures_frozen(&self) -> Result<bool, Error> {
        Ok(self.state.cell == 0 && self.freezes()?)
    }

    /// Whether neurons are evaluated with a shape other than their own.
    pub(super) fn freezes(&self) -> Result<bool, Error> {
        let frozen = self.cells.iter().any(|cell| cell.shape_mode == ShapeMode::Frozen);
        let adapts = self.config.network.kind.has_shape() && self.network.fixed_shape()?.is_none();
        Ok(frozen && adapts)
    }

    /// Returns the shape override for a group of cells.
    fn shape_override(&self, group: &[EvaluationCell]) -> Result<Option<ShapeOverride>, Error> {
        let is_frozen = group.first().is_some_and(|cell| cell.shape_mode == ShapeMode::Frozen);
        match &self.frozen {
            Some(shape) if is_frozen => {
                Ok(Some(ShapeOverride::new(shape, self.network.precision())?))
            }
            _ => Ok(None),
        }
    }

    /// Applies the perturbations of a group to a batch whose first sample is `first`.
    fn perturbed(
        &self,
        group: &[EvaluationCell],
        batch: &Batch,
        first: u64,
    ) -> Result<PerturbedBatch, Error> {
        let perturbations: Vec<Perturbation> = group.iter().map(|cell| cell.perturbation).collect();
        let repetition = group.first().map_or(0, |cell| cell.repetition);
        let seed = self.config.seeds.of(Purpose::Noise, self.config.seed);
        let mut source = NoiseSource::Samples { seed, repetition, first };
        Ok(evaluation::perturb(
            &perturbations,
            &batch.inputs,
            &data(&self.task, &self.network, self.mean),
            &mut source,
        )?)
    }

    /// Reports the cells of a group that has seen all its samples.
    fn complete(&mut self, group: &[EvaluationCell]) -> Result<StepOutcome, Error> {
        let tallies = std::mem::take(&mut self.state.tallies);
        for (cell, tally) in group.iter().zip(&tallies) {
            let is_clean = cell.perturbation == Perturbation::None;
            // Only the loss of the unperturbed network indicates divergence of training.
            if is_clean && cell.shape_mode == ShapeMode::Own && !tally.all.loss().is_finite() {
                return Ok(diverged("loss", tally.all.loss(), "on the unperturbed test data"));
            }
            self.report_cell(cell, tally);
            self.state.cell += 1;
        }
        if let Some(moments) = self.stats.moments() {
            self.frozen = Some(moments.mean()?);
        }
        if self.state.cell as usize == self.cells.len() {
            self.enter(Stage::Done)?;
            return Ok(StepOutcome::Done);
        }
        self.enter(Stage::Evaluate)?;
        Ok(StepOutcome::More)
    }
}

/// Returns the perturbation context of a trial whose training inputs have the `mean` of
/// [`input_mean`].
pub(super) fn data<'a>(task: &'a Task, network: &Network, mean: f64) -> PerturbationContext<'a> {
    PerturbationContext {
        steps: task.steps(),
        mean,
        side: task.image_side(),
        order: task.order(),
        hidden: network.hidden(),
    }
}

/// Returns the mean of the training inputs if a perturbation needs it; computing it reads all
/// inputs.
pub(super) fn input_mean(config: &TrialConfig, task: &Task) -> f64 {
    let contrast = EvaluationKind::Contrast;
    let Augmentation { kind, probability, .. } = config.training.augment;
    let trained = kind == contrast && probability > 0.0;
    if trained || config.evaluate.iter().any(|evaluation| evaluation.kind == contrast) {
        task.input_mean().unwrap_or_default()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use rheo_core::progress::Progress;
    use rheo_model::config::{self, Evaluation, NetworkKind, Precision};
    use rheo_model::trainer::{Commit, NextAction, Session};
    use tch::{Kind, Tensor, no_grad_guard};

    use super::*;
    use crate::shape_stats::ShapeStats;
    use crate::task::SampleLibrary;

    struct SilentSession;

    impl Session for SilentSession {
        fn next(&mut self) -> NextAction {
            NextAction::Continue
        }
        fn progress(&mut self, _: Progress) {}
        fn commit(&mut self, _: Commit) {}
        fn elapsed(&self) -> f64 {
            0.0
        }
    }

    /// Returns a trial of 20 test samples that evaluates the unperturbed network in both modes.
    fn config(kind: NetworkKind) -> TrialConfig {
        let mut config = TrialConfig {
            task: config::Task {
                side: 4,
                train_size: 4,
                validation_size: 4,
                test_size: 20,
                ..config::Task::default()
            },
            network: config::Network { kind, hidden: 3, ..config::Network::default() },
            evaluate: vec![Evaluation {
                shape_mode: vec![ShapeMode::Own, ShapeMode::Frozen],
                ..Evaluation::default()
            }],
            ..TrialConfig::default()
        };
        config.training.epochs = 1;
        config.training.precision = Precision::Float64;
        config
    }

    fn trained(config: &TrialConfig) -> Trial<'_> {
        let mut trial = Trial::begin(config, &SampleLibrary::default(), tch::Device::Cpu).unwrap();
        while trial.step(&mut SilentSession).unwrap() == StepOutcome::More {}
        trial
    }

    #[test]
    fn frozen_neurons_have_their_mean_shape_on_unperturbed_data() {
        let config = config(NetworkKind::Adaptive);
        let trial = trained(&config);
        let batch = trial.task.batch(Split::Test, &(0..20).collect::<Vec<_>>()).unwrap();
        let _guard = no_grad_guard();
        let (mut n, mut s) = (Vec::new(), Vec::new());
        let mut stats = ShapeStats::counting();
        let visit = &mut |step: &crate::network::LayerStep| {
            let shape = step.shape.as_ref().unwrap();
            n.push(shape.n.shallow_clone());
            s.push(shape.s.shallow_clone());
            Ok(())
        };
        trial.network.run(&batch.inputs, RunConditions::default(), &mut stats, visit).unwrap();
        let mean = |values: &[Tensor]| {
            Tensor::stack(values, 0).mean_dim([0i64, 1].as_slice(), false, Kind::Double)
        };
        let shape_override = ShapeOverride { n: mean(&n), s: mean(&s) };
        let conditions =
            RunConditions { shape_override: Some(&shape_override), ..RunConditions::default() };
        let logits = trial.network.logits(&batch.inputs, conditions, &mut stats).unwrap();
        let loss = logits.log_softmax(1, Kind::Double).nll_loss(&batch.targets).double_value(&[]);
        let [own, frozen] = &trial.rows.evaluations[..] else { panic!("not two rows") };
        assert_eq!((own.shape_mode.as_str(), frozen.shape_mode.as_str()), ("own", "frozen"));
        assert!((frozen.loss - loss).abs() < 1e-12, "{} {loss}", frozen.loss);
        assert!((frozen.loss - own.loss).abs() > 1e-9, "{} {}", frozen.loss, own.loss);
    }

    #[test]
    fn neurons_that_do_not_adapt_are_the_same_frozen() {
        for kind in [NetworkKind::Heterogeneous, NetworkKind::Relu, NetworkKind::Lstm] {
            let config = config(kind);
            let trial = trained(&config);
            let [own, frozen] = &trial.rows.evaluations[..] else { panic!("not two rows") };
            assert_eq!(frozen.shape_mode, "frozen");
            assert_eq!((own.loss, own.accuracy), (frozen.loss, frozen.accuracy), "{kind:?}");
        }
    }
}
