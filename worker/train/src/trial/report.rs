//! Reports of a trial: rows, progress and the final result.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::f64::consts::LN_2;

use rheo_core::metric::{MetricReport, Metrics};
use rheo_core::progress::Progress;
use rheo_model::config::{Metric, ShapeMode};
use rheo_model::row::{EpochRow, EvaluationRow, Summary};
use rheo_model::trainer::{Commit, FinalCommit};

use super::Trial;
use super::state::{CellTally, ConditionTally, ScoreTotals, Stage};
use crate::Error;
use crate::evaluation::{EvaluationCell, Perturbation};
use crate::task::Split;

/// Cost of an update relative to a pass over the same samples.
const UPDATE_COST: f64 = 3.0;

/// Returns the metrics by name, as the engine of sweeps expects them.
fn by_name(metrics: &BTreeMap<Metric, f64>) -> Metrics {
    metrics.iter().map(|(metric, value)| (metric.to_name(), *value)).collect()
}

impl Trial<'_> {
    /// Returns the progress, for display.
    pub(crate) fn progress(&self) -> Progress {
        let mut metrics = self.state.metrics.clone();
        if self.state.stage == Stage::Train && self.state.batch > 0 {
            metrics.insert(Metric::TrainLoss, self.state.train.loss());
            metrics.insert(Metric::TrainAccuracy, self.state.train.accuracy());
        }
        Progress {
            fraction: self.fraction(),
            epoch: self.state.completed_epochs(),
            epochs: self.config.epochs(),
            metrics: by_name(&metrics),
            phase: Cow::Borrowed(match self.state.stage {
                Stage::Analyze => "analysing",
                Stage::Train => "training",
                Stage::Validate => "validating",
                Stage::Evaluate => "evaluating",
                Stage::Done => "done",
            }),
        }
    }

    /// Returns the completed fraction of the work; analyses are not counted.
    fn fraction(&self) -> f64 {
        let size = |split| self.task.size(split) as f64;
        let training = UPDATE_COST * size(Split::Train);
        let epoch = training + size(Split::Validation);
        let trained = f64::from(self.config.epochs()) * epoch;
        let cells =
            |cells: &[EvaluationCell]| cells.iter().map(|cell| cell.samples as f64).sum::<f64>();
        let total = trained + cells(&self.cells);
        let before = f64::from(self.state.completed_epochs()) * epoch;
        let pass = self.state.pass.samples() as f64;
        let done = match self.state.stage {
            Stage::Analyze => before,
            Stage::Train => before + UPDATE_COST * self.state.train.samples() as f64,
            Stage::Validate => before + training + pass,
            Stage::Evaluate => {
                let finished = self.cells.get(..self.state.cell as usize).unwrap_or_default();
                let tallies = self.state.tallies.iter().map(|tally| tally.all.samples() as f64);
                trained + cells(finished) + tallies.sum::<f64>()
            }
            Stage::Done => total,
        };
        done / total
    }

    /// Takes the rows since the last commit, with the checkpoint after them.
    pub(crate) fn commit(&mut self) -> Result<Commit, Error> {
        let checkpoint = self.checkpoint()?;
        Ok(Commit {
            rows: std::mem::take(&mut self.rows),
            reports: std::mem::take(&mut self.reports),
            checkpoint,
            progress: self.progress(),
        })
    }

    /// Returns the final result of the trial.
    pub(crate) fn finish(&mut self) -> Result<FinalCommit, Error> {
        let best = self.state.best;
        let summary = Summary {
            parameters: self.network.trained_count(),
            inputs: self.task.interface().inputs,
            hidden: self.network.hidden(),
            steps: self.task.steps(),
            n0: self.network.n0(),
            epochs: self.state.completed_epochs(),
            best_val_epoch: best.map(|(epoch, _)| epoch),
            best_val_accuracy: best.map(|(_, accuracy)| accuracy),
            device: if self.network.device() == tch::Device::Cpu { "cpu" } else { "cuda" }
                .to_owned(),
            kernel: self.network.backend().name().to_owned(),
            wall_s: self.state.seconds,
        };
        Ok(FinalCommit { metrics: by_name(&self.state.metrics), summary, commit: self.commit()? })
    }

    /// Reports the epoch whose validation is complete.
    pub(super) fn report_epoch(&mut self) -> Result<(), Error> {
        let lr = self.last_rate();
        let state = &mut self.state;
        let metrics = BTreeMap::from([
            (Metric::TrainLoss, state.train.loss()),
            (Metric::TrainAccuracy, state.train.accuracy()),
            (Metric::ValidationLoss, state.pass.loss()),
            (Metric::ValidationAccuracy, state.pass.accuracy()),
        ]);
        let epoch = u32::try_from(state.epoch).unwrap_or(0);
        let accuracy = state.pass.accuracy();
        if state.best.is_none_or(|(_, best)| accuracy > best) {
            state.best = Some((epoch, accuracy));
        }
        state.metrics.extend(&metrics);
        self.reports.push(MetricReport { epoch, metrics: by_name(&metrics) });
        let bits = self.bits(self.state.pass.loss());
        let state = &self.state;
        let spread = match (self.network.fixed_shape()?, self.stats.moments()) {
            (Some(shape), _) => Some(shape.spread()),
            (None, Some(moments)) => Some(moments.spread()?),
            (None, None) => None,
        };
        self.rows.epochs.push(EpochRow {
            epoch: state.epoch,
            train_loss: state.train.loss(),
            train_accuracy: state.train.accuracy(),
            val_loss: state.pass.loss(),
            val_accuracy: accuracy,
            val_bpc: bits,
            lr,
            grad_norm: state.grad_norms / self.task.updates() as f64,
            n_mean: spread.map(|spread| spread.n_mean),
            n_std: spread.map(|spread| spread.n_std),
            s_mean: spread.map(|spread| spread.s_mean),
            s_std: spread.map(|spread| spread.s_std),
            gain_guard_hits: state.guard_hits,
            negative_gains: state.negative_gains,
            wall_s: state.epoch_seconds,
        });
        Ok(())
    }

    /// Returns a loss in bits per character, for tasks that predict characters.
    fn bits(&self, loss: f64) -> Option<f64> {
        self.task.windows(Split::Test).map(|_| loss / LN_2)
    }

    /// Reports a cell that has seen all its samples: one row for all, one per condition.
    pub(super) fn report_cell(&mut self, cell: &EvaluationCell, tally: &CellTally) {
        if cell.perturbation == Perturbation::None && cell.shape_mode == ShapeMode::Own {
            self.state.metrics.insert(Metric::TestLoss, tally.all.loss());
            self.state.metrics.insert(Metric::TestAccuracy, tally.all.accuracy());
        }
        let all = self.evaluation_row(cell, None, &tally.all);
        self.rows.evaluations.push(all);
        for ConditionTally { condition, totals } in &tally.conditions {
            let row = self.evaluation_row(cell, Some(*condition), totals);
            self.rows.evaluations.push(row);
        }
    }

    fn evaluation_row(
        &self,
        cell: &EvaluationCell,
        condition: Option<f64>,
        totals: &ScoreTotals,
    ) -> EvaluationRow {
        let (accuracy, count) = (totals.accuracy(), totals.samples());
        let wave = cell.perturbation.wave();
        EvaluationRow {
            epoch: self.state.epoch,
            split: "test".to_owned(),
            perturbation: cell.perturbation.name().to_owned(),
            level: cell.perturbation.level(),
            frequency: wave.map(|wave| wave.frequency),
            phase: wave.map(|wave| wave.phase),
            from_step: cell.perturbation.first_step(self.task.steps()),
            repetition: cell.repetition,
            shape_mode: cell.shape_mode.name().to_owned(),
            condition,
            count,
            accuracy,
            loss: totals.loss(),
            bpc: self.bits(totals.loss()),
            stderr: (accuracy * (1.0 - accuracy) / count as f64).sqrt(),
        }
    }
}
