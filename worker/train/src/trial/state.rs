//! Where a trial is: the small part of a checkpoint. With the tensors beside it, it determines
//! everything that follows.

use std::collections::BTreeMap;

use rheo_model::config::Metric;
use serde::{Deserialize, Serialize};

use crate::optimizer::UpdateCounts;
use crate::schedule::{EarlyStop, ScheduleState};
use crate::step::Score;

/// What a trial does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Make the analyses after `epoch`.
    #[serde(alias = "shapes")]
    Analyze,
    /// Train `epoch`.
    Train,
    /// Test on the validation samples after `epoch`.
    Validate,
    /// Test the trained network under the perturbations.
    Evaluate,
    /// Nothing.
    Done,
}

/// The position of a trial and the sums that are not complete yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialState {
    pub(super) stage: Stage,
    /// The epoch in work, -1 before training.
    pub(super) epoch: i32,
    /// Batches of the stage that are done.
    pub(super) batch: u32,
    /// Cells of the evaluation that are done.
    pub(super) cell: u32,
    /// Analyses after the epoch in work that are done.
    #[serde(default)]
    pub(super) analysis: u32,
    /// Updates that the optimizer has made; filled in when a checkpoint is made.
    pub(super) updates: u64,
    /// How many of them each group of parameters took part in; filled in when a checkpoint is made,
    /// and absent in those of programs in which every group took part in all.
    #[serde(default)]
    pub(super) group_updates: Option<UpdateCounts>,
    /// Where the learning rate is.
    #[serde(default)]
    pub(super) schedule: ScheduleState,
    /// Whether training still helps.
    #[serde(default)]
    pub(super) early_stop: EarlyStop,
    /// Where the random stream of the training samples must stand to go on; filled in when a
    /// checkpoint is made.
    pub(super) stream: u128,
    /// The training samples of the epoch in work.
    pub(super) train: ScoreTotals,
    /// Where the random stream of the perturbed training batches stands; filled in when a
    /// checkpoint is made.
    #[serde(default)]
    pub(super) augment: u128,
    /// The samples of the pass in work.
    pub(super) pass: ScoreTotals,
    /// The samples of the cells in work, side by side; none before their first batch.
    #[serde(default)]
    pub(super) tallies: Vec<CellTally>,
    /// The norms of the gradients of the epoch in work.
    #[serde(with = "bits")]
    pub(super) grad_norms: f64,
    /// Replaced gains in the epoch in work.
    pub(super) guard_hits: u64,
    /// Negative gains in the epoch in work.
    pub(super) negative_gains: u64,
    /// How many gains the sums of the pass in work hold, per neuron; filled in when a checkpoint is
    /// made.
    pub(super) measured: u64,
    /// The epoch with the highest validation accuracy, and that accuracy.
    pub(super) best: Option<(u32, f64)>,
    /// The newest value of every metric.
    pub(super) metrics: BTreeMap<Metric, f64>,
    /// Seconds of all attempts.
    pub(super) seconds: f64,
    /// Seconds of the epoch in work.
    pub(super) epoch_seconds: f64,
}

impl TrialState {
    /// Before anything was done.
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

    /// At the first batch of a stage.
    pub(super) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.batch = 0;
        self.analysis = 0;
        self.pass = ScoreTotals::default();
        self.tallies.clear();
    }

    /// At the start of an epoch, with none of its samples seen.
    pub(super) fn begin_epoch(&mut self, epoch: i32) {
        self.epoch = epoch;
        self.train = ScoreTotals::default();
        self.grad_norms = 0.0;
        self.guard_hits = 0;
        self.negative_gains = 0;
        self.epoch_seconds = 0.0;
    }

    /// Epochs that are trained and validated.
    pub(super) fn completed_epochs(&self) -> u32 {
        let done = match self.stage {
            Stage::Train | Stage::Validate => self.epoch,
            Stage::Analyze | Stage::Evaluate | Stage::Done => self.epoch.saturating_add(1),
        };
        u32::try_from(done).unwrap_or(0)
    }
}

/// Sums over samples.
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

    /// The mean over samples.
    pub(super) fn loss(&self) -> f64 {
        self.loss / self.samples as f64
    }

    /// The share that was right.
    pub(super) fn accuracy(&self) -> f64 {
        self.correct as f64 / self.scored as f64
    }
}

/// The samples of a cell: all, and those of every condition that the task tells apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CellTally {
    /// All samples.
    pub(super) all: ScoreTotals,
    /// The conditions that were met, in ascending order.
    pub(super) conditions: Vec<ConditionTally>,
}

/// The samples of a cell under one condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConditionTally {
    #[serde(with = "bits")]
    pub(super) condition: f64,
    pub(super) totals: ScoreTotals,
}

impl CellTally {
    /// Takes in the scores of samples that weigh `weight` each, with the condition of every sample
    /// where the task tells conditions apart.
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

/// Floating-point numbers as their bits: JSON has neither NaN nor infinities, and the sum of the
/// losses of a perturbed network may be one.
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
