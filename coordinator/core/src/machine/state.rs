//! The state of the coordinator. It changes only through [`State::apply`].
//!
//! An ended trial keeps only an [`EndedTrial`](crate::sweep::EndedTrial), so memory is bounded by
//! the running trials and a compact index. Rows and messages are in the results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::handled_requests::HandledRequests;
use super::origin::{HeldAttempt, Incarnations, Origin};
use super::stored_state::StoredState;
use super::worker::Worker;
use crate::fleet::{Fleet, FleetName, PilotId, WorkerLocation};
use crate::id::{AttemptId, StateId, SweepName, TrialId, WorkerId};
use crate::schema::WorkloadRegistry;
use crate::skip_eq::SkipEq;
use crate::sweep::{Lease, PlannedSweep, Sweep, Trial};
use crate::time::Timestamp;

/// The state of the coordinator. Its serialized form lacks the sweeps, which are stored in chunks
/// ([`super::snapshot`]).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The workloads known to this program; not stored.
    #[serde(skip)]
    pub workloads: WorkloadRegistry,
    /// The id of the state; none before the first start, and in journals of older versions.
    #[serde(default)]
    pub id: Option<StateId>,
    /// The starts of the coordinator that the journal knows.
    #[serde(default)]
    pub incarnations: Incarnations,
    /// The sweeps by name.
    #[serde(skip)]
    pub sweeps: BTreeMap<SweepName, Sweep>,
    /// The number of sweeps ever submitted, deleted ones included; it is the serial of the next
    /// one.
    pub submissions: u64,
    /// The record of what the journal stores; not itself stored.
    #[serde(skip)]
    pub(super) stored: SkipEq<StoredState>,
    /// The names of the sweeps in the order of submission, in which they are served.
    pub order: Vec<SweepName>,
    /// The workers that joined and have not left.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// The requests that were already handled.
    pub requests: HandledRequests,
    /// The fleets by name.
    #[serde(default)]
    pub fleets: BTreeMap<FleetName, Fleet>,
    /// The highest attempt number of deleted sweeps, by name. A new sweep of that name continues
    /// from there, so a message from an old worker cannot match one of its attempts.
    #[serde(default)]
    pub attempt_floors: BTreeMap<SweepName, u32>,
}

impl State {
    /// Creates an empty state for a program that knows `workloads`.
    pub fn new(workloads: WorkloadRegistry) -> Self {
        Self { workloads, ..Self::default() }
    }

    /// Plans the sweeps of a loaded state with `workloads`.
    #[must_use]
    pub fn adopt(mut self, workloads: WorkloadRegistry) -> Self {
        for sweep in self.sweeps.values_mut() {
            sweep.planned = PlannedSweep::new(sweep.planned.definition.clone(), &workloads);
            sweep.planned.compare(&mut sweep.history);
            sweep.ensure_resolved();
        }
        Self { workloads, ..self }
    }

    /// Returns the latest time in the state. The clock of a restarted coordinator continues from
    /// there.
    pub fn latest(&self) -> Timestamp {
        let sweeps = self.sweeps.values().flat_map(|sweep| {
            let starts = sweep.live.values().map(|trial| trial.started);
            let ended = sweep.ended.map(|(_, at)| at);
            starts.chain([sweep.submitted]).chain(ended)
        });
        let seen = self.workers.values().map(|worker| worker.seen);
        sweeps.chain(seen).max().unwrap_or_default()
    }

    /// Returns the location of a worker.
    pub(crate) fn place_of(&self, worker: WorkerId) -> Option<&WorkerLocation> {
        self.workers.get(&worker).map(|worker| &worker.info.place)
    }

    /// Returns the pilot of a worker, if a fleet started it.
    pub(crate) fn pilot_of(&self, worker: WorkerId) -> Option<&PilotId> {
        self.place_of(worker)?.pilot.as_ref()
    }

    /// Returns the leases of a worker.
    pub fn leases_of(&self, worker: WorkerId) -> impl Iterator<Item = (AttemptId, &Lease)> {
        // Called at every acquire, so ids are built only for this worker's attempts.
        self.leases_if(move |lease| lease.worker == worker)
    }

    /// Returns every lease.
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

    /// Whether `attempt` is live and leased to `worker`.
    pub fn holds(&self, worker: WorkerId, attempt: &AttemptId) -> bool {
        let trial = self.live(&attempt.trial);
        trial.is_some_and(|trial| {
            let lease = trial.lease.as_ref().filter(|lease| lease.worker == worker);
            trial.attempt == attempt.number && lease.is_some()
        })
    }

    /// Whether `worker` holds exactly this attempt, and not another one of the same name.
    pub fn is_held(&self, worker: WorkerId, held: &HeldAttempt) -> bool {
        self.holds(worker, &held.attempt) && self.is_origin(held)
    }

    /// Whether `attempt` is among those that a worker lists as held.
    pub(super) fn is_named(&self, attempt: &AttemptId, held: &[HeldAttempt]) -> bool {
        held.iter().any(|held| held.attempt == *attempt && self.is_origin(held))
    }

    /// Whether this state leased the newest attempt of the trial under the start named by `held`.
    /// The configuration is compared only where something is to be recorded.
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

    /// Returns the origin of `attempt`, if it is the newest of its trial.
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

    /// Returns the trial, if it has started and not ended.
    pub fn live(&self, trial: &TrialId) -> Option<&Trial> {
        self.sweeps.get(&trial.sweep)?.live.get(&trial.index)
    }
}
