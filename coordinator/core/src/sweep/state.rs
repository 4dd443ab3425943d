//! A sweep as the state machine knows it: its trials that run or wait, and an index of those that
//! ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::outcome::{AttemptOutcome, StopReason, SweepEndReason, TrialOutcome};
use super::planned_sweep::PlannedSweep;
use crate::chunked_map::ChunkedMap;
use crate::history::History;
use crate::id::{Digest, SweepName, WorkerId};
use crate::plan::{self, PlannedTrial};
use crate::ranking::Rank;
use crate::resources::GrantedResources;
use crate::rows::RowCounts;
use crate::skip_eq::SkipEq;
use crate::time::Timestamp;

/// A sweep. Its serialisation lacks what grows with its trials, which is stored in chunks of its own
/// ([`crate::machine::snapshot`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Its number among all sweeps that were ever submitted, which no other sweep of its name has.
    pub serial: u64,
    /// Whether it is stored as it is now, apart from what grows with its trials; not stored.
    #[serde(skip)]
    pub(crate) stored: SkipEq<bool>,
    /// What it means, and the plan that follows from it.
    pub planned: PlannedSweep,
    /// The sweep file, for people.
    pub source: String,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// Whether it starts no trial until it is resumed.
    pub paused: bool,
    /// Why it starts no further trial, if it was closed.
    pub closed: Option<SweepEndReason>,
    /// Why and when it ended, if it has.
    pub ended: Option<(SweepEndReason, Timestamp)>,
    /// The first index that was never started.
    pub next: u64,
    /// Trials that run or wait for another attempt.
    pub live: BTreeMap<u64, Trial>,
    /// Failed and cancelled trials: they can be tried again.
    #[serde(skip)]
    pub parked: ChunkedMap<Trial>,
    /// Every ended trial, parked ones included.
    #[serde(skip)]
    pub done: ChunkedMap<EndedTrial>,
    /// How many trials of `done` ended in which way.
    pub outcomes: BTreeMap<TrialOutcome, u64>,
    /// The points in order, the best first. It follows from `done`.
    #[serde(skip)]
    pub ranked: SkipEq<Option<BTreeSet<Rank>>>,
    /// What samplers and pruners may see.
    pub history: History,
    /// Attempt numbers up to this one belong to deleted sweeps of the same name.
    #[serde(default)]
    pub attempt_floor: u32,
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
    /// The trial as it runs. It follows from the definition and the history, so it is not stored.
    #[serde(skip)]
    pub planned: SkipEq<Option<Arc<PlannedTrial>>>,
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
    /// The resources of the worker that the trial has.
    pub granted: GrantedResources,
    /// How many commits of the attempt were accepted.
    pub commits: u64,
    /// The first and the last epoch that it committed.
    pub epochs: Option<(u32, u32)>,
}

/// What is kept of an ended trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EndedTrial {
    /// How it ended.
    pub outcome: TrialOutcome,
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
pub(crate) struct NewestAttempt {
    /// Its number.
    pub(crate) number: u32,
    /// The last message of it that was accepted.
    pub(crate) sequence: u64,
    /// The number of the start under which it was leased.
    pub(crate) incarnation: Option<u32>,
}

impl Trial {
    /// Whether it was put off before it was ever leased.
    pub fn is_deferred(&self) -> bool {
        self.attempt == 0 && self.lease.is_none()
    }
}

impl Sweep {
    /// A sweep of which nothing was started.
    pub fn new(planned: PlannedSweep, source: String, submitted: Timestamp) -> Self {
        Self {
            serial: 0,
            stored: SkipEq(false),
            history: planned.plan.history(),
            planned,
            source,
            submitted,
            paused: false,
            closed: None,
            ended: None,
            next: 0,
            live: BTreeMap::new(),
            parked: ChunkedMap::default(),
            done: ChunkedMap::default(),
            outcomes: BTreeMap::new(),
            ranked: SkipEq(Some(BTreeSet::new())),
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

    /// Trial `index` as it runs, if its point is known.
    pub fn trial(&self, index: u64) -> Result<Arc<PlannedTrial>, plan::Error> {
        let live = self.live.get(&index).and_then(|trial| trial.planned.0.as_ref());
        live.map_or_else(|| self.planned.trial(&self.history, index), |known| Ok(Arc::clone(known)))
    }

    /// Resolves the trials that are leased and were loaded without it.
    pub(crate) fn ensure_resolved(&mut self) {
        let unresolved =
            |(_, trial): &(&u64, &Trial)| trial.lease.is_some() && trial.planned.0.is_none();
        let indices: Vec<u64> =
            self.live.iter().filter(unresolved).map(|(index, _)| *index).collect();
        for index in indices {
            let planned = self.planned.trial(&self.history, index).ok();
            if let Some(trial) = self.live.get_mut(&index) {
                trial.planned = SkipEq(planned);
            }
        }
    }

    /// The newest attempt of trial `index`, if it was ever tried.
    pub(crate) fn newest_attempt(&self, index: u64) -> Option<NewestAttempt> {
        if let Some(trial) = self.live.get(&index) {
            let (number, sequence, incarnation) =
                (trial.attempt, trial.sequence, trial.incarnation);
            return Some(NewestAttempt { number, sequence, incarnation });
        }
        let done = self.done.get(&index)?;
        let (number, sequence, incarnation) = (done.attempt, done.sequence, done.incarnation);
        Some(NewestAttempt { number, sequence, incarnation })
    }

    /// How many trials have ended in this way.
    pub fn count(&self, outcome: TrialOutcome) -> u64 {
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
