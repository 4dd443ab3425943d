//! Everything the coordinator knows. It changes only through [`State::apply`].
//!
//! What is kept of an ended trial is small ([`Done`]), so that memory is bounded by running trials
//! and a compact index; rows and messages are in the results.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::origin::{Held, Incarnations, Origin};
use super::outcome::{AttemptOutcome, EndReason, Outcome, StopReason};
use super::ranked_points::RankedPoints;
use super::requests::Requests;
use super::worker::Worker;
use crate::definition::Definition;
use crate::fleet::{Fleet, FleetName, PilotId, Place};
use crate::history::History;
use crate::id::{AttemptId, Digest, StateId, SweepName, TrialId, WorkerId};
use crate::needs::Need;
use crate::plan::{self, Plan, PlannedTrial};
use crate::pruner::Pruner;
use crate::rows::RowCounts;
use crate::sampler::Suggestion;
use crate::schema::Workloads;
use crate::time::Timestamp;

/// Trials whose needs are looked at to know those of all.
const SPREAD: u64 = 10_000;

/// The state of the coordinator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The workloads that this program knows; not stored.
    #[serde(skip)]
    pub workloads: Workloads,
    /// Its id; none before the first start, and in journals of older versions.
    #[serde(default)]
    pub id: Option<StateId>,
    /// The starts that its journal knows.
    #[serde(default)]
    pub incarnations: Incarnations,
    /// The sweeps by name.
    pub sweeps: BTreeMap<SweepName, Sweep>,
    /// The names of the sweeps in the order in which they were submitted, which is the order in
    /// which they are served.
    pub order: Vec<SweepName>,
    /// The workers that joined and have not left.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// Requests that were dealt with.
    pub requests: Requests,
    /// The fleets by name.
    #[serde(default)]
    pub fleets: BTreeMap<FleetName, Fleet>,
    /// The highest attempt number of deleted sweeps, by name. A new sweep of that name counts on
    /// from there, so that nothing an old worker says is taken for an attempt of the new sweep.
    #[serde(default)]
    pub attempt_floors: BTreeMap<SweepName, u32>,
}

/// A sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// What it means, and the plan that follows from it.
    pub planned: Planned,
    /// The sweep file, for people.
    pub source: String,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// Whether it starts no trial until it is resumed.
    pub paused: bool,
    /// Why it starts no further trial, if it was closed.
    pub closed: Option<EndReason>,
    /// Why and when it ended, if it has.
    pub ended: Option<(EndReason, Timestamp)>,
    /// The first index that was never started.
    pub next: u64,
    /// Trials that run or wait for another attempt.
    pub live: BTreeMap<u64, Trial>,
    /// Failed and cancelled trials: they can be tried again.
    pub parked: BTreeMap<u64, Trial>,
    /// Every ended trial, parked ones included.
    pub done: BTreeMap<u64, Done>,
    /// How many trials of `done` ended in which way.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// The points in order, the best first. It follows from `done`.
    #[serde(skip)]
    pub ranked: RankedPoints,
    /// What samplers and pruners may see.
    pub history: History,
    /// Attempt numbers up to this one belong to deleted sweeps of the same name.
    #[serde(default)]
    pub attempt_floor: u32,
}

/// A definition with what follows from it, which is not stored.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What the sweep means.
    pub definition: Definition,
    /// What it runs.
    pub plan: Arc<Plan>,
    /// What stops trials early, if anything does.
    pub pruner: Option<Arc<dyn Pruner>>,
    /// What every trial needs of its worker, if that is the same for all.
    pub needs: Option<Arc<[Need]>>,
}

impl Planned {
    /// Plans a definition of one of `workloads`.
    pub fn new(definition: Definition, workloads: &Workloads) -> Self {
        let schema = workloads.schema(&definition.workload);
        let plan = Arc::new(Plan::new(&definition, &schema));
        let needs = plan::common_needs(&definition, &schema).map(Arc::from);
        Self { definition, plan, pruner: None, needs }
    }

    /// Trial `index` as it runs.
    pub fn trial(&self, history: &History, index: u64) -> Result<PlannedTrial, plan::Error> {
        self.plan.trial(index, &self.suggestion(history, index))
    }

    fn suggestion(&self, history: &History, index: u64) -> Suggestion {
        let point = self.plan.point_of(index);
        let suggestion = match recorded(history, point) {
            Some(recorded) => Some(recorded.clone()),
            None => self.plan.suggest(history, point),
        };
        suggestion.unwrap_or_default()
    }

    /// The needs of trial `index`; none if its configuration cannot run.
    pub(super) fn needs_of(&self, history: &History, index: u64) -> Vec<Need> {
        self.plan.needs(index, &self.suggestion(history, index)).unwrap_or_default()
    }

    /// What trials need of their workers; where that differs, of some that are spread evenly over the
    /// sweep.
    pub fn needs_of_all(&self) -> BTreeSet<Need> {
        if let Some(common) = &self.needs {
            return common.iter().cloned().collect();
        }
        let trials = self.plan.trials();
        let (mut history, mut needs) = (self.plan.history(), BTreeSet::new());
        // A point that depends on those before it cannot be skipped to.
        let step = if self.plan.records_points() { 1 } else { trials.div_ceil(SPREAD).max(1) };
        let indices = (0..SPREAD).map(|n| n * step).take_while(|index| *index < trials);
        for index in indices {
            if let Some(suggestion) = self.new_suggestion(&history, index) {
                history.record_suggestion(&suggestion);
            }
            needs.extend(self.needs_of(&history, index));
        }
        needs
    }

    /// The suggestion to record when trial `index` is first leased: none if it follows from the
    /// definition, or if another seed of the same point came before.
    pub fn new_suggestion(&self, history: &History, index: u64) -> Option<Suggestion> {
        let point = self.plan.point_of(index);
        if !self.plan.records_points() || recorded(history, point).is_some() {
            return None;
        }
        self.plan.suggest(history, point)
    }
}

fn recorded(history: &History, point: u64) -> Option<&Suggestion> {
    history.suggestions().get(usize::try_from(point).ok()?)
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.definition == other.definition
    }
}

impl Serialize for Planned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.definition.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Planned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // [`State::adopt`] plans it with what the program knows.
        let definition = Definition::deserialize(deserializer)?;
        Ok(Self::new(definition, &Workloads::default()))
    }
}

/// A trial that was started and has not ended, or that can be tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// When its first attempt began.
    pub started: Timestamp,
    /// The number of its newest attempt.
    pub attempt: u32,
    /// The last message of that attempt that was accepted.
    pub sequence: u64,
    /// The number of the start under which that attempt was leased; none before the first attempt,
    /// and for attempts that a coordinator of an older version leased.
    #[serde(default)]
    pub incarnation: Option<u32>,
    /// Who has it now.
    pub lease: Option<Lease>,
    /// The earliest time of its next attempt, while it has no lease.
    pub not_before: Timestamp,
    /// The worker on which its last attempt failed, if that may be of the worker.
    #[serde(default)]
    pub failed_on: Option<WorkerId>,
    /// The checkpoint from which the next attempt resumes.
    pub checkpoint: Option<Digest>,
    /// Rows that are durable.
    pub durable: RowCounts,
    /// Rows that had been produced when `checkpoint` was made. Less than `durable` only after a
    /// damaged checkpoint made the trial start over.
    pub covered: RowCounts,
    /// Share of the whole trial that was done when `checkpoint` was made, in [0, 1].
    #[serde(default)]
    pub fraction: f64,
    /// Ended attempts by how they ended, for the retry budgets.
    pub ends: BTreeMap<AttemptOutcome, u32>,
    /// The last error that was reported.
    pub error: Option<String>,
    /// Whether it is to stop, and why.
    pub stop: Option<StopReason>,
}

/// A right to work on a trial until a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who has it.
    pub worker: WorkerId,
    /// Since when.
    pub since: Timestamp,
    /// Until when, unless it is renewed.
    pub until: Timestamp,
    /// Slots of the worker that it takes.
    pub threads: u32,
    /// How many commits of the attempt were accepted.
    pub commits: u64,
    /// The first and the last epoch that it committed.
    pub epochs: Option<(u32, u32)>,
}

/// What is kept of an ended trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// How it ended.
    pub outcome: Outcome,
    /// The number of its last attempt.
    pub attempt: u32,
    /// The last message of that attempt, so that a repeated finish is recognised.
    pub sequence: u64,
    /// The number of the start under which that attempt was leased.
    #[serde(default)]
    pub incarnation: Option<u32>,
    /// The value of the sweep's metric.
    pub objective: Option<f64>,
    /// The last checkpoint, if it is kept.
    pub checkpoint: Option<Digest>,
    /// When its first attempt began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// The newest attempt of a trial.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest {
    /// Its number.
    pub(super) number: u32,
    /// The last message of it that was accepted.
    pub(super) sequence: u64,
    /// The number of the start under which it was leased.
    pub(super) incarnation: Option<u32>,
}

impl State {
    /// An empty state of a program that knows `workloads`.
    pub fn new(workloads: Workloads) -> Self {
        Self { workloads, ..Self::default() }
    }

    /// This state, which was stored, in a program that knows `workloads`.
    #[must_use]
    pub fn adopt(mut self, workloads: Workloads) -> Self {
        for sweep in self.sweeps.values_mut() {
            sweep.planned = Planned::new(sweep.planned.definition.clone(), &workloads);
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
    pub(crate) fn place_of(&self, worker: WorkerId) -> Option<&Place> {
        self.workers.get(&worker).map(|worker| &worker.info.place)
    }

    /// The pilot that a worker belongs to, if a fleet started it.
    pub(crate) fn pilot_of(&self, worker: WorkerId) -> Option<&PilotId> {
        self.place_of(worker)?.pilot.as_ref()
    }

    /// The leases of a worker.
    pub fn leases_of(&self, worker: WorkerId) -> impl Iterator<Item = (AttemptId, &Lease)> {
        self.leases().filter(move |(_, lease)| lease.worker == worker)
    }

    /// Every lease.
    pub fn leases(&self) -> impl Iterator<Item = (AttemptId, &Lease)> {
        self.sweeps.values().flat_map(|sweep| {
            sweep.live.iter().filter_map(|(index, trial)| {
                let id = TrialId::new(sweep.name().clone(), *index);
                Some((AttemptId::new(id, trial.attempt), trial.lease.as_ref()?))
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
    pub fn is_held(&self, worker: WorkerId, held: &Held) -> bool {
        self.holds(worker, &held.attempt) && self.is_origin(held)
    }

    /// Whether `attempt` is among those that a worker says it holds.
    pub(super) fn is_named(&self, attempt: &AttemptId, held: &[Held]) -> bool {
        held.iter().any(|held| held.attempt == *attempt && self.is_origin(held))
    }

    /// Whether the newest attempt of a trial was leased by this state under the start that `held`
    /// names. The configuration is compared where something is to be recorded.
    fn is_origin(&self, held: &Held) -> bool {
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
        let trial = sweep.planned.trial(&sweep.history, attempt.trial.index).ok()?;
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

impl Sweep {
    /// A sweep of which nothing was started.
    pub fn new(planned: Planned, source: String, submitted: Timestamp) -> Self {
        Self {
            history: planned.plan.history(),
            planned,
            source,
            submitted,
            paused: false,
            closed: None,
            ended: None,
            next: 0,
            live: BTreeMap::new(),
            parked: BTreeMap::new(),
            done: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            ranked: RankedPoints::empty(),
            attempt_floor: 0,
        }
    }

    /// The number of an attempt as people count it: from 1 in this sweep.
    pub fn attempt_count(&self, number: u32) -> u32 {
        number.saturating_sub(self.attempt_floor)
    }

    /// The highest attempt number that was ever used under the name of this sweep.
    pub fn last_attempt(&self) -> u32 {
        let live = self.live.values().map(|trial| trial.attempt);
        let done = self.done.values().map(|done| done.attempt);
        live.chain(done).max().unwrap_or(0).max(self.attempt_floor)
    }

    /// Its name.
    pub fn name(&self) -> &SweepName {
        &self.planned.definition.name
    }

    /// The newest attempt of trial `index`, if it was ever tried.
    pub(super) fn newest_attempt(&self, index: u64) -> Option<Newest> {
        if let Some(trial) = self.live.get(&index) {
            let (number, sequence, incarnation) =
                (trial.attempt, trial.sequence, trial.incarnation);
            return Some(Newest { number, sequence, incarnation });
        }
        let done = self.done.get(&index)?;
        let (number, sequence, incarnation) = (done.attempt, done.sequence, done.incarnation);
        Some(Newest { number, sequence, incarnation })
    }

    /// How many trials have ended in this way.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// Whether it starts trials that were never started.
    pub fn is_open(&self) -> bool {
        !self.paused && self.closed.is_none() && self.next < self.planned.plan.trials()
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        let started_all = self.next >= self.planned.plan.trials();
        let closed = self.closed.is_some();
        let left = self.live.values().any(|trial| !(closed && trial.is_deferred()));
        !left && (started_all || closed)
    }
}
