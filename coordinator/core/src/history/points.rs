//! A table of the points of a sweep with their values, the best first, for samplers that look back.
//!
//! The value of a point comes from all its seeds. The table follows from the reports and ends of
//! the trials and is never stored. Every change costs O(log points), and so does a look at the best
//! few: a sampler need not visit the whole history.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{TrialEnding, TrialHistory};
use crate::metric::Goal;
use crate::ranking::{RankingRule, Score, SeedStatistics};

/// The result of a point as a sampler sees it. Smaller is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PointValue {
    /// Every seed has completed, or those that did not were lost: the loss over the others.
    Completed {
        /// The objective over the seeds by the rule of the sweep; its negative if the objective is
        /// maximized.
        loss: f64,
    },
    /// A seed was pruned: the mean of the last reported losses.
    Pruned {
        /// The last epoch that all its seeds reported.
        epoch: u32,
        /// The mean of the last reports, as above.
        loss: f64,
    },
    /// A seed diverged, or completed without a value.
    Diverged,
}

impl PointValue {
    /// Returns the loss, if there is one.
    pub fn loss(self) -> Option<f64> {
        match self {
            Self::Completed { loss } | Self::Pruned { loss, .. } => Some(loss),
            Self::Diverged => None,
        }
    }

    fn rank(self, point: u64) -> PointRank {
        let score = |loss| Score::new(Some(loss), Goal::Minimize);
        match self {
            Self::Completed { loss } => (0, Reverse(0), score(loss), point),
            Self::Pruned { epoch, loss } => (1, Reverse(epoch), score(loss), point),
            Self::Diverged => (2, Reverse(0), Score::WORST, point),
        }
    }
}

/// Class, epoch, score and number: points that got further are better than those that did not.
pub(crate) type PointRank = (u8, Reverse<u32>, Score, u64);

/// The points of a sweep by their results.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PointTable {
    values: BTreeMap<u64, PointValue>,
    ranked: BTreeSet<PointRank>,
    pending: BTreeSet<u64>,
}

impl PointTable {
    /// Returns the number of points with a value.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no point has a value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the points with a value, the best first.
    pub fn ranked(&self) -> impl Iterator<Item = u64> {
        self.ranked.iter().map(|(_, _, _, point)| *point)
    }

    /// Returns the points with a value, the latest first.
    pub fn latest(&self) -> impl Iterator<Item = u64> {
        self.values.keys().rev().copied()
    }

    /// Returns the points that were suggested and have no result yet, the latest first.
    pub fn pending(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().rev().copied()
    }

    /// Returns the value of `point`, if it has one.
    pub fn value(&self, point: u64) -> Option<PointValue> {
        self.values.get(&point).copied()
    }

    /// Whether `point` was suggested and has no result yet.
    pub(super) fn is_pending(&self, point: u64) -> bool {
        self.pending.contains(&point)
    }

    /// Returns the rank of `point` among those with a value, smaller ones first.
    pub(crate) fn rank(&self, point: u64) -> Option<PointRank> {
        self.value(point).map(|value| value.rank(point))
    }

    /// Records that `point` was suggested.
    pub(super) fn note_suggestion(&mut self, point: u64) {
        if !self.values.contains_key(&point) {
            self.pending.insert(point);
        }
    }

    /// Sets the result of `point` from the past of its trials.
    pub(super) fn update<'t>(
        &mut self,
        point: u64,
        trials: impl Iterator<Item = &'t TrialHistory>,
        rule: RankingRule,
    ) {
        if let Some(old) = self.values.remove(&point) {
            self.ranked.remove(&old.rank(point));
        }
        match result(trials, rule) {
            PointResult::Pending => {
                self.pending.insert(point);
            }
            PointResult::Lost => {
                self.pending.remove(&point);
            }
            PointResult::Known(value) => {
                self.pending.remove(&point);
                self.values.insert(point, value);
                self.ranked.insert(value.rank(point));
            }
        }
    }
}

/// The result of a point from its trials.
enum PointResult {
    /// A seed has not ended.
    Pending,
    /// No seed has a result, and none is left to run.
    Lost,
    /// The point has a value.
    Known(PointValue),
}

fn result<'t>(
    trials: impl Iterator<Item = &'t TrialHistory>,
    RankingRule { seeds, goal, aggregate }: RankingRule,
) -> PointResult {
    let (mut ended, mut losses, mut pruned) = (0, Vec::new(), Vec::new());
    let mut has_diverged = false;
    for trial in trials {
        let Some(ending) = trial.ending else { return PointResult::Pending };
        ended += 1;
        let last = trial.reports.last();
        match ending {
            TrialEnding::Lost => {}
            TrialEnding::Diverged => has_diverged = true,
            TrialEnding::Pruned => match last {
                Some((epoch, value)) => pruned.push((*epoch, loss(*value, goal))),
                None => has_diverged = true,
            },
            TrialEnding::Completed => {
                match trial.value.or(last.map(|(_, value)| *value)).filter(|it| it.is_finite()) {
                    Some(value) => losses.push(loss(value, goal)),
                    None => has_diverged = true,
                }
            }
        }
    }
    if ended < seeds {
        return PointResult::Pending;
    }
    if has_diverged {
        return PointResult::Known(PointValue::Diverged);
    }
    if let Some(epoch) = pruned.iter().map(|(epoch, _)| *epoch).min() {
        losses.extend(pruned.iter().map(|(_, loss)| loss));
        return PointResult::Known(PointValue::Pruned { epoch, loss: mean(&losses) });
    }
    if losses.is_empty() {
        return PointResult::Lost;
    }
    // A loss is minimized whatever the goal of the objective is.
    match aggregate.value(Goal::Minimize, &SeedStatistics::of(&losses)) {
        Some(loss) => PointResult::Known(PointValue::Completed { loss }),
        // Too few seeds are left for the rule.
        None => PointResult::Lost,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Returns the value of an objective as a loss.
fn loss(value: f64, goal: Goal) -> f64 {
    match goal {
        Goal::Minimize => value,
        Goal::Maximize => -value,
    }
}
