//! Changes of a sweep and its trials, one function per event.

use std::collections::BTreeMap;

use super::event::{
    AttemptEnded, PointChosen, PointRequested, ReopenedTrial, RestartedTrial, StopRequested,
    SweepEnded, SweepResumed, TrialCommitted, TrialDeferred, TrialEnded, TrialLeased, TrialParked,
    TrialsRetried, TrialsStartedOver,
};
use super::outcome::{AttemptOutcome, StopReason, SweepEndReason};
use super::state::{EndedTrial, Lease, Sweep, Trial};
use crate::metric::MetricReport;
use crate::rows::RowCounts;
use crate::skip_eq::SkipEq;
use crate::time::Timestamp;

impl Sweep {
    pub(crate) fn on_paused(&mut self) {
        self.paused = true;
    }

    pub(crate) fn on_resumed(&mut self, resumed: &SweepResumed) {
        self.restart_spending(resumed.at);
        self.paused = false;
        self.closed = None;
        self.live.change_each(
            |trial| trial.stop == Some(StopReason::Cancelled),
            |_, trial| trial.stop = trial.rung.map(|_| StopReason::Parked),
        );
        self.parked.change_each(|trial| trial.stop.is_some(), |_, trial| trial.stop = None);
        self.reopen(&resumed.reopened, resumed.at);
    }

    pub(crate) fn on_closed(&mut self, reason: SweepEndReason) {
        self.closed = Some(reason);
        if reason.stops_running_trials() {
            let started = |trial: &Trial| !trial.is_deferred();
            self.live.change_each(started, |_, trial| trial.stop = Some(StopReason::Cancelled));
            self.parked.change_each(|_| true, |_, trial| trial.stop = Some(StopReason::Cancelled));
        }
    }

    pub(crate) fn on_ended(&mut self, ended: &SweepEnded) {
        self.ended = Some((ended.reason, ended.at));
    }

    pub(crate) fn on_retried(&mut self, retried: &TrialsRetried) {
        self.reopen(&retried.reopened, retried.at);
    }

    /// Moves retryable trials back to the waiting ones, with fresh retry budgets.
    fn reopen(&mut self, reopened: &[ReopenedTrial], at: Timestamp) {
        let left = self.next < self.planned.plan.trials() || !self.live.is_empty();
        if !reopened.is_empty() || left {
            self.ended = None;
        }
        for ReopenedTrial { index, .. } in reopened {
            if let Some(mut trial) = self.retryable.remove(*index) {
                trial.ends.clear();
                trial.stop = None;
                trial.not_before = at;
                self.forget_end(*index);
                self.history.reopen(*index);
                match trial.rung {
                    None => self.live.insert(*index, trial),
                    Some(rung) => {
                        self.parked.insert(*index, trial);
                        self.history.record_parked(*index, rung);
                    }
                }
            }
        }
    }

    /// Resets trials, so that they run again from scratch. Attempt and message numbers are kept, so
    /// late messages of earlier attempts are still recognised as stale.
    pub(crate) fn on_started_over(
        &mut self,
        TrialsStartedOver { trials, at, .. }: &TrialsStartedOver,
    ) {
        let stopped = self.closed.is_some_and(SweepEndReason::stops_running_trials);
        for RestartedTrial { index, .. } in trials {
            let done = self.forget_end(*index);
            let known = self.live.remove(*index).or_else(|| self.parked.remove(*index));
            let known = known.or_else(|| self.retryable.remove(*index));
            if let Some(lease) = known.as_ref().and_then(|trial| trial.lease.as_ref()) {
                self.spend_attempt(lease, *at);
            }
            let known = known.map(|t| (t.started, t.attempt, t.sequence, t.incarnation));
            let ended = done.map(|d| (d.started, d.attempt, d.sequence, d.incarnation));
            let Some((started, attempt, sequence, incarnation)) = known.or(ended) else { continue };
            let stop = stopped.then_some(StopReason::Cancelled);
            let fresh = Trial::new(started);
            let trial = Trial { attempt, sequence, incarnation, not_before: *at, stop, ..fresh };
            self.live.insert(*index, trial);
            self.history.forget(*index);
            self.ended = None;
        }
    }

    pub(crate) fn on_point_requested(&mut self, requested: &PointRequested) {
        self.requested = Some(requested.point);
    }

    pub(crate) fn on_point_chosen(&mut self, chosen: &PointChosen) {
        self.requested = None;
        self.history.record_suggestion(&chosen.suggestion);
    }

    pub(crate) fn on_deferred(&mut self, TrialDeferred { trial, suggestion, at }: &TrialDeferred) {
        self.next = self.next.max(trial.index + 1);
        if let Some(suggestion) = suggestion {
            self.history.record_suggestion(suggestion);
        }
        self.live.get_or_insert_with(trial.index, || Trial::new(*at));
    }

    pub(crate) fn on_leased(&mut self, leased: &TrialLeased, incarnation: Option<u32>) {
        let index = leased.attempt.trial.index;
        self.next = self.next.max(index + 1);
        if let Some(suggestion) = &leased.suggestion {
            self.history.record_suggestion(suggestion);
        }
        if let Some(parked) = self.parked.remove(index) {
            self.live.insert(index, Trial { rung: None, ..parked });
            self.history.reopen(index);
        }
        self.spend_lease(leased.granted.cpus, leased.at);
        let planned = self.trial(index).ok();
        let trial = self.live.get_or_insert_with(index, || Trial::new(leased.at));
        trial.planned = SkipEq(planned);
        if trial.attempt == 0 {
            trial.started = leased.at;
        }
        trial.attempt = leased.attempt.number;
        trial.sequence = 0;
        trial.incarnation = incarnation;
        trial.lease = Some(Lease {
            worker: leased.worker,
            since: leased.at,
            until: leased.until,
            granted: leased.granted.clone(),
            commits: 0,
            epochs: None,
        });
    }

    pub(crate) fn on_committed(&mut self, committed: &TrialCommitted) {
        let index = committed.attempt.trial.index;
        let metric = &self.planned.definition.objective.name;
        for report in &committed.reports {
            if let Some(value) = report.metrics.get(metric) {
                self.history.record_report(index, report.epoch, *value);
            }
        }
        self.spend_epochs(committed.reports.len());
        let Some(trial) = self.live.get_mut(index) else { return };
        trial.on_committed(committed);
        if trial.stop.is_none() && self.planned.pruner.is_some() {
            self.history.record_judgement(index);
        }
    }

    pub(crate) fn on_stop_requested(&mut self, stop: &StopRequested) {
        let index = stop.trial.index;
        let Some(trial) = self.live.get_mut(index) else { return };
        trial.stop = trial.stop.or(Some(stop.reason));
        if stop.reason == StopReason::Parked {
            trial.rung = stop.rung.or(trial.rung);
        }
        if let Some(epochs) = stop.rung {
            self.history.record_stop(index, epochs);
        }
    }

    pub(crate) fn on_trial_parked(&mut self, parked: &TrialParked) {
        let (index, rung) = (parked.trial.index, parked.rung);
        let Some(trial) = self.live.remove(index) else { return };
        let trial = Trial { stop: None, rung: Some(rung), planned: SkipEq::default(), ..trial };
        self.parked.insert(index, trial);
        self.history.record_parked(index, rung);
    }

    pub(crate) fn on_attempt_ended(&mut self, ended: &AttemptEnded) {
        let Some(trial) = self.live.get_mut(ended.attempt.trial.index) else { return };
        let lease = trial.lease.take();
        trial.sequence = ended.sequence;
        trial.not_before = ended.not_before;
        trial.failed_on = ended.outcome.may_be_worker_fault().then_some(ended.worker);
        *trial.ends.entry(ended.outcome).or_default() += 1;
        if ended.error.is_some() {
            trial.error.clone_from(&ended.error);
        }
        if ended.discard_checkpoint {
            trial.checkpoint = None;
            trial.covered = RowCounts::default();
            trial.fraction = 0.0;
        }
        if let Some(lease) = lease {
            self.spend_attempt(&lease, ended.at);
        }
    }

    pub(crate) fn on_trial_ended(&mut self, ended: &TrialEnded) {
        let TrialEnded { outcome, at, .. } = *ended;
        let index = ended.trial.index;
        // A trial with an invalid configuration ends without a lease.
        self.next = self.next.max(index + 1);
        let known = self.live.remove(index).or_else(|| self.parked.remove(index));
        let mut trial = known.unwrap_or_else(|| Trial::new(at));
        if ended.dropped.is_some() {
            trial.checkpoint = None;
        }
        let objective = ended.metrics.get(&self.planned.definition.objective.name).copied();
        self.history.record_end(index, outcome.ending(), objective);
        let done = EndedTrial {
            outcome,
            attempt: trial.attempt,
            sequence: trial.sequence,
            incarnation: trial.incarnation,
            objective,
            checkpoint: trial.checkpoint,
            started: trial.started,
            ended: at,
        };
        self.note_end(index, done);
        if !outcome.is_final() {
            trial.error.clone_from(&ended.error);
            trial.lease = None;
            trial.planned = SkipEq::default();
            self.retryable.insert(index, trial);
        }
    }
}

impl Trial {
    /// Applies the part of a commit that concerns the trial itself.
    pub(crate) fn on_committed(&mut self, committed: &TrialCommitted) {
        self.sequence = committed.sequence;
        self.checkpoint = Some(committed.checkpoint);
        self.covered.clone_from(&committed.produced);
        self.durable = self.durable.max(&committed.produced);
        self.fraction = committed.fraction;
        let Some(lease) = &mut self.lease else { return };
        lease.commits += 1;
        for MetricReport { epoch, .. } in &committed.reports {
            let (first, last) = lease.epochs.unwrap_or((*epoch, *epoch));
            lease.epochs = Some((first.min(*epoch), last.max(*epoch)));
        }
    }

    fn new(started: Timestamp) -> Self {
        Self {
            started,
            attempt: 0,
            sequence: 0,
            incarnation: None,
            lease: None,
            not_before: started,
            failed_on: None,
            checkpoint: None,
            durable: RowCounts::default(),
            covered: RowCounts::default(),
            fraction: 0.0,
            ends: BTreeMap::<AttemptOutcome, u32>::new(),
            error: None,
            stop: None,
            rung: None,
            planned: SkipEq::default(),
        }
    }
}
