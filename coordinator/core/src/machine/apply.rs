//! Application of events to the state. It is total and infallible: the event has already happened,
//! and [`super::decide`] made sure that it fits. An event about something unknown, which only a
//! damaged journal holds, changes nothing.

use super::event::{
    CoordinatorStarted, Event, LeasesRenewed, WorkerDeparted, WorkerJoined, WorkerUnfit,
};
use super::state::State;
use super::worker::{Departure, Worker};
use crate::fleet;
use crate::id::{AttemptId, RequestId, SweepName, WorkerId};
use crate::needs::UnmetNeed;
use crate::sweep::{AttemptEnded, Lease, PlannedSweep, Sweep, SweepSubmitted, Trial, TrialLeased};
use crate::time::Timestamp;

impl State {
    /// Applies `event`.
    pub fn apply(&mut self, event: &Event) {
        if let Some(request) = event.request() {
            self.requests.insert(request);
        }
        match event {
            Event::CoordinatorStarted(started) => self.on_started(started),
            Event::SweepSubmitted(submitted) => self.on_submitted(submitted),
            Event::SweepPaused(paused) => self.with_sweep(&paused.sweep, Sweep::on_paused),
            Event::SweepResumed(resumed) => {
                self.with_sweep(&resumed.sweep, |sweep| sweep.on_resumed(resumed));
            }
            Event::SweepClosed(closed) => {
                self.with_sweep(&closed.sweep, |sweep| sweep.on_closed(closed.reason));
            }
            Event::SweepEnded(ended) => {
                self.with_sweep(&ended.sweep, |sweep| sweep.on_ended(ended));
            }
            Event::SweepDeleted(deleted) => self.on_deleted(&deleted.sweep),
            Event::RequestNoted(_) => {}
            Event::TrialsRetried(retried) => {
                self.with_sweep(&retried.sweep, |sweep| sweep.on_retried(retried));
            }
            Event::TrialsStartedOver(started_over) => {
                self.with_sweep(&started_over.sweep, |sweep| sweep.on_started_over(started_over));
            }
            Event::WorkerJoined(joined) => self.on_joined(joined),
            Event::WorkerUnfit(unfit) => self.on_unfit(unfit),
            Event::WorkerDeparted(departed) => self.on_departed(departed),
            Event::WorkerLeft(left) => {
                self.workers.remove(&left.worker);
            }
            Event::PointRequested(requested) => {
                self.with_sweep(&requested.sweep, |sweep| sweep.on_point_requested(requested));
            }
            Event::PointChosen(chosen) => {
                self.with_sweep(&chosen.sweep, |sweep| sweep.on_point_chosen(chosen));
            }
            Event::TrialDeferred(deferred) => {
                self.with_sweep(&deferred.trial.sweep, |sweep| sweep.on_deferred(deferred));
            }
            Event::TrialLeased(leased) => self.on_leased(leased),
            Event::LeasesRenewed(renewed) => self.on_renewed(renewed),
            Event::TrialCommitted(committed) => {
                self.with_sweep(&committed.attempt.trial.sweep, |sweep| {
                    sweep.on_committed(committed);
                });
            }
            Event::StopRequested(stop) => {
                self.with_sweep(&stop.trial.sweep, |sweep| sweep.on_stop_requested(stop));
            }
            Event::AttemptEnded(ended) => self.on_attempt_ended(ended),
            Event::TrialParked(parked) => {
                self.with_sweep(&parked.trial.sweep, |sweep| sweep.on_trial_parked(parked));
            }
            Event::TrialEnded(ended) => {
                self.with_sweep(&ended.trial.sweep, |sweep| sweep.on_trial_ended(ended));
            }
            Event::Fleet(event) => fleet::apply(&mut self.fleets, event),
        }
    }

    fn on_started(&mut self, started: &CoordinatorStarted) {
        // The id is created at the first start.
        self.id.get_or_insert(started.state);
        self.incarnations.insert(started.incarnation);
        self.sweeps.values_mut().for_each(Sweep::ensure_ranked);
        for sweep in self.sweeps.values_mut() {
            // Whoever was choosing a point is gone; a worker requests it again.
            sweep.requested = None;
            sweep.stored.0 = false;
            let leased = |trial: &Trial| trial.lease.is_some();
            sweep.live.change_each(leased, |_, trial| {
                if let Some(lease) = &mut trial.lease {
                    lease.until = lease.until.max(started.leases_until);
                }
            });
        }
    }

    fn on_submitted(&mut self, submitted: &SweepSubmitted) {
        let name = &submitted.definition.name;
        let planned = PlannedSweep::new((*submitted.definition).clone(), &self.workloads);
        let mut sweep = Sweep::new(planned, submitted.source.clone(), submitted.at);
        sweep.attempt_floor = self.attempt_floors.get(name).copied().unwrap_or(0);
        sweep.serial = self.submissions;
        self.submissions += 1;
        self.order.push(name.clone());
        self.sweeps.insert(name.clone(), sweep);
    }

    fn on_deleted(&mut self, name: &SweepName) {
        if let Some(sweep) = self.sweeps.remove(name) {
            self.attempt_floors.insert(name.clone(), sweep.last_attempt());
            self.stored.0.deleted.insert(sweep.serial);
        }
        self.order.retain(|other| other != name);
    }

    fn on_joined(&mut self, WorkerJoined { worker, info, at }: &WorkerJoined) {
        // A worker with a changed description joins again and stays the same worker.
        if self.workers.get(worker).is_none_or(|known| known.departed.is_some()) {
            fleet::on_joined(&mut self.fleets, &info.place);
        }
        let (info, joined, seen) = (info.clone(), *at, *at);
        let joined = Worker { info, joined, seen, unfit: Vec::new(), departed: None };
        self.workers.insert(*worker, joined);
    }

    fn on_unfit(&mut self, WorkerUnfit { worker, lack }: &WorkerUnfit) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.note(lack.clone());
        }
    }

    fn on_departed(&mut self, departed: &WorkerDeparted) {
        if let Some(worker) = self.workers.get_mut(&departed.worker) {
            let (at, lost, reason) = (departed.at, departed.lost, departed.reason.clone());
            worker.departed = Some(Departure { at, lost, reason });
        }
    }

    fn on_leased(&mut self, leased: &TrialLeased) {
        self.on_seen(leased.worker, leased.at);
        let newest = self.incarnations.newest();
        let incarnation = newest.and_then(|newest| self.incarnations.number(newest));
        self.with_sweep(&leased.attempt.trial.sweep, |sweep| sweep.on_leased(leased, incarnation));
    }

    fn on_renewed(&mut self, renewed: &LeasesRenewed) {
        self.on_seen(renewed.worker, renewed.at);
        for attempt in &renewed.attempts {
            if let Some(lease) = self.lease_mut(attempt) {
                lease.until = lease.until.max(renewed.until);
            }
        }
    }

    fn on_attempt_ended(&mut self, ended: &AttemptEnded) {
        if let (Some(need), Some(worker)) = (&ended.need, self.workers.get_mut(&ended.worker)) {
            let cause = ended.error.clone().unwrap_or_default();
            worker.note(UnmetNeed { need: need.clone(), cause });
        }
        self.with_sweep(&ended.attempt.trial.sweep, |sweep| sweep.on_attempt_ended(ended));
    }

    /// Records that a worker is alive.
    fn on_seen(&mut self, worker: WorkerId, at: Timestamp) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.seen = at;
            worker.departed = None;
        }
    }

    fn with_sweep(&mut self, name: &SweepName, change: impl FnOnce(&mut Sweep)) {
        let sweep = self.sweeps.get_mut(name);
        debug_assert!(sweep.is_some(), "an event names an unknown sweep: {name}");
        if let Some(sweep) = sweep {
            sweep.stored.0 = false;
            change(sweep);
        }
    }

    fn lease_mut(&mut self, attempt: &AttemptId) -> Option<&mut Lease> {
        let sweep = self.sweeps.get_mut(&attempt.trial.sweep)?;
        let trial = sweep.live.get_mut(attempt.trial.index)?;
        (trial.attempt == attempt.number).then_some(trial.lease.as_mut()).flatten()
    }
}

impl Event {
    /// Returns the client's request behind the event, if any.
    fn request(&self) -> Option<RequestId> {
        match self {
            Self::RequestNoted(noted) => Some(noted.request),
            Self::SweepPaused(paused) => Some(paused.request),
            Self::SweepResumed(resumed) => Some(resumed.request),
            Self::SweepClosed(closed) => closed.request,
            Self::SweepDeleted(deleted) => Some(deleted.request),
            Self::TrialsRetried(retried) => Some(retried.request),
            Self::TrialsStartedOver(started_over) => Some(started_over.request),
            Self::Fleet(event) => event.request(),
            Self::CoordinatorStarted(_)
            | Self::SweepSubmitted(_)
            | Self::SweepEnded(_)
            | Self::WorkerJoined(_)
            | Self::WorkerUnfit(_)
            | Self::WorkerDeparted(_)
            | Self::WorkerLeft(_)
            | Self::PointRequested(_)
            | Self::PointChosen(_)
            | Self::TrialDeferred(_)
            | Self::TrialLeased(_)
            | Self::LeasesRenewed(_)
            | Self::TrialCommitted(_)
            | Self::StopRequested(_)
            | Self::AttemptEnded(_)
            | Self::TrialParked(_)
            | Self::TrialEnded(_) => None,
        }
    }
}
