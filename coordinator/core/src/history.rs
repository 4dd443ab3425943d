//! The history of a sweep for samplers and pruners: the suggested points, and the reports and the
//! end of each trial.
//!
//! It keeps only what the sampler and the pruner read ([`HistoryRetention`]), so the history of a
//! large grid holds the running trials only. The state machine owns it, and events change it.
//! Everything that grows with the number of trials is stored in chunks ([`crate::chunked_map`]).

mod epoch_ranks;
mod points;
mod settled;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use epoch_ranks::EpochStanding;
pub use points::{PointTable, PointValue};
pub use settled::SettledPoints;

use epoch_ranks::EpochRanks;

use crate::chunked_map::ChunkedMap;
use crate::metric::Goal;
use crate::pruner::Comparison;
use crate::ranking::{AggregateRule, RankingRule, Score};
use crate::sampler::Suggestion;
use crate::skip_eq::SkipEq;
use crate::space::Point;

/// The parts of a history that must be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRetention {
    /// Suggestions, for a sampler that reads earlier ones.
    pub points: bool,
    /// Reports of ended trials, for a sampler or pruner that compares with them.
    pub reports: bool,
}

/// The past of a sweep. Its serialized form holds only the settings; the rest is stored in chunks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    keeps: HistoryRetention,
    /// The number of seeds at each point.
    #[serde(default)]
    seeds: u64,
    /// The direction in which the objective improves.
    #[serde(default)]
    goal: Goal,
    /// The rule by which the seeds of a point give one value.
    #[serde(default)]
    aggregate: AggregateRule,
    /// The number of changes so far.
    #[serde(default)]
    version: u64,
    #[serde(skip)]
    suggestions: Vec<Suggestion>,
    /// The number of suggestions that are stored.
    #[serde(skip)]
    stored: SkipEq<usize>,
    /// The points of the suggestions. They follow from the suggestions, so they are not stored.
    #[serde(skip)]
    points: HashSet<Arc<Point>>,
    #[serde(skip)]
    trials: ChunkedMap<TrialHistory>,
    /// The points by their results; empty unless points and reports are kept.
    #[serde(skip)]
    table: PointTable,
    /// The points whose results are known in order; kept with `table`.
    #[serde(skip)]
    settled: SettledPoints,
    /// The order of trials where a pruner compares them. It follows from `trials`.
    #[serde(skip)]
    ranks: SkipEq<EpochRanks>,
}

/// The past of a trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrialHistory {
    /// The reported epochs in order, each with the value of the objective, if it is finite.
    pub reports: Vec<(u32, f64)>,
    /// The end, if the trial has ended.
    pub ending: Option<TrialEnding>,
    /// The final value of the objective, if the trial completed with one.
    #[serde(default)]
    pub value: Option<f64>,
    /// The epochs whose value was not finite, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_finite: Vec<u32>,
    /// The numbers of epochs before and after the newest commit that is to be judged.
    #[serde(default)]
    pub judged: (u32, u32),
    /// The rung at which the trial is parked, in epochs. Its ending is then that of a pruned trial.
    #[serde(default)]
    pub parked: Option<u32>,
    /// The number of epochs at which a pruner stopped or parked the trial. It may have more, because
    /// a commit can hold several; in those it is compared with no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_until: Option<u32>,
}

impl TrialHistory {
    /// Returns the number of epochs up to the last reported one.
    pub fn epochs(&self) -> u32 {
        let finite = self.reports.last().map(|(epoch, _)| *epoch);
        let last = finite.max(self.not_finite.last().copied());
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// Returns the number of epochs in which the trial is compared with others.
    pub(crate) fn compared_epochs(&self) -> u32 {
        self.compared_until.map_or(self.epochs(), |until| until.min(self.epochs()))
    }

    /// Returns the score of the first value that was reported after `epochs` epochs or later; the
    /// worst if that value is not finite.
    pub(crate) fn score_after(&self, epochs: u32, goal: Goal) -> Score {
        let first = epochs.saturating_sub(1);
        let at = self.reports.partition_point(|(epoch, _)| *epoch < first);
        let gap = self.not_finite.partition_point(|epoch| *epoch < first);
        match (self.reports.get(at), self.not_finite.get(gap)) {
            (Some((epoch, _)), Some(gap)) if gap < epoch => Score::WORST,
            (Some((_, value)), _) => Score::new(Some(*value), goal),
            (None, _) => Score::WORST,
        }
    }
}

/// The end of a trial as samplers and pruners see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialEnding {
    /// The trial completed; its last report counts.
    Completed,
    /// The loss became NaN or infinite.
    Diverged,
    /// A pruner stopped the trial.
    Pruned,
    /// The trial was cancelled or failed: nothing is known of its point.
    Lost,
}

/// The number of suggestions per chunk.
const CHUNK_SUGGESTIONS: usize = 1024;

impl History {
    /// Creates an empty history of points with `seeds` trials each.
    pub fn new(keeps: HistoryRetention, seeds: u64, goal: Goal) -> Self {
        Self { keeps, seeds: seeds.max(1), goal, ..Self::default() }
    }

    /// Sets the rule by which the seeds of a point give one value.
    #[must_use]
    pub fn with_aggregate(self, aggregate: AggregateRule) -> Self {
        Self { aggregate, ..self }
    }

    /// Returns the number of changes so far. Two histories of a sweep that have the same version are
    /// equal.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the points by their results; empty unless points and reports are kept.
    pub fn points(&self) -> &PointTable {
        &self.table
    }

    /// Returns the settled points; none unless points and reports are kept.
    pub fn settled(&self) -> &SettledPoints {
        &self.settled
    }

    /// Returns the suggestions in order; empty if they are not kept.
    pub fn suggestions(&self) -> &[Suggestion] {
        &self.suggestions
    }

    /// Whether `point` has been suggested; false if suggestions are not kept.
    pub fn contains(&self, point: &Point) -> bool {
        self.points.contains(point)
    }

    /// Returns the past of `trial`.
    pub fn trial(&self, trial: u64) -> Option<&TrialHistory> {
        self.trials.get(&trial)
    }

    /// Returns every trial with a past, in order.
    pub fn trials(&self) -> impl Iterator<Item = (u64, &TrialHistory)> {
        self.trials.iter().map(|(index, trial)| (*index, trial))
    }

    /// Keeps the order of trials for `comparison`, by their values so far too.
    pub fn compare(&mut self, comparison: Comparison) {
        self.ranks = SkipEq(EpochRanks::new(comparison, self.goal, self.trials()));
    }

    /// Whether the order of trials is consistent with their reports.
    pub(crate) fn is_ranked(&self) -> bool {
        self.ranks.0.rebuilt(self.trials()) == self.ranks.0
    }

    /// Returns the standings of `trial` at the numbers of epochs that its newest commit added.
    pub fn crossed(&self, trial: u64) -> Vec<EpochStanding> {
        let Some(known) = self.trial(trial) else { return Vec::new() };
        let (before, after) = known.judged;
        let ranks = &self.ranks.0;
        let added = ranks.comparison().between(trial, before, after).into_iter();
        added.filter_map(|epochs| ranks.standing(trial, known, epochs)).collect()
    }

    /// Returns the parked trials that are among the best `quota` of the trials that have reached
    /// their rung, those of the highest rung first, the best first.
    pub(crate) fn promotable(&self, quota: impl Fn(usize) -> usize) -> Vec<u64> {
        self.ranks.0.promotable(quota)
    }

    /// Returns the best parked trial of the highest rung.
    pub(crate) fn best_parked(&self) -> Option<u64> {
        self.ranks.0.best_parked()
    }

    /// Returns the score at `position`, from 0, among the trials that are compared with `trial`
    /// after `epochs` epochs.
    pub(crate) fn score_at(&self, trial: u64, epochs: u32, position: usize) -> Option<Score> {
        self.ranks.0.score_at(trial, epochs, position)
    }

    /// Returns the best score of `trial` in its first `epochs` epochs.
    pub(crate) fn best_score(&self, trial: u64, epochs: u32) -> Option<Score> {
        let known = self.trial(trial)?;
        let until = known.reports.partition_point(|(epoch, _)| *epoch < epochs);
        let values = known.reports.get(..until).unwrap_or_default();
        let scores = values.iter().map(|(_, value)| Score::new(Some(*value), self.goal));
        scores.min().or(Some(Score::WORST))
    }

    /// Returns the trials as they are stored.
    pub(crate) fn chunked_trials(&self) -> &ChunkedMap<TrialHistory> {
        &self.trials
    }

    /// Returns the chunks with suggestions that are not stored yet, and their numbers. The first of
    /// them may be partly stored.
    pub(crate) fn changed_suggestions(&self) -> impl Iterator<Item = (u64, &[Suggestion])> {
        let (stored, count) = (self.stored.0, self.suggestions.len());
        let chunks = (0..).zip(self.suggestions.chunks(CHUNK_SUGGESTIONS));
        chunks.skip(stored / CHUNK_SUGGESTIONS).filter(move |_| stored < count)
    }

    /// Restores stored trials.
    pub(crate) fn restore_trials(&mut self, trials: Vec<(u64, TrialHistory)>) {
        let points: BTreeSet<u64> = trials.iter().map(|(trial, _)| self.point_of(*trial)).collect();
        self.trials.restore(trials);
        for point in points {
            self.update_point(point);
        }
    }

    /// Restores a chunk of stored suggestions; returns false if it is not the next chunk.
    pub(crate) fn restore_suggestions(&mut self, number: u64, chunk: Vec<Suggestion>) -> bool {
        let is_next = number * CHUNK_SUGGESTIONS as u64 == self.suggestions.len() as u64;
        for suggestion in chunk {
            self.push_suggestion(suggestion);
        }
        self.stored = SkipEq(self.suggestions.len());
        is_next
    }

    /// Records that chunk `number` of the trials is stored as it is now.
    pub(crate) fn mark_trials_stored(&mut self, number: u64) {
        self.trials.mark_stored(number);
    }

    /// Records that chunk `number` of the suggestions, and every chunk before it, is stored as it
    /// is now.
    pub(crate) fn mark_suggestions_stored(&mut self, number: u64) {
        let end = usize::try_from(number + 1).map_or(usize::MAX, |next| next * CHUNK_SUGGESTIONS);
        self.stored = SkipEq(end.min(self.suggestions.len()));
    }

    /// Records that everything is stored as it is now.
    pub(crate) fn mark_all_stored(&mut self) {
        self.trials.mark_all_stored();
        self.stored = SkipEq(self.suggestions.len());
    }

    /// Records the next suggestion.
    pub fn record_suggestion(&mut self, suggestion: &Suggestion) {
        self.version += 1;
        if self.keeps.points {
            self.push_suggestion(suggestion.clone());
        }
    }

    fn push_suggestion(&mut self, suggestion: Suggestion) {
        let number = self.suggestions.len() as u64;
        self.points.insert(Arc::clone(&suggestion.point));
        self.suggestions.push(suggestion);
        if self.keeps.points && self.keeps.reports {
            self.table.note_suggestion(number);
            self.settle(number);
        }
    }

    /// Records the value of the objective of `trial` after `epoch`. Repeated and late epochs are
    /// ignored; of a value that is not finite, only the epoch is kept.
    pub fn record_report(&mut self, trial: u64, epoch: u32, value: f64) {
        self.version += 1;
        let past = self.trials.get_or_insert_with(trial, TrialHistory::default);
        if epoch < past.epochs() {
            return;
        }
        let before = past.compared_epochs();
        if value.is_finite() {
            past.reports.push((epoch, value));
        } else {
            past.not_finite.push(epoch);
        }
        self.ranks.0.add(trial, past, before);
    }

    /// Records that the epochs of `trial` that were reported since it was last judged are to be
    /// judged.
    pub(crate) fn record_judgement(&mut self, trial: u64) {
        self.version += 1;
        if let Some(past) = self.trials.get_mut(trial) {
            past.judged = (past.judged.1, past.epochs());
        }
    }

    /// Records that a pruner stopped or parked `trial` at a number of epochs. It is compared with no
    /// other beyond them, so that a trial that lost does not make others lose.
    pub(crate) fn record_stop(&mut self, trial: u64, epochs: u32) {
        self.version += 1;
        let past = self.trials.get_or_insert_with(trial, TrialHistory::default);
        self.ranks.0.compare_until(trial, past, Some(epochs));
    }

    /// Records that `trial` is parked at a rung, a number of epochs. Further rungs that it has
    /// crossed are judged when it has resumed.
    pub(crate) fn record_parked(&mut self, trial: u64, rung: u32) {
        self.version += 1;
        let past = self.trials.get_or_insert_with(trial, TrialHistory::default);
        past.judged = (past.judged.0.min(rung), rung);
        self.ranks.0.compare_until(trial, past, Some(rung));
        (past.ending, past.parked) = (Some(TrialEnding::Pruned), Some(rung));
        self.ranks.0.park(trial, past);
        self.update_point(self.point_of(trial));
    }

    /// Removes the reports and the end of `trial`, which restarts.
    pub fn forget(&mut self, trial: u64) {
        self.version += 1;
        self.remove(trial);
        self.update_point(self.point_of(trial));
    }

    /// Records the end of `trial` and the final value of its objective, or forgets it if ended
    /// trials are not kept.
    pub fn record_end(&mut self, trial: u64, ending: TrialEnding, value: Option<f64>) {
        self.version += 1;
        if !self.keeps.reports {
            return self.remove(trial);
        }
        let past = self.trials.get_or_insert_with(trial, TrialHistory::default);
        self.ranks.0.unpark(trial, past);
        (past.ending, past.value, past.parked) = (Some(ending), value, None);
        if ending == TrialEnding::Diverged {
            self.ranks.0.add_diverged(trial, past);
        }
        self.update_point(self.point_of(trial));
    }

    /// Records that `trial`, which was parked or had ended without a result, runs again.
    pub fn reopen(&mut self, trial: u64) {
        self.version += 1;
        if let Some(past) = self.trials.get_mut(trial) {
            self.ranks.0.unpark(trial, past);
            (past.ending, past.parked) = (None, None);
            self.ranks.0.compare_until(trial, past, None);
            self.update_point(self.point_of(trial));
        }
    }

    fn remove(&mut self, trial: u64) {
        if let Some(past) = self.trials.remove(trial) {
            self.ranks.0.remove(trial, &past);
        }
    }

    fn point_of(&self, trial: u64) -> u64 {
        trial / self.seeds.max(1)
    }

    fn update_point(&mut self, point: u64) {
        if self.keeps.points && self.keeps.reports {
            let first = point * self.seeds;
            let trials = self.trials.range(first..first + self.seeds).map(|(_, trial)| trial);
            let Self { seeds, goal, aggregate, .. } = *self;
            self.table.update(point, trials, RankingRule { seeds, goal, aggregate });
            self.settle(point);
        }
    }

    /// Follows a change of the result of `point`.
    fn settle(&mut self, point: u64) {
        let (table, suggestions) = (&self.table, &self.suggestions);
        self.settled.update(point, |point| {
            let suggestion = suggestions.get(usize::try_from(point).ok()?)?;
            (!table.is_pending(point)).then(|| (&suggestion.point, table.rank(point)))
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::ranking::{Aggregate, PointStanding, Rank};

    fn suggestion(value: i64) -> Suggestion {
        let point: Point = [("a".to_owned(), json!(value))].into_iter().collect();
        Suggestion { point: Arc::new(point), draw: None }
    }

    #[test]
    fn a_stored_history_knows_its_points() {
        let mut history =
            History::new(HistoryRetention { points: true, reports: true }, 1, Goal::Minimize);
        history.record_suggestion(&suggestion(1));
        // The settings and the version are stored with the sweep.
        let settings = serde_json::to_string(&history).unwrap();
        let mut read: History = serde_json::from_str(&settings).unwrap();
        for (number, chunk) in history.changed_suggestions() {
            assert!(read.restore_suggestions(number, chunk.to_vec()));
        }
        read.version = history.version;
        assert_eq!(read, history);
        assert!(read.contains(&suggestion(1).point));
        assert!(!read.contains(&suggestion(2).point));
    }

    #[test]
    fn suggestions_are_stored_from_the_first_incomplete_chunk_on() {
        let mut history =
            History::new(HistoryRetention { points: true, reports: false }, 1, Goal::Minimize);
        let record = |history: &mut History, count: usize| {
            (0..count).for_each(|_| history.record_suggestion(&suggestion(1)));
        };
        let changed = |history: &History| {
            let chunks = history.changed_suggestions();
            chunks.map(|(number, chunk)| (number, chunk.len())).collect::<Vec<_>>()
        };
        record(&mut history, CHUNK_SUGGESTIONS + 1);
        assert_eq!(changed(&history), [(0, CHUNK_SUGGESTIONS), (1, 1)]);
        history.mark_suggestions_stored(0);
        assert_eq!(changed(&history), [(1, 1)]);
        history.mark_suggestions_stored(1);
        assert_eq!(changed(&history), []);
        record(&mut history, 1);
        assert_eq!(changed(&history), [(1, 2)]);
        record(&mut history, CHUNK_SUGGESTIONS - 2);
        history.mark_all_stored();
        record(&mut history, 1);
        assert_eq!(changed(&history), [(2, 1)]);
        let mut read =
            History::new(HistoryRetention { points: true, reports: false }, 1, Goal::Minimize);
        assert!(!read.restore_suggestions(1, vec![suggestion(1)]), "a chunk is missing");
    }

    proptest! {
        #[test]
        fn samplers_see_the_points_in_the_order_of_the_ranking(
            values in prop::collection::vec(prop::collection::vec(-9_i32..9, 3), 1..20),
            rule in prop::sample::select(AggregateRule::ALL.to_vec()),
            goal in prop::sample::select(vec![Goal::Minimize, Goal::Maximize]),
        ) {
            let keeps = HistoryRetention { points: true, reports: true };
            let mut history = History::new(keeps, 3, goal).with_aggregate(rule);
            let mut ranks = Vec::new();
            for (point, seeds) in (0..).zip(&values) {
                history.record_suggestion(&suggestion(1));
                let seeds: Vec<f64> = seeds.iter().copied().map(f64::from).collect();
                for (trial, value) in (3 * point..).zip(&seeds) {
                    history.record_end(trial, TrialEnding::Completed, Some(*value));
                }
                let values: Vec<Option<f64>> = seeds.into_iter().map(Some).collect();
                let value = Aggregate::of(&values, rule, goal).unwrap().value;
                let loss = history.points().value(point).and_then(PointValue::loss);
                let value_of_loss = loss.map(|loss| match goal {
                    Goal::Minimize => loss,
                    Goal::Maximize => -loss,
                });
                prop_assert_eq!(value_of_loss, value);
                ranks.push(Rank::new(PointStanding::Completed, value, goal, point));
            }
            ranks.sort_unstable();
            let order: Vec<u64> = ranks.into_iter().map(Rank::point).collect();
            prop_assert_eq!(history.points().ranked().collect::<Vec<_>>(), order);
        }
    }

    #[test]
    fn only_what_is_asked_for_is_kept() {
        let mut history = History::new(HistoryRetention::default(), 1, Goal::Minimize);
        history.record_suggestion(&suggestion(1));
        history.record_report(0, 0, 0.5);
        history.record_report(1, 0, 0.5);
        history.record_end(0, TrialEnding::Completed, None);
        assert!(history.suggestions().is_empty());
        assert_eq!(history.trials().map(|(index, _)| index).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_report_that_comes_twice_or_late_counts_once() {
        let mut history = History::new(HistoryRetention::default(), 1, Goal::Minimize);
        for (epoch, value) in [(0, 0.1), (1, 0.2), (1, 0.3), (0, 0.4), (2, f64::NAN)] {
            history.record_report(7, epoch, value);
        }
        let past = history.trial(7).unwrap();
        assert_eq!(past.reports, [(0, 0.1), (1, 0.2)]);
        assert_eq!((past.not_finite.as_slice(), past.epochs()), (&[2][..], 3));
    }
}
