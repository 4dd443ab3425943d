//! The state as shown to users and workers.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::origin::{HeldAttempt, Origin};
use super::placement::PlacementFailure;
use super::state::State;
use crate::estimate::Estimate;
use crate::fleet::PilotId;
use crate::id::{AttemptId, Digest, SweepName, TrialId, WorkerId};
use crate::plan::PlannedTrial;
use crate::pruner::CommitEpochs;
use crate::ranking::{Aggregate, AggregateRule};
use crate::resources::GrantedResources;
use crate::rows::RowCounts;
use crate::space::Point;
use crate::sweep::{
    EndedTrial, PointResult, StopReason, Sweep, SweepEndReason, Trial, TrialOutcome,
};
use crate::time::Timestamp;

/// The life phase of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepPhase {
    /// Trials start as workers ask for them.
    Running,
    /// No trial starts until the sweep is resumed.
    Paused,
    /// No further trial starts; running ones have not ended yet.
    Closing,
    /// Every trial has ended, or none will start.
    Ended,
}

impl SweepPhase {
    /// Parses the name of a phase.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Running, Self::Paused, Self::Closing, Self::Ended];
        all.into_iter().find(|phase| phase.name() == name)
    }

    /// Returns the name used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Closing => "closing",
            Self::Ended => "ended",
        }
    }
}

/// The status of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialStatus {
    /// Never started.
    Queued,
    /// Waiting for another attempt.
    Waiting,
    /// Leased to a worker.
    Running,
    /// Paused by the pruner.
    Parked,
    /// Ended.
    #[serde(untagged)]
    Ended(TrialOutcome),
}

impl TrialStatus {
    /// Returns the status of trial `index` of `sweep`.
    pub fn of(sweep: &Sweep, index: u64) -> Self {
        if let Some(done) = sweep.done.get(&index) {
            return Self::Ended(done.outcome);
        }
        match sweep.live.get(&index) {
            None if sweep.parked.contains_key(&index) => Self::Parked,
            None => Self::Queued,
            Some(trial) if trial.is_deferred() => Self::Queued,
            Some(trial) if trial.lease.is_some() => Self::Running,
            Some(_) => Self::Waiting,
        }
    }

    /// Returns the name used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Ended(outcome) => outcome.name(),
        }
    }

    /// Parses the name of a status.
    pub fn parse(name: &str) -> Option<Self> {
        let ended = TrialOutcome::ALL.into_iter().map(Self::Ended);
        [Self::Queued, Self::Waiting, Self::Running, Self::Parked]
            .into_iter()
            .chain(ended)
            .find(|status| status.name() == name)
    }
}

/// The numbers of trials of a sweep by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialCounts {
    /// All trials.
    pub trials: u64,
    /// Never started.
    pub queued: u64,
    /// Waiting for another attempt.
    pub waiting: u64,
    /// Leased to a worker.
    pub running: u64,
    /// Completed.
    pub completed: u64,
    /// Diverged.
    pub diverged: u64,
    /// Pruned.
    pub pruned: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Failed.
    pub failed: u64,
    /// Paused by the pruner.
    #[serde(default)]
    pub parked: u64,
}

impl TrialCounts {
    /// Returns the number of ended trials.
    pub fn ended(&self) -> u64 {
        self.completed + self.diverged + self.pruned + self.cancelled + self.failed
    }
}

/// A sweep as shown to users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepView {
    /// The name.
    pub name: SweepName,
    /// The description in the sweep file.
    pub description: Option<String>,
    /// The life phase.
    pub phase: SweepPhase,
    /// The reason for its end, once it is closing or ended.
    pub reason: Option<SweepEndReason>,
    /// The time of submission.
    pub submitted: Timestamp,
    /// The time of its end.
    pub ended: Option<Timestamp>,
    /// The numbers of trials by status.
    pub counts: TrialCounts,
    /// The name of the objective metric.
    pub metric: String,
    /// Whether a larger metric is better.
    pub maximize: bool,
    /// The rule by which the seeds of a point give one value.
    #[serde(default)]
    pub aggregate: AggregateRule,
    /// Whether trials could start, but none runs and no worker is there to take one. The state
    /// cannot know which workers are connected; the coordinator fills this in.
    #[serde(default)]
    pub idle: bool,
    /// The reason why no worker can run the waiting trials.
    #[serde(default)]
    pub no_fit: Option<PlacementFailure>,
    /// The best point so far.
    pub best: Option<BestPoint>,
    /// The estimated time to its end. Only a running coordinator can give one.
    #[serde(default)]
    pub estimate: Option<Estimate>,
}

/// The best point of a sweep as shown to users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestPoint {
    /// The number of the point.
    pub point: u64,
    /// The index of its first trial, which is its only one without replicates.
    pub trial: u64,
    /// The swept values by dotted path.
    pub swept: Point,
    /// The number of its completed seeds.
    pub completed: u64,
    /// The number of seeds that the sweep asks for.
    pub seeds: u64,
    /// The metric over the completed seeds.
    pub aggregate: Aggregate,
}

impl BestPoint {
    fn of(sweep: &Sweep) -> Option<Self> {
        let PointResult { point, tally, aggregate, .. } = sweep.best()?;
        let trial = point.saturating_mul(sweep.seeds());
        let planned = sweep.trial(trial).ok();
        Some(Self {
            point,
            trial,
            swept: planned.map(|trial| trial.swept.clone()).unwrap_or_default(),
            completed: tally.completed,
            seeds: sweep.seeds(),
            aggregate: aggregate?,
        })
    }
}

impl SweepView {
    /// Returns the life phase of `sweep`.
    pub fn phase_of(sweep: &Sweep) -> SweepPhase {
        match sweep {
            Sweep { ended: Some(_), .. } => SweepPhase::Ended,
            Sweep { closed: Some(_), .. } => SweepPhase::Closing,
            Sweep { paused: true, .. } => SweepPhase::Paused,
            _ => SweepPhase::Running,
        }
    }

    /// Builds the view of `sweep`.
    pub fn of(sweep: &Sweep) -> Self {
        let definition = &sweep.planned.definition;
        Self {
            name: sweep.name().clone(),
            description: definition.description.clone(),
            phase: Self::phase_of(sweep),
            reason: sweep.ended.map(|(reason, _)| reason).or(sweep.closed),
            submitted: sweep.submitted,
            ended: sweep.ended.map(|(_, at)| at),
            counts: sweep.counts(),
            metric: definition.objective.name.to_string(),
            maximize: definition.objective.goal == crate::metric::Goal::Maximize,
            aggregate: definition.aggregate,
            idle: false,
            no_fit: None,
            best: BestPoint::of(sweep),
            estimate: None,
        }
    }

    /// Builds the view of `sweep` with a placement failure, if none of the `present` workers of
    /// `state` fits.
    pub fn among_workers(state: &State, sweep: &Sweep, present: impl Fn(WorkerId) -> bool) -> Self {
        Self { no_fit: state.placement_failure(sweep, present), ..Self::of(sweep) }
    }
}

impl Sweep {
    /// Returns the epochs after which trial `index` must commit so that it can be judged.
    fn commit_epochs(&self, index: u64, trial: &PlannedTrial) -> CommitEpochs {
        let Some(pruner) = &self.planned.pruner else { return CommitEpochs::None };
        let done = self.history.trial(index).map_or(0, |past| past.judged.1);
        pruner.commit_epochs(index).remaining(done, trial.terms.epochs)
    }

    /// Returns the checkpoints that the trials of the sweep refer to.
    pub fn checkpoints(&self) -> BTreeSet<Digest> {
        let live = self.live.values().chain(self.parked.values()).chain(self.retryable.values());
        let done = self.done.values().filter_map(|done| done.checkpoint);
        live.filter_map(|trial| trial.checkpoint).chain(done).collect()
    }

    /// Counts the trials by status.
    pub fn counts(&self) -> TrialCounts {
        let running = self.live.values().filter(|trial| trial.lease.is_some()).count() as u64;
        let trials = self.planned.plan.trials();
        let deferred = self.live.values().filter(|trial| trial.is_deferred()).count() as u64;
        TrialCounts {
            trials,
            queued: trials - self.next + deferred,
            waiting: self.live.len() as u64 - running - deferred,
            running,
            completed: self.count(TrialOutcome::Completed),
            diverged: self.count(TrialOutcome::Diverged),
            pruned: self.count(TrialOutcome::Pruned),
            cancelled: self.count(TrialOutcome::Cancelled),
            failed: self.count(TrialOutcome::Failed),
            parked: self.parked.len() as u64,
        }
    }
}

/// A trial as shown to users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialView {
    /// The id.
    pub id: TrialId,
    /// The status.
    pub status: TrialStatus,
    /// The swept values by dotted path; empty until the point is chosen.
    pub swept: Point,
    /// The seed.
    pub seed: u64,
    /// The number of its point, which trials with other seeds share.
    pub point: u64,
    /// The number of its newest attempt; 0 before the first.
    pub attempt: u32,
    /// The worker that holds its lease.
    pub worker: Option<WorkerId>,
    /// The earliest time of its next attempt, if it waits for one.
    pub not_before: Option<Timestamp>,
    /// The start of its first attempt.
    pub started: Option<Timestamp>,
    /// The time of its end.
    pub ended: Option<Timestamp>,
    /// The value of the objective metric.
    pub objective: Option<f64>,
    /// The newest durable checkpoint.
    pub checkpoint: Option<Digest>,
    /// The last reported error.
    pub error: Option<String>,
}

impl TrialView {
    /// Builds the view of trial `index`; none if the sweep has fewer trials.
    pub fn of(sweep: &Sweep, index: u64) -> Option<Self> {
        if index >= sweep.planned.plan.trials() {
            return None;
        }
        let planned = sweep.trial(index).ok();
        let trial = sweep.open_trial(index);
        let done = sweep.done.get(&index);
        let lease = trial.and_then(|trial| trial.lease.as_ref());
        let status = TrialStatus::of(sweep, index);
        Some(Self {
            id: TrialId::new(sweep.name().clone(), index),
            status,
            swept: planned.as_ref().map(|trial| trial.swept.clone()).unwrap_or_default(),
            seed: planned.map_or_else(|| sweep.planned.plan.seed_of(index), |trial| trial.seed),
            point: sweep.planned.plan.point_of(index),
            attempt: sweep
                .attempt_count(trial.map(|t| t.attempt).or(done.map(|d| d.attempt)).unwrap_or(0)),
            worker: lease.map(|lease| lease.worker),
            not_before: trial
                .filter(|_| status == TrialStatus::Waiting)
                .map(|trial| trial.not_before),
            started: trial.filter(|t| t.attempt > 0).map(|t| t.started).or(done.map(|d| d.started)),
            ended: done.map(|done| done.ended),
            objective: done.and_then(|done: &EndedTrial| done.objective),
            checkpoint: trial.and_then(|t| t.checkpoint).or(done.and_then(|d| d.checkpoint)),
            error: trial.and_then(|trial: &Trial| trial.error.clone()),
        })
    }
}

/// A lease with everything that a worker needs to run the attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The attempt.
    pub attempt: AttemptId,
    /// The origin of the attempt, which the worker repeats in every message.
    pub origin: Origin,
    /// The trial.
    pub trial: Arc<PlannedTrial>,
    /// The checkpoint to resume from.
    pub checkpoint: Option<Digest>,
    /// The rows that had been produced when the checkpoint was made.
    pub covered: RowCounts,
    /// The rows that are already durable and must not be sent again.
    pub durable: RowCounts,
    /// The end of the lease.
    pub until: Timestamp,
    /// The resources granted to the trial.
    pub granted: GrantedResources,
    /// The epochs after which the trial must commit, besides its usual commits.
    pub commit_epochs: CommitEpochs,
}

/// The prospect of further work for an idle worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkOutlook {
    /// Work may come: a sweep has not ended, or none was submitted yet.
    Maybe,
    /// No work will come: every sweep has ended.
    None,
}

impl State {
    /// Returns the leases of `worker` that it seems not to know of: it did not list them in `held`
    /// and has never sent a message about them.
    pub fn assignments(&self, worker: WorkerId, held: &[HeldAttempt]) -> Vec<Assignment> {
        let leases = self.leases_of(worker).filter(|(attempt, _)| !self.is_named(attempt, held));
        leases
            .filter_map(|(attempt, lease)| {
                let sweep = self.sweeps.get(&attempt.trial.sweep)?;
                let trial = sweep.live.get(&attempt.trial.index)?;
                if trial.sequence > 0 {
                    return None;
                }
                let planned = sweep.trial(attempt.trial.index).ok()?;
                Some(Assignment {
                    origin: self.origin(&attempt)?,
                    commit_epochs: sweep.commit_epochs(attempt.trial.index, &planned),
                    trial: planned,
                    attempt,
                    checkpoint: trial.checkpoint,
                    covered: trial.covered.clone(),
                    durable: trial.durable.clone(),
                    until: lease.until,
                    granted: lease.granted.clone(),
                })
            })
            .collect()
    }

    /// Tells whether an idle `worker` should wait for work; `only` restricts it to one sweep.
    pub fn work_outlook(&self, worker: WorkerId, only: Option<&SweepName>) -> WorkOutlook {
        if !self.takes_trials(worker) {
            return WorkOutlook::None;
        }
        let wanted = |sweep: &&Sweep| only.is_none_or(|only| only == sweep.name());
        let mut sweeps = self.sweeps.values().filter(wanted).peekable();
        let known = sweeps.peek().is_some();
        let ended = sweeps.all(|sweep| sweep.ended.is_some());
        if known && ended { WorkOutlook::None } else { WorkOutlook::Maybe }
    }

    /// Whether the worker may be given trials. It may not once its pilot is being removed.
    pub(super) fn takes_trials(&self, worker: WorkerId) -> bool {
        let place = self.workers.get(&worker).map(|worker| &worker.info.place);
        let pilot = place.and_then(|place| place.pilot.as_ref());
        let fleet =
            |pilot: &PilotId| self.fleets.get(&pilot.fleet).map(|fleet| (fleet, pilot.number));
        let of = pilot.and_then(fleet);
        of.is_none_or(|(fleet, number)| fleet.pilot_takes_trials(number))
    }

    /// Returns the next time after `now` at which a waiting trial may start.
    pub fn next_ready(&self, only: Option<&SweepName>, now: Timestamp) -> Option<Timestamp> {
        let wanted = |sweep: &&Sweep| only.is_none_or(|only| only == sweep.name()) && !sweep.paused;
        let live = self.sweeps.values().filter(wanted).flat_map(|sweep| sweep.live.values());
        let waiting = live.filter(|trial| trial.lease.is_none());
        let times = waiting.flat_map(|trial| [Some(trial.not_before), trial.kept_until()]);
        times.flatten().filter(|at| *at > now).min()
    }

    /// Returns the checkpoints that trials refer to.
    pub fn checkpoints(&self) -> BTreeSet<Digest> {
        self.sweeps.values().flat_map(Sweep::checkpoints).collect()
    }

    /// Returns the reason for which a worker must stop an attempt; none if it may continue.
    pub fn stop_reason(&self, attempt: &AttemptId) -> Option<StopReason> {
        self.live(&attempt.trial).and_then(|trial| trial.stop)
    }
}
