//! The position of a trial: the small part of a checkpoint. Together with the tensors it determines
//! the rest of the trial.

use std::collections::BTreeMap;

use rheo_model::config::Metric;
use serde::{Deserialize, Serialize};

use crate::optimizer::UpdateCounts;
use crate::schedule::{EarlyStop, ScheduleState};
use crate::step::Score;

/// Stage of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Analyses after `epoch`.
    #[serde(alias = "shapes")]
    Analyze,
    /// Training in `epoch`.
    Train,
    /// Validation after `epoch`.
    Validate,
    /// Evaluation of the trained network under perturbations.
    Evaluate,
    /// Complete.
    Done,
}

/// Position of a trial, and the sums that are not complete yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialState {
    pub(super) stage: Stage,
    /// Current epoch; -1 before training.
    pub(super) epoch: i32,
    /// Completed batches of the stage.
    pub(super) batch: u32,
    /// Completed cells of the evaluation.
    pub(super) cell: u32,
    /// Completed analyses after the current epoch.
    #[serde(default)]
    pub(super) analysis: u32,
    /// Updates of the optimizer; filled in for a checkpoint.
    pub(super) updates: u64,
    /// Updates per group of parameters; filled in for a checkpoint, and absent in checkpoints of
    /// older programs, in which every group took part in all.
    #[serde(default)]
    pub(super) group_updates: Option<UpdateCounts>,
    /// State of the learning-rate schedule.
    #[serde(default)]
    pub(super) schedule: ScheduleState,
    /// State of early stopping.
    #[serde(default)]
    pub(super) early_stop: EarlyStop,
    /// Stream position of the training samples to resume from; filled in for a checkpoint.
    pub(super) stream: u128,
    /// Training samples of the current epoch.
    pub(super) train: ScoreTotals,
    /// Stream position of the augmenter; filled in for a checkpoint.
    #[serde(default)]
    pub(super) augment: u128,
    /// Samples of the current pass.
    pub(super) pass: ScoreTotals,
    /// Samples of the current cells, side by side; empty before their first batch.
    #[serde(default)]
    pub(super) tallies: Vec<CellTally>,
    /// Sum of the gradient norms in the current epoch.
    #[serde(with = "bits")]
    pub(super) grad_norms: f64,
    /// Replaced gains in the current epoch.
    pub(super) guard_hits: u64,
    /// Negative gains in the current epoch.
    pub(super) negative_gains: u64,
    /// Number of (step, sample) pairs in the shape sums of the current pass; filled in for a
    /// checkpoint.
    pub(super) measured: u64,
    /// Epoch with the highest validation accuracy, and that accuracy.
    pub(super) best: Option<(u32, f64)>,
    /// Latest value of each metric.
    pub(super) metrics: BTreeMap<Metric, f64>,
    /// Seconds of all attempts.
    pub(super) seconds: f64,
    /// Seconds of the current epoch.
    pub(super) epoch_seconds: f64,
}

impl TrialState {
    /// Returns the initial position.
    pub(super) fn start() -> Self {
        Self {
            stage: Stage::Analyze,
            epoch: -1,
            batch: 0,
            cell: 0,
            analysis: 0,
            updates: 0,
            group_updates: None,
            schedule: ScheduleState::default(),
            early_stop: EarlyStop::default(),
            stream: 0,
            train: ScoreTotals::default(),
            augment: 0,
            pass: ScoreTotals::default(),
            tallies: Vec::new(),
            grad_norms: 0.0,
            guard_hits: 0,
            negative_gains: 0,
            measured: 0,
            best: None,
            metrics: BTreeMap::new(),
            seconds: 0.0,
            epoch_seconds: 0.0,
        }
    }

    /// Moves to the first batch of a stage.
    pub(super) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.batch = 0;
        self.analysis = 0;
        self.pass = ScoreTotals::default();
        self.tallies.clear();
    }

    /// Moves to the start of an epoch, with zero sums.
    pub(super) fn begin_epoch(&mut self, epoch: i32) {
        self.epoch = epoch;
        self.train = ScoreTotals::default();
        self.grad_norms = 0.0;
        self.guard_hits = 0;
        self.negative_gains = 0;
        self.epoch_seconds = 0.0;
    }

    /// Returns the number of epochs that are trained and validated.
    pub(super) fn completed_epochs(&self) -> u32 {
        let done = match self.stage {
            Stage::Train | Stage::Validate => self.epoch,
            Stage::Analyze | Stage::Evaluate | Stage::Done => self.epoch.saturating_add(1),
        };
        u32::try_from(done).unwrap_or(0)
    }
}

/// Score sums over samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoreTotals {
    samples: u64,
    #[serde(with = "bits")]
    loss: f64,
    correct: u64,
    scored: u64,
}

impl ScoreTotals {
    pub(super) fn add(&mut self, score: &Score, samples: u64) {
        self.samples += samples;
        self.loss += score.loss * samples as f64;
        self.correct += score.correct;
        self.scored += score.scored;
    }

    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Returns the mean loss over samples.
    pub(super) fn loss(&self) -> f64 {
        self.loss / self.samples as f64
    }

    /// Returns the fraction of correct answers.
    pub(super) fn accuracy(&self) -> f64 {
        self.correct as f64 / self.scored as f64
    }
}

/// Score sums of a cell: of all samples, and per condition of the task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CellTally {
    /// All samples.
    pub(super) all: ScoreTotals,
    /// Conditions seen so far, in ascending order.
    pub(super) conditions: Vec<ConditionTally>,
}

/// Score sums of a cell under one condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConditionTally {
    #[serde(with = "bits")]
    pub(super) condition: f64,
    pub(super) totals: ScoreTotals,
}

impl CellTally {
    /// Adds the scores of samples that weigh `weight` each, with the condition of each sample if
    /// the task has conditions.
    pub(super) fn add(&mut self, scores: &[Score], conditions: Option<&[f64]>, weight: u64) {
        for (sample, score) in scores.iter().enumerate() {
            self.all.add(score, weight);
            if let Some(&condition) = conditions.and_then(|conditions| conditions.get(sample)) {
                self.under(condition).add(score, weight);
            }
        }
    }

    fn under(&mut self, condition: f64) -> &mut ScoreTotals {
        let order = |known: &ConditionTally| known.condition.total_cmp(&condition);
        let place = self.conditions.binary_search_by(order).unwrap_or_else(|place| {
            let totals = ScoreTotals::default();
            self.conditions.insert(place, ConditionTally { condition, totals });
            place
        });
        &mut self.conditions[place].totals
    }
}

/// Serialization of floating-point numbers as bits: JSON has neither NaN nor infinities, and the
/// loss of a perturbed network may be either.
mod bits {
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_all_samples_and_those_of_every_condition() {
        let score = |loss, correct| Score { loss, correct, scored: 2 };
        let mut tally = CellTally::default();
        tally.add(&[score(1.0, 2), score(2.0, 0)], Some(&[0.5, -0.5]), 1);
        tally.add(&[score(4.0, 1)], Some(&[0.5]), 1);
        assert_eq!(
            (tally.all.samples(), tally.all.loss(), tally.all.accuracy()),
            (3, 7.0 / 3.0, 0.5)
        );
        let found: Vec<(f64, u64, f64, f64)> = tally
            .conditions
            .iter()
            .map(|ConditionTally { condition, totals }| {
                (*condition, totals.samples(), totals.loss(), totals.accuracy())
            })
            .collect();
        assert_eq!(found, [(-0.5, 1, 2.0, 0.0), (0.5, 2, 2.5, 0.75)]);
        let text = serde_json::to_string(&tally).unwrap();
        assert_eq!(serde_json::from_str::<CellTally>(&text).unwrap(), tally);
    }
}
