//! The order of trials at the epochs at which a pruner compares them.
//!
//! It follows from the reports, so it is not stored: [`History::compare`](super::History::compare)
//! rebuilds it. It is kept because a pruner must not visit all trials for each verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::{TrialEnding, TrialHistory};
use crate::metric::Goal;
use crate::pruner::Comparison;
use crate::ranking::Score;

/// The position of a trial among those that have reached a number of epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStanding {
    /// The number of epochs, from 1.
    pub epochs: u32,
    /// The number of trials that have reached it, this one included.
    pub reached: usize,
    /// The number of trials that are better; of equal ones, those with lower numbers.
    pub rank: usize,
    /// The number of trials with better values.
    pub better: usize,
}

/// The order of trials at each compared number of epochs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct EpochRanks {
    comparison: Comparison,
    goal: Goal,
    /// The scores in order, the best first, with their trials, by bracket and number of epochs.
    ranks: BTreeMap<(usize, u32), Vec<(Score, u64)>>,
    /// The parked trials in the same order, by rung and bracket.
    parked: BTreeMap<(u32, usize), BTreeSet<(Score, u64)>>,
}

impl EpochRanks {
    /// Creates the order of `trials`.
    pub(super) fn new<'a>(
        comparison: Comparison,
        goal: Goal,
        trials: impl Iterator<Item = (u64, &'a TrialHistory)>,
    ) -> Self {
        let mut ranks = Self { comparison, goal, ..Self::default() };
        for (trial, known) in trials {
            ranks.add(trial, known, 0);
            if known.ending == Some(TrialEnding::Diverged) {
                ranks.add_diverged(trial, known);
            }
            ranks.park(trial, known);
        }
        ranks
    }

    pub(super) fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// Returns the order of the same trials anew, to check this one.
    pub(super) fn rebuilt<'a>(
        &self,
        trials: impl Iterator<Item = (u64, &'a TrialHistory)>,
    ) -> Self {
        Self::new(self.comparison.clone(), self.goal, trials)
    }

    /// Adds `trial` at the numbers of epochs beyond `before` in which it is compared.
    pub(super) fn add(&mut self, trial: u64, known: &TrialHistory, before: u32) {
        for epochs in self.comparison.between(trial, before, known.compared_epochs()) {
            let score = known.score_after(epochs, self.goal);
            self.insert(trial, epochs, score);
        }
    }

    /// Sets the number of epochs until which `trial` is compared; none: in all that it has.
    pub(super) fn compare_until(
        &mut self,
        trial: u64,
        known: &mut TrialHistory,
        until: Option<u32>,
    ) {
        let before = known.compared_epochs();
        known.compared_until = until;
        let bracket = self.comparison.bracket(trial);
        for epochs in self.comparison.between(trial, known.compared_epochs(), before) {
            self.withdraw(trial, bracket, epochs);
        }
        self.add(trial, known, before);
    }

    /// Adds a diverged trial as the worst at the rung that it did not reach.
    pub(super) fn add_diverged(&mut self, trial: u64, known: &TrialHistory) {
        if known.compared_until.is_some() {
            return;
        }
        if let Some(rung) = self.comparison.next_rung(trial, known.epochs()) {
            self.insert(trial, rung, Score::WORST);
        }
    }

    /// Adds `trial` to the parked ones, if it is parked.
    pub(super) fn park(&mut self, trial: u64, known: &TrialHistory) {
        if let Some(rung) = known.parked {
            let key = (rung, self.comparison.bracket(trial));
            let score = known.score_after(rung, self.goal);
            self.parked.entry(key).or_default().insert((score, trial));
        }
    }

    /// Removes `trial` from the parked ones.
    pub(super) fn unpark(&mut self, trial: u64, known: &TrialHistory) {
        let Some(rung) = known.parked else { return };
        let key = (rung, self.comparison.bracket(trial));
        if let Some(parked) = self.parked.get_mut(&key) {
            parked.remove(&(known.score_after(rung, self.goal), trial));
            if parked.is_empty() {
                self.parked.remove(&key);
            }
        }
    }

    /// Returns the parked trials among the best `quota` of their rung, the highest rung first.
    pub(super) fn promotable(&self, quota: impl Fn(usize) -> usize) -> Vec<u64> {
        let mut promotable = Vec::new();
        for ((rung, bracket), parked) in self.parked.iter().rev() {
            let Some(ranks) = self.ranks.get(&(*bracket, *rung)) else { continue };
            let last = quota(ranks.len()).checked_sub(1).and_then(|last| ranks.get(last));
            let best = parked.iter().take_while(|one| last.is_some_and(|last| *one <= last));
            promotable.extend(best.map(|(_, trial)| *trial));
        }
        promotable
    }

    /// Returns the best parked trial of the highest rung.
    pub(super) fn best_parked(&self) -> Option<u64> {
        let (_, parked) = self.parked.last_key_value()?;
        parked.first().map(|(_, trial)| *trial)
    }

    /// Removes `trial` everywhere.
    pub(super) fn remove(&mut self, trial: u64, known: &TrialHistory) {
        self.unpark(trial, known);
        let bracket = self.comparison.bracket(trial);
        let reached = self.comparison.between(trial, 0, known.compared_epochs());
        let diverged = self.comparison.next_rung(trial, known.epochs());
        for epochs in reached.into_iter().chain(diverged) {
            self.withdraw(trial, bracket, epochs);
        }
    }

    /// Returns the standing of `trial` at a number of epochs that it has reached.
    pub(super) fn standing(
        &self,
        trial: u64,
        known: &TrialHistory,
        epochs: u32,
    ) -> Option<EpochStanding> {
        let ranks = self.ranks.get(&(self.comparison.bracket(trial), epochs))?;
        let score = known.score_after(epochs, self.goal);
        Some(EpochStanding {
            epochs,
            reached: ranks.len(),
            rank: ranks.partition_point(|other| *other < (score, trial)),
            better: ranks.partition_point(|(other, _)| *other < score),
        })
    }

    /// Returns the score at `position` among the trials in the bracket of `trial`.
    pub(super) fn score_at(&self, trial: u64, epochs: u32, position: usize) -> Option<Score> {
        let ranks = self.ranks.get(&(self.comparison.bracket(trial), epochs))?;
        ranks.get(position).map(|(score, _)| *score)
    }

    fn withdraw(&mut self, trial: u64, bracket: usize, epochs: u32) {
        if let Some(ranks) = self.ranks.get_mut(&(bracket, epochs)) {
            ranks.retain(|(_, other)| *other != trial);
            if ranks.is_empty() {
                self.ranks.remove(&(bracket, epochs));
            }
        }
    }

    fn insert(&mut self, trial: u64, epochs: u32, score: Score) {
        let bracket = self.comparison.bracket(trial);
        let ranks = self.ranks.entry((bracket, epochs)).or_default();
        let at = ranks.partition_point(|other| *other < (score, trial));
        ranks.insert(at, (score, trial));
    }
}
