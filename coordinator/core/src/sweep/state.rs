//! The state of a sweep: its running and waiting trials, and an index of the ended ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::outcome::{AttemptOutcome, StopReason, SweepEndReason, TrialOutcome};
use super::planned_sweep::PlannedSweep;
use super::spending::SweepSpending;
use crate::chunked_map::ChunkedMap;
use crate::history::History;
use crate::id::{Digest, SweepName, WorkerId};
use crate::plan::{self, PlannedTrial};
use crate::ranking::Rank;
use crate::resources::GrantedResources;
use crate::rows::RowCounts;
use crate::skip_eq::SkipEq;
use crate::time::Timestamp;

/// The state of a sweep. Its serialized form lacks what grows with the number of trials, which is
/// stored in separate chunks ([`crate::machine::snapshot`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The serial number among all sweeps ever submitted, which no other sweep of the same name
    /// has.
    pub serial: u64,
    /// Whether the journal stores the sweep as it is now, apart from the chunked maps; not itself
    /// stored.
    #[serde(skip)]
    pub(crate) stored: SkipEq<bool>,
    /// The definition and the plan that follows from it.
    pub planned: PlannedSweep,
    /// The text of the sweep file, for display.
    pub source: String,
    /// The time of submission.
    pub submitted: Timestamp,
    /// Whether the sweep is paused: it starts no trial until it is resumed.
    pub paused: bool,
    /// The reason for which it starts no further trial, if it was closed.
    pub closed: Option<SweepEndReason>,
    /// The reason and the time of its end, if it has ended.
    pub ended: Option<(SweepEndReason, Timestamp)>,
    /// The lowest index that never started.
    pub next: u64,
    /// The point that was requested and is being chosen.
    #[serde(default)]
    pub requested: Option<u64>,
    /// Trials that run or wait for another attempt.
    #[serde(skip)]
    pub live: ChunkedMap<Trial>,
    /// Trials that a pruner paused.
    #[serde(skip)]
    pub parked: ChunkedMap<Trial>,
    /// Failed and cancelled trials, which can be retried.
    #[serde(skip)]
    pub retryable: ChunkedMap<Trial>,
    /// Every ended trial, retryable ones included.
    #[serde(skip)]
    pub done: ChunkedMap<EndedTrial>,
    /// The numbers of trials in `done` by outcome.
    pub outcomes: BTreeMap<TrialOutcome, u64>,
    /// The points in order, the best first. It follows from `done`.
    #[serde(skip)]
    pub ranked: SkipEq<Option<BTreeSet<Rank>>>,
    /// The history for samplers and pruners.
    pub history: History,
    /// The spending, for the rules of `stop`.
    #[serde(default)]
    pub spent: SweepSpending,
    /// The highest attempt number of deleted sweeps of the same name.
    #[serde(default)]
    pub attempt_floor: u32,
}

/// A trial that has started and not ended, or that can be retried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The start of its first attempt.
    pub started: Timestamp,
    /// The number of its newest attempt.
    pub attempt: u32,
    /// The number of the last accepted message of that attempt.
    pub sequence: u64,
    /// The number of the start under which that attempt was leased; none before the first attempt,
    /// and for attempts leased by older versions.
    #[serde(default)]
    pub incarnation: Option<u32>,
    /// The current lease.
    pub lease: Option<Lease>,
    /// The earliest time of its next attempt, while it has no lease.
    pub not_before: Timestamp,
    /// The worker on which its last attempt failed, if the worker may be at fault.
    #[serde(default)]
    pub failed_on: Option<WorkerId>,
    /// The checkpoint from which the next attempt resumes.
    pub checkpoint: Option<Digest>,
    /// The durable rows.
    pub durable: RowCounts,
    /// The rows that had been produced when `checkpoint` was made. They are fewer than `durable`
    /// only after a damaged checkpoint made the trial start over.
    pub covered: RowCounts,
    /// The completed share of the whole trial at `checkpoint`, in [0, 1].
    #[serde(default)]
    pub fraction: f64,
    /// The numbers of ended attempts by outcome, for the retry budgets.
    pub ends: BTreeMap<AttemptOutcome, u32>,
    /// The last reported error.
    pub error: Option<String>,
    /// The reason for which it must stop, if any.
    pub stop: Option<StopReason>,
    /// The rung, in epochs, at which the trial is parked or to be parked.
    #[serde(default)]
    pub rung: Option<u32>,
    /// The resolved trial. It follows from the definition and the history, so it is not stored.
    #[serde(skip)]
    pub planned: SkipEq<Option<Arc<PlannedTrial>>>,
}

/// The right of a worker to run a trial until a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker.
    pub worker: WorkerId,
    /// The start of the lease.
    pub since: Timestamp,
    /// The end of the lease, unless it is renewed.
    pub until: Timestamp,
    /// The resources granted to the trial.
    pub granted: GrantedResources,
    /// The number of accepted commits of the attempt.
    pub commits: u64,
    /// The first and the last epoch that the attempt committed.
    pub epochs: Option<(u32, u32)>,
}

/// The compact record of an ended trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EndedTrial {
    /// The outcome.
    pub outcome: TrialOutcome,
    /// The number of its last attempt.
    pub attempt: u32,
    /// The number of the last message of that attempt, to recognise a repeated finish.
    pub sequence: u64,
    /// The number of the start under which that attempt was leased.
    #[serde(default)]
    pub incarnation: Option<u32>,
    /// The value of the objective metric.
    pub objective: Option<f64>,
    /// The last checkpoint, if it is kept.
    pub checkpoint: Option<Digest>,
    /// The start of its first attempt.
    pub started: Timestamp,
    /// The time of its end.
    pub ended: Timestamp,
}

/// The newest attempt of a trial.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewestAttempt {
    /// The attempt number.
    pub(crate) number: u32,
    /// The number of its last accepted message.
    pub(crate) sequence: u64,
    /// The number of the start under which it was leased.
    pub(crate) incarnation: Option<u32>,
}

impl Trial {
    /// Whether the trial was deferred and never leased.
    pub fn is_deferred(&self) -> bool {
        self.attempt == 0 && self.lease.is_none()
    }
}

impl Sweep {
    /// Creates a sweep without started trials.
    pub fn new(planned: PlannedSweep, source: String, submitted: Timestamp) -> Self {
        Self {
            serial: 0,
            stored: SkipEq(false),
            history: planned.history(),
            planned,
            source,
            submitted,
            paused: false,
            closed: None,
            ended: None,
            next: 0,
            requested: None,
            live: ChunkedMap::default(),
            parked: ChunkedMap::default(),
            retryable: ChunkedMap::default(),
            done: ChunkedMap::default(),
            outcomes: BTreeMap::new(),
            ranked: SkipEq(Some(BTreeSet::new())),
            spent: SweepSpending::default(),
            attempt_floor: 0,
        }
    }

    /// Returns the attempt number shown to users, which counts from 1 in this sweep.
    pub fn attempt_count(&self, number: u32) -> u32 {
        number.saturating_sub(self.attempt_floor)
    }

    /// Returns the highest attempt number ever used under the name of this sweep.
    pub fn last_attempt(&self) -> u32 {
        let live = self.live.values().map(|trial| trial.attempt);
        let done = self.done.values().map(|done| done.attempt);
        let parked = self.parked.values().map(|trial| trial.attempt);
        live.chain(parked).chain(done).max().unwrap_or(0).max(self.attempt_floor)
    }

    /// Returns the name.
    pub fn name(&self) -> &SweepName {
        &self.planned.definition.name
    }

    /// Resolves trial `index`, if its point is known.
    pub fn trial(&self, index: u64) -> Result<Arc<PlannedTrial>, plan::Error> {
        let live = self.live.get(&index).and_then(|trial| trial.planned.0.as_ref());
        live.map_or_else(|| self.planned.trial(&self.history, index), |known| Ok(Arc::clone(known)))
    }

    /// Resolves the leased trials of a loaded sweep.
    pub(crate) fn ensure_resolved(&mut self) {
        let Self { planned, history, live, .. } = self;
        live.change_each(
            |trial| trial.lease.is_some() && trial.planned.0.is_none(),
            |index, trial| trial.planned = SkipEq(planned.trial(history, index).ok()),
        );
    }

    /// Returns trial `index` if it has started and has no final result.
    pub fn open_trial(&self, index: u64) -> Option<&Trial> {
        let maps = [&self.live, &self.parked, &self.retryable];
        maps.into_iter().find_map(|trials| trials.get(&index))
    }

    /// Returns the parked trials that may resume now, in the order in which they do. If nothing else
    /// is left to run and no trial has completed, the best one may, so that the sweep has a result.
    pub fn promotable(&self) -> Vec<u64> {
        let Some(pruner) = &self.planned.pruner else { return Vec::new() };
        if self.closed.is_some() || self.parked.is_empty() {
            return Vec::new();
        }
        let promotable = pruner.promotable(&self.history);
        let is_last = self.live.is_empty() && self.next >= self.planned.plan.trials();
        if promotable.is_empty() && is_last && self.count(TrialOutcome::Completed) == 0 {
            return self.history.best_parked().into_iter().collect();
        }
        promotable
    }

    /// Returns the newest attempt of trial `index`, if there was any.
    pub(crate) fn newest_attempt(&self, index: u64) -> Option<NewestAttempt> {
        if let Some(trial) = self.live.get(&index).or_else(|| self.parked.get(&index)) {
            let (number, sequence, incarnation) =
                (trial.attempt, trial.sequence, trial.incarnation);
            return Some(NewestAttempt { number, sequence, incarnation });
        }
        let done = self.done.get(&index)?;
        let (number, sequence, incarnation) = (done.attempt, done.sequence, done.incarnation);
        Some(NewestAttempt { number, sequence, incarnation })
    }

    /// Returns the number of trials with this outcome.
    pub fn count(&self, outcome: TrialOutcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// Whether the sweep has further trials to start.
    pub fn is_open(&self) -> bool {
        !self.paused && self.closed.is_none() && self.next < self.planned.plan.trials()
    }

    /// Whether no trial is left to run.
    pub fn is_over(&self) -> bool {
        let started_all = self.next >= self.planned.plan.trials();
        let closed = self.closed.is_some();
        let left = self.live.values().any(|trial| !(closed && trial.is_deferred()));
        !left && (started_all || closed) && self.promotable().is_empty()
    }
}
