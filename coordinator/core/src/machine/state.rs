//! Everything the coordinator knows. It changes only through [`State::apply`].
//!
//! What is kept of an ended trial is small ([`Done`](crate::sweep::EndedTrial)), so that memory is bounded
//! by running trials and a compact index; rows and messages are in the results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::handled_requests::HandledRequests;
use super::origin::{HeldAttempt, Incarnations, Origin};
use super::snapshot::StoredState;
use super::worker::Worker;
use crate::fleet::{Fleet, FleetName, PilotId, WorkerLocation};
use crate::id::{AttemptId, StateId, SweepName, TrialId, WorkerId};
use crate::schema::WorkloadRegistry;
use crate::skip_eq::SkipEq;
use crate::sweep::{Lease, PlannedSweep, Sweep, Trial};
use crate::time::Timestamp;

/// The state of the coordinator. Its serialisation lacks the sweeps, which are stored in chunks
/// ([`super::snapshot`]).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The workloads that this program knows; not stored.
    #[serde(skip)]
    pub workloads: WorkloadRegistry,
    /// Its id; none before the first start, and in journals of older versions.
    #[serde(default)]
    pub id: Option<StateId>,
    /// The starts that its journal knows.
    #[serde(default)]
    pub incarnations: Incarnations,
    /// The sweeps by name.
    #[serde(skip)]
    pub sweeps: BTreeMap<SweepName, Sweep>,
    /// How many sweeps were ever submitted, deleted ones included: the serial of the next one.
    pub submissions: u64,
    /// The differences from what a journal stores; not stored.
    #[serde(skip)]
    pub(super) stored: SkipEq<StoredState>,
    /// The names of the sweeps in the order in which they were submitted, which is the order in
    /// which they are served.
    pub order: Vec<SweepName>,
    /// The workers that joined and have not left.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// Requests that were dealt with.
    pub requests: HandledRequests,
    /// The fleets by name.
    #[serde(default)]
    pub fleets: BTreeMap<FleetName, Fleet>,
    /// The highest attempt number of deleted sweeps, by name. A new sweep of that name counts on
    /// from there, so that nothing an old worker says is taken for an attempt of the new sweep.
    #[serde(default)]
    pub attempt_floors: BTreeMap<SweepName, u32>,
}

impl State {
    /// An empty state of a program that knows `workloads`.
    pub fn new(workloads: WorkloadRegistry) -> Self {
        Self { workloads, ..Self::default() }
    }

    /// This state, which was stored, in a program that knows `workloads`.
    #[must_use]
    pub fn adopt(mut self, workloads: WorkloadRegistry) -> Self {
        for sweep in self.sweeps.values_mut() {
            sweep.planned = PlannedSweep::new(sweep.planned.definition.clone(), &workloads);
            sweep.ensure_resolved();
        }
        Self { workloads, ..self }
    }

    /// The latest moment of which it knows; the clock of a restarted coordinator goes on from there.
    pub fn latest(&self) -> Timestamp {
        let sweeps = self.sweeps.values().flat_map(|sweep| {
            let starts = sweep.live.values().map(|trial| trial.started);
            let ended = sweep.ended.map(|(_, at)| at);
            starts.chain([sweep.submitted]).chain(ended)
        });
        let seen = self.workers.values().map(|worker| worker.seen);
        sweeps.chain(seen).max().unwrap_or_default()
    }

    /// Where a worker runs.
    pub(crate) fn place_of(&self, worker: WorkerId) -> Option<&WorkerLocation> {
        self.workers.get(&worker).map(|worker| &worker.info.place)
    }

    /// The pilot that a worker belongs to, if a fleet started it.
    pub(crate) fn pilot_of(&self, worker: WorkerId) -> Option<&PilotId> {
        self.place_of(worker)?.pilot.as_ref()
    }

    /// The leases of a worker.
    pub fn leases_of(&self, worker: WorkerId) -> impl Iterator<Item = (AttemptId, &Lease)> {
        // Asked for at every acquire: the names of other workers' attempts are not made.
        self.leases_if(move |lease| lease.worker == worker)
    }

    /// Every lease.
    pub fn leases(&self) -> impl Iterator<Item = (AttemptId, &Lease)> {
        self.leases_if(|_| true)
    }

    fn leases_if(
        &self,
        wanted: impl Fn(&Lease) -> bool + Copy,
    ) -> impl Iterator<Item = (AttemptId, &Lease)> {
        self.sweeps.values().flat_map(move |sweep| {
            sweep.live.iter().filter_map(move |(index, trial)| {
                let lease = trial.lease.as_ref().filter(|lease| wanted(lease))?;
                let id = TrialId::new(sweep.name().clone(), *index);
                Some((AttemptId::new(id, trial.attempt), lease))
            })
        })
    }

    /// Whether `attempt` has its trial and is run by `worker`.
    pub fn holds(&self, worker: WorkerId, attempt: &AttemptId) -> bool {
        let trial = self.live(&attempt.trial);
        trial.is_some_and(|trial| {
            let lease = trial.lease.as_ref().filter(|lease| lease.worker == worker);
            trial.attempt == attempt.number && lease.is_some()
        })
    }

    /// Whether `worker` holds this attempt, and not another one of the same name.
    pub fn is_held(&self, worker: WorkerId, held: &HeldAttempt) -> bool {
        self.holds(worker, &held.attempt) && self.is_origin(held)
    }

    /// Whether `attempt` is among those that a worker says it holds.
    pub(super) fn is_named(&self, attempt: &AttemptId, held: &[HeldAttempt]) -> bool {
        held.iter().any(|held| held.attempt == *attempt && self.is_origin(held))
    }

    /// Whether the newest attempt of a trial was leased by this state under the start that `held`
    /// names. The configuration is compared where something is to be recorded.
    fn is_origin(&self, held: &HeldAttempt) -> bool {
        let AttemptId { trial, number } = &held.attempt;
        let sweep = self.sweeps.get(&trial.sweep);
        let newest = sweep.and_then(|sweep| sweep.newest_attempt(trial.index));
        let newest = newest.filter(|newest| newest.number == *number);
        let leased = newest.and_then(|newest| self.incarnations.get(newest.incarnation?));
        held.origin.is_some_and(|origin| {
            Some(origin.state) == self.id && Some(origin.incarnation) == leased
        })
    }

    /// The origin of `attempt`, if it is the newest one of its trial.
    pub fn origin(&self, attempt: &AttemptId) -> Option<Origin> {
        let sweep = self.sweeps.get(&attempt.trial.sweep)?;
        let newest = sweep.newest_attempt(attempt.trial.index)?;
        if newest.number != attempt.number {
            return None;
        }
        let trial = sweep.trial(attempt.trial.index).ok()?;
        Some(Origin {
            state: self.id?,
            incarnation: self.incarnations.get(newest.incarnation?)?,
            configuration: trial.digest(),
        })
    }

    /// The trial if it was started and has not ended.
    pub fn live(&self, trial: &TrialId) -> Option<&Trial> {
        self.sweeps.get(&trial.sweep)?.live.get(&trial.index)
    }
}
