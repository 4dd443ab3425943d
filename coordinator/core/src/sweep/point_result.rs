//! Results of points, and their order by [`crate::ranking`]. The order is updated as trials end, so
//! finding the best of a million points does not visit them all.
//!
//! The order follows from `done`, so it is not stored: the first change after loading rebuilds it,
//! and until then it is computed on demand. `done` is changed only through [`Sweep::note_end`] and
//! [`Sweep::forget_end`].

use std::collections::BTreeSet;

use super::outcome::TrialOutcome;
use super::state::{EndedTrial, Sweep};
use crate::ranking::{Aggregate, PointStanding, Rank, SeedTally};

/// The results of a point over its seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointResult {
    /// The number of the point.
    pub point: u64,
    /// The standing of its seeds.
    pub standing: PointStanding,
    /// The numbers of seeds by outcome.
    pub tally: SeedTally,
    /// The metric over the completed seeds; none without any.
    pub aggregate: Option<Aggregate>,
}

impl Sweep {
    /// Returns the number of seeds at each point. A `run_cap` may leave the last point with fewer
    /// trials; that point stays provisional.
    pub fn seeds(&self) -> u64 {
        (self.planned.definition.seeds.len() as u64).max(1)
    }

    /// Returns the best point so far, if any qualifies.
    pub fn best(&self) -> Option<PointResult> {
        let first = match &self.ranked.0 {
            Some(ranked) => ranked.first().copied(),
            None => self.rank_all().first().copied(),
        };
        first.filter(|rank| rank.can_be_best()).map(|rank| self.point_result(rank.point()))
    }

    /// Returns the results of `point`.
    pub fn point_result(&self, point: u64) -> PointResult {
        let mut tally = SeedTally::default();
        let mut values = Vec::new();
        for done in self.ended_seeds(point) {
            match done.outcome {
                TrialOutcome::Completed => {
                    tally.completed += 1;
                    values.push(done.objective);
                }
                TrialOutcome::Pruned => tally.pruned += 1,
                TrialOutcome::Diverged => tally.diverged += 1,
                TrialOutcome::Failed => tally.failed += 1,
                TrialOutcome::Cancelled => {}
            }
        }
        let standing = PointStanding::of(tally, self.seeds());
        let definition = &self.planned.definition;
        let aggregate = Aggregate::of(&values, definition.aggregate, definition.objective.goal);
        PointResult { point, standing, tally, aggregate }
    }

    /// Whether the order is consistent with the ended trials.
    pub(crate) fn is_ranked(&self) -> bool {
        self.ranked.0.as_ref().is_none_or(|ranked| *ranked == self.rank_all())
    }

    /// Rebuilds the order if it is missing after loading.
    pub(crate) fn ensure_ranked(&mut self) {
        if self.ranked.0.is_none() {
            self.ranked.0 = Some(self.rank_all());
        }
    }

    /// Records the end of trial `index`.
    pub(crate) fn note_end(&mut self, index: u64, done: EndedTrial) {
        self.change_point(index, |sweep| {
            *sweep.outcomes.entry(done.outcome).or_default() += 1;
            sweep.done.insert(index, done);
        });
        if done.outcome.is_final() {
            self.spend_point(self.planned.plan.point_of(index));
        }
    }

    /// Removes the end of trial `index`, which is to run again; returns it, if there was one.
    pub(crate) fn forget_end(&mut self, index: u64) -> Option<EndedTrial> {
        let done = self.done.get(&index).copied()?;
        self.change_point(index, |sweep| {
            sweep.done.remove(index);
            sweep.outcomes.entry(done.outcome).and_modify(|count| *count -= 1);
        });
        Some(done)
    }

    fn change_point(&mut self, index: u64, change: impl FnOnce(&mut Self)) {
        self.ensure_ranked();
        let point = self.planned.plan.point_of(index);
        let before = self.rank_of(point);
        change(self);
        let after = self.rank_of(point);
        if let Some(ranked) = &mut self.ranked.0 {
            if let Some(before) = before {
                ranked.remove(&before);
            }
            ranked.extend(after);
        }
    }

    fn rank_all(&self) -> BTreeSet<Rank> {
        let mut ranked = BTreeSet::new();
        let mut next = self.done.keys().next();
        while let Some(index) = next {
            let point = self.planned.plan.point_of(*index);
            ranked.extend(self.rank_of(point));
            let following = (point + 1).saturating_mul(self.seeds());
            next = self.done.range(following..).next().map(|(index, _)| index);
        }
        ranked
    }

    /// Returns the rank of a point; none if none of its trials has ended.
    fn rank_of(&self, point: u64) -> Option<Rank> {
        self.ended_seeds(point).next()?;
        let PointResult { standing, aggregate, .. } = self.point_result(point);
        let goal = self.planned.definition.objective.goal;
        let value = aggregate.and_then(|aggregate| aggregate.value);
        Some(Rank::new(standing, value, goal, point))
    }

    fn ended_seeds(&self, point: u64) -> impl Iterator<Item = &EndedTrial> {
        let first = point.saturating_mul(self.seeds());
        self.done.range(first..first.saturating_add(self.seeds())).map(|(_, done)| done)
    }
}
