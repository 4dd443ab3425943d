//! Making events true. Total and infallible: an event has already happened, and [`super::decide`]
//! made sure that it fits. An event about something unknown, which only a damaged journal could
//! hold, changes nothing.

use std::collections::BTreeMap;

use super::event::{Event, Reopened, StartedOver};
use super::outcome::{AttemptOutcome, EndReason, StopReason};
use super::planned::{PlannedSweep, ResolvedTrial};
use super::state::{Done, Lease, State, Sweep, Trial};
use super::worker::{Departure, Worker};
use crate::definition::Definition;
use crate::fleet;
use crate::id::{AttemptId, SweepName, WorkerId};
use crate::metric::Report;
use crate::needs::Lack;
use crate::rows::RowCounts;
use crate::time::Timestamp;

impl State {
    /// Makes `event` true.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { leases_until, state, incarnation, .. } => {
                // The first one counts: an id is made once.
                self.id = self.id.or(*state);
                if let Some(incarnation) = incarnation {
                    self.incarnations.insert(*incarnation);
                }
                self.on_started(*leases_until);
            }
            Event::SweepSubmitted { definition, source, at } => {
                self.on_submitted(definition, source, *at);
            }
            Event::WorkerJoined { .. }
            | Event::WorkerUnfit { .. }
            | Event::WorkerDeparted { .. }
            | Event::WorkerLeft { .. } => self.on_worker_event(event),
            Event::RequestNoted { request } => self.requests.insert(*request),
            Event::Fleet(event) => {
                if let Some(request) = event.request() {
                    self.requests.insert(request);
                }
                fleet::apply(&mut self.fleets, event);
            }
            Event::LeasesRenewed { worker, attempts, at, until } => {
                self.on_seen(*worker, *at);
                for attempt in attempts {
                    if let Some(lease) = self.lease_mut(attempt) {
                        lease.until = lease.until.max(*until);
                    }
                }
            }
            Event::SweepPaused { sweep, .. }
            | Event::SweepResumed { sweep, .. }
            | Event::SweepClosed { sweep, .. }
            | Event::SweepEnded { sweep, .. }
            | Event::TrialsRetried { sweep, .. }
            | Event::TrialsStartedOver { sweep, .. } => {
                self.note_request(event);
                self.with_sweep(sweep, |sweep| sweep.on_sweep_event(event));
            }
            Event::SweepDeleted { sweep, .. } => {
                self.note_request(event);
                self.on_deleted(sweep);
            }
            Event::TrialLeased { attempt, worker, at, .. } => {
                self.on_seen(*worker, *at);
                let incarnation =
                    self.incarnations.newest().and_then(|newest| self.incarnations.number(newest));
                self.with_sweep(&attempt.trial.sweep, |sweep| {
                    sweep.on_leased(event, incarnation);
                });
            }
            Event::Committed { attempt, .. } => {
                self.with_sweep(&attempt.trial.sweep, |sweep| sweep.on_trial_event(event));
            }
            Event::AttemptEnded { attempt, worker, need, error, .. } => {
                if let (Some(need), Some(worker)) = (need, self.workers.get_mut(worker)) {
                    let cause = error.clone().unwrap_or_default();
                    worker.note(Lack { need: need.clone(), cause });
                }
                self.with_sweep(&attempt.trial.sweep, |sweep| sweep.on_trial_event(event));
            }
            Event::StopRequested { trial, .. }
            | Event::TrialEnded { trial, .. }
            | Event::TrialDeferred { trial, .. } => {
                self.with_sweep(&trial.sweep, |sweep| sweep.on_trial_event(event));
            }
        }
    }

    /// Notes that a worker is there.
    fn on_seen(&mut self, worker: WorkerId, at: Timestamp) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.seen = at;
            worker.departed = None;
        }
    }

    fn on_worker_event(&mut self, event: &Event) {
        match event {
            Event::WorkerJoined { worker, info, at } => {
                // One that has changed joins again, and is the same worker.
                if self.workers.get(worker).is_none_or(|known| known.departed.is_some()) {
                    fleet::on_joined(&mut self.fleets, &info.place);
                }
                let (info, joined, seen) = (info.clone(), *at, *at);
                let joined = Worker { info, joined, seen, unfit: Vec::new(), departed: None };
                self.workers.insert(*worker, joined);
            }
            Event::WorkerUnfit { worker, lack } => {
                if let Some(worker) = self.workers.get_mut(worker) {
                    worker.note(lack.clone());
                }
            }
            Event::WorkerDeparted { worker, lost, reason, at } => {
                if let Some(worker) = self.workers.get_mut(worker) {
                    worker.departed =
                        Some(Departure { at: *at, lost: *lost, reason: reason.clone() });
                }
            }
            Event::WorkerLeft { worker } => {
                self.workers.remove(worker);
            }
            _ => {}
        }
    }

    fn on_started(&mut self, leases_until: Timestamp) {
        self.sweeps.values_mut().for_each(Sweep::ensure_ranked);
        let live = self.sweeps.values_mut().flat_map(|sweep| sweep.live.values_mut());
        for lease in live.filter_map(|trial| trial.lease.as_mut()) {
            lease.until = lease.until.max(leases_until);
        }
    }

    fn on_submitted(&mut self, definition: &Definition, source: &str, at: Timestamp) {
        let mut sweep = Sweep::new(
            PlannedSweep::new(definition.clone(), &self.workloads),
            source.to_owned(),
            at,
        );
        sweep.attempt_floor = self.attempt_floors.get(sweep.name()).copied().unwrap_or(0);
        self.order.push(definition.name.clone());
        self.sweeps.insert(definition.name.clone(), sweep);
    }

    fn on_deleted(&mut self, name: &SweepName) {
        if let Some(sweep) = self.sweeps.remove(name) {
            self.attempt_floors.insert(name.clone(), sweep.last_attempt());
        }
        self.order.retain(|other| other != name);
    }

    fn note_request(&mut self, event: &Event) {
        match event {
            Event::SweepPaused { request, .. }
            | Event::SweepResumed { request, .. }
            | Event::TrialsRetried { request, .. }
            | Event::TrialsStartedOver { request, .. }
            | Event::SweepDeleted { request, .. }
            | Event::SweepClosed { request: Some(request), .. } => self.requests.insert(*request),
            _ => {}
        }
    }

    fn with_sweep(&mut self, name: &SweepName, change: impl FnOnce(&mut Sweep)) {
        let sweep = self.sweeps.get_mut(name);
        debug_assert!(sweep.is_some(), "an event names an unknown sweep: {name}");
        sweep.map(change);
    }

    fn lease_mut(&mut self, attempt: &AttemptId) -> Option<&mut Lease> {
        let trial =
            self.sweeps.get_mut(&attempt.trial.sweep)?.live.get_mut(&attempt.trial.index)?;
        (trial.attempt == attempt.number).then_some(trial.lease.as_mut()).flatten()
    }
}

impl Sweep {
    fn on_sweep_event(&mut self, event: &Event) {
        match event {
            Event::SweepPaused { .. } => self.paused = true,
            Event::SweepResumed { reopened, at, .. } => {
                self.paused = false;
                self.closed = None;
                for trial in self.live.values_mut() {
                    trial.stop = trial.stop.filter(|reason| *reason != StopReason::Cancelled);
                }
                self.reopen(reopened, *at);
            }
            Event::TrialsRetried { reopened, at, .. } => self.reopen(reopened, *at),
            Event::TrialsStartedOver { trials, at, .. } => self.start_over(trials, *at),
            Event::SweepClosed { reason, .. } => {
                self.closed = Some(*reason);
                if reason.stops_running_trials() {
                    let started = self.live.values_mut().filter(|trial| !trial.is_deferred());
                    for trial in started {
                        trial.stop = Some(StopReason::Cancelled);
                    }
                }
            }
            Event::SweepEnded { reason, at, .. } => self.ended = Some((*reason, *at)),
            _ => {}
        }
    }

    /// Makes parked trials wait for another attempt, with fresh retry budgets.
    fn reopen(&mut self, reopened: &[Reopened], at: Timestamp) {
        let left = self.next < self.planned.plan.trials() || !self.live.is_empty();
        if !reopened.is_empty() || left {
            self.ended = None;
        }
        for Reopened { index, .. } in reopened {
            if let Some(mut trial) = self.parked.remove(index) {
                trial.ends.clear();
                trial.stop = None;
                trial.not_before = at;
                self.forget_end(*index);
                self.live.insert(*index, trial);
            }
        }
    }

    /// Makes trials wait for an attempt that begins from nothing. Their numbers of attempts and
    /// messages stay, so whatever an earlier attempt says late is still recognised as such.
    fn start_over(&mut self, trials: &[StartedOver], at: Timestamp) {
        let stopped = self.closed.is_some_and(EndReason::stops_running_trials);
        for StartedOver { index, .. } in trials {
            let done = self.forget_end(*index);
            let known = self.live.remove(index).or_else(|| self.parked.remove(index));
            let known = known.map(|t| (t.started, t.attempt, t.sequence, t.incarnation));
            let ended = done.map(|d| (d.started, d.attempt, d.sequence, d.incarnation));
            let Some((started, attempt, sequence, incarnation)) = known.or(ended) else { continue };
            let stop = stopped.then_some(StopReason::Cancelled);
            let fresh = Trial::new(started);
            let trial = Trial { attempt, sequence, incarnation, not_before: at, stop, ..fresh };
            self.live.insert(*index, trial);
            self.history.forget(*index);
            self.ended = None;
        }
    }

    fn on_trial_event(&mut self, event: &Event) {
        match event {
            Event::TrialDeferred { trial, suggestion, at } => {
                self.next = self.next.max(trial.index + 1);
                if let Some(suggestion) = suggestion {
                    self.history.record_suggestion(suggestion);
                }
                self.live.entry(trial.index).or_insert_with(|| Trial::new(*at));
            }
            Event::Committed { .. } => self.on_committed(event),
            Event::StopRequested { trial, reason } => {
                if let Some(trial) = self.live.get_mut(&trial.index) {
                    trial.stop = trial.stop.or(Some(*reason));
                }
            }
            Event::AttemptEnded { .. } => self.on_attempt_ended(event),
            Event::TrialEnded { .. } => self.on_trial_ended(event),
            _ => {}
        }
    }

    fn on_leased(&mut self, event: &Event, incarnation: Option<u32>) {
        let Event::TrialLeased { attempt, worker, suggestion, at, until, threads } = event else {
            return;
        };
        let index = attempt.trial.index;
        self.next = self.next.max(index + 1);
        if let Some(suggestion) = suggestion {
            self.history.record_suggestion(suggestion);
        }
        let planned = self.trial(index).ok();
        let trial = self.live.entry(index).or_insert_with(|| Trial::new(*at));
        trial.planned = ResolvedTrial(planned);
        if trial.attempt == 0 {
            trial.started = *at;
        }
        trial.attempt = attempt.number;
        trial.sequence = 0;
        trial.incarnation = incarnation;
        let (since, until, threads) = (*at, *until, *threads);
        let lease = Lease { worker: *worker, since, until, threads, commits: 0, epochs: None };
        trial.lease = Some(lease);
    }

    fn on_committed(&mut self, event: &Event) {
        let Event::Committed { attempt, reports, .. } = event else { return };
        let index = attempt.trial.index;
        let metric = &self.planned.definition.objective.name;
        for report in reports {
            if let Some(value) = report.metrics.get(metric) {
                self.history.record_report(index, report.epoch, *value);
            }
        }
        if let Some(trial) = self.live.get_mut(&index) {
            trial.on_committed(event);
        }
    }

    fn on_attempt_ended(&mut self, event: &Event) {
        let Event::AttemptEnded {
            attempt,
            worker,
            sequence,
            outcome,
            error,
            discard_checkpoint,
            not_before,
            ..
        } = event
        else {
            return;
        };
        let Some(trial) = self.live.get_mut(&attempt.trial.index) else { return };
        trial.lease = None;
        trial.sequence = *sequence;
        trial.not_before = *not_before;
        trial.failed_on = outcome.may_be_of_the_worker().then_some(*worker);
        *trial.ends.entry(*outcome).or_default() += 1;
        if error.is_some() {
            trial.error.clone_from(error);
        }
        if *discard_checkpoint {
            trial.checkpoint = None;
            trial.covered = RowCounts::default();
            trial.fraction = 0.0;
        }
    }

    fn on_trial_ended(&mut self, event: &Event) {
        let Event::TrialEnded { trial: id, outcome, metrics, error, dropped, at, .. } = event
        else {
            return;
        };
        // A trial whose configuration cannot run ends without ever having been leased.
        self.next = self.next.max(id.index + 1);
        let mut trial = self.live.remove(&id.index).unwrap_or_else(|| Trial::new(*at));
        if dropped.is_some() {
            trial.checkpoint = None;
        }
        let objective = metrics.get(&self.planned.definition.objective.name).copied();
        self.history.record_end(id.index, outcome.ending());
        let done = Done {
            outcome: *outcome,
            attempt: trial.attempt,
            sequence: trial.sequence,
            incarnation: trial.incarnation,
            objective,
            checkpoint: trial.checkpoint,
            started: trial.started,
            ended: *at,
        };
        self.note_end(id.index, done);
        if !outcome.is_final() {
            trial.error.clone_from(error);
            trial.lease = None;
            trial.planned = ResolvedTrial::default();
            self.parked.insert(id.index, trial);
        }
    }
}

impl Trial {
    /// Makes the part of a commit true that concerns the trial itself.
    pub(super) fn on_committed(&mut self, event: &Event) {
        let Event::Committed { sequence, checkpoint, produced, reports, fraction, .. } = event
        else {
            return;
        };
        self.sequence = *sequence;
        self.checkpoint = Some(*checkpoint);
        self.covered.clone_from(produced);
        self.durable = self.durable.max(produced);
        self.fraction = *fraction;
        let Some(lease) = &mut self.lease else { return };
        lease.commits += 1;
        for Report { epoch, .. } in reports {
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
            planned: ResolvedTrial::default(),
        }
    }
}
