//! The comparison of the spending of a sweep with the rules of `stop:`.
//!
//! The spending follows from events alone, and changes in constant time with each of them. Only
//! [`Sweep::reached_rule`] compares it with the rules; the verdict is journaled as the closing of the
//! sweep, so a replayed sweep ends as it did before.

use super::outcome::{SweepEndReason, TrialOutcome};
use super::spending::slot_time;
use super::state::{Lease, Sweep, Trial};
use crate::metric::Goal;
use crate::ranking::PointStanding;
use crate::time::Timestamp;

impl Sweep {
    /// Returns the rule of `stop:` that ends the sweep at `now`; none if no trial is left to start or
    /// to resume.
    pub fn reached_rule(&self, now: Timestamp) -> Option<SweepEndReason> {
        if self.closed.is_some() || self.ended.is_some() {
            return None;
        }
        let reason = self.spent_rule(now)?;
        let is_left = self.next < self.planned.plan.trials()
            || !self.parked.is_empty()
            || self.live.values().any(Trial::is_deferred);
        is_left.then_some(reason)
    }

    /// Returns the first rule of `stop:` whose limit is spent at `now`.
    fn spent_rule(&self, now: Timestamp) -> Option<SweepEndReason> {
        let rules = &self.planned.definition.stop;
        if rules.is_empty() {
            return None;
        }
        let spent = &self.spent;
        let trials = self.counted_trials().saturating_sub(spent.trials_before);
        let wall_time = spent.first_lease.map(|first| now.since(first).as_secs_f64());
        let reached = [
            (rules.trials.is_some_and(|most| trials >= most), SweepEndReason::StopTrials),
            (rules.epochs.is_some_and(|most| spent.epochs >= most), SweepEndReason::StopEpochs),
            (
                rules.wall_time.zip(wall_time).is_some_and(|(most, time)| time >= most),
                SweepEndReason::StopWallTime,
            ),
            (
                rules.worker_hours.is_some_and(|most| self.worker_hours(now) >= most),
                SweepEndReason::StopWorkerHours,
            ),
            (
                rules.no_improvement.is_some_and(|rule| spent.stale_points >= rule.points),
                SweepEndReason::StopNoImprovement,
            ),
        ];
        reached.into_iter().find(|(is_reached, _)| *is_reached).map(|(_, reason)| reason)
    }

    /// Returns the hours of all attempts until `now`, each times its slots.
    fn worker_hours(&self, now: Timestamp) -> f64 {
        let running = slot_time(self.spent.leased_slots, self.since_submission(now));
        self.spent.slot_ms.saturating_add(running) as f64 / 3_600_000.0
    }

    fn since_submission(&self, at: Timestamp) -> i64 {
        i64::try_from(at.0.saturating_sub(self.submitted.0)).unwrap_or(i64::MAX)
    }

    /// Returns the number of trials that have ended or are parked, without cancelled ones.
    fn counted_trials(&self) -> u64 {
        let outcomes = TrialOutcome::ALL.into_iter();
        let counted = outcomes.filter(|outcome| *outcome != TrialOutcome::Cancelled);
        counted.map(|outcome| self.count(outcome)).sum::<u64>() + self.parked.len() as u64
    }

    /// Records the start of an attempt.
    pub(super) fn spend_lease(&mut self, slots: u32, at: Timestamp) {
        let since = self.since_submission(at);
        let spent = &mut self.spent;
        spent.first_lease.get_or_insert(at);
        spent.leased_slots += u64::from(slots);
        spent.slot_ms = spent.slot_ms.saturating_sub(slot_time(slots.into(), since));
    }

    /// Records the end of an attempt.
    pub(super) fn spend_attempt(&mut self, lease: &Lease, at: Timestamp) {
        let end = self.since_submission(at.max(lease.since));
        let slots = u64::from(lease.granted.cpus);
        let spent = &mut self.spent;
        spent.leased_slots = spent.leased_slots.saturating_sub(slots);
        spent.slot_ms = spent.slot_ms.saturating_add(slot_time(slots, end));
    }

    /// Records committed epochs.
    pub(super) fn spend_epochs(&mut self, epochs: usize) {
        self.spent.epochs = self.spent.epochs.saturating_add(epochs as u64);
    }

    /// Records that a trial of `point` has ended with a result.
    pub(super) fn spend_point(&mut self, point: u64) {
        let Some(rule) = self.planned.definition.stop.no_improvement else { return };
        let result = self.point_result(point);
        let tally = result.tally;
        if tally.completed + tally.diverged + tally.pruned < self.seeds() {
            return;
        }
        let completed = result.aggregate.filter(|_| result.standing == PointStanding::Completed);
        let value = completed.and_then(|aggregate| aggregate.value);
        let is_better = |value: f64| match (self.spent.best, self.planned.definition.objective.goal)
        {
            (None, _) => true,
            (Some(best), Goal::Minimize) => value < best - rule.min_delta,
            (Some(best), Goal::Maximize) => value > best + rule.min_delta,
        };
        match value.filter(|value| is_better(*value)) {
            Some(better) => {
                self.spent.best = Some(better);
                self.spent.stale_points = 0;
            }
            None => self.spent.stale_points += 1,
        }
    }

    /// Starts the count anew if the sweep is resumed after it has spent the limit of a rule.
    pub(super) fn restart_spending(&mut self, at: Timestamp) {
        if self.spent_rule(at).is_some() {
            let (trials, at) = (self.counted_trials(), self.since_submission(at));
            self.spent.restart(trials, at);
        }
    }
}
