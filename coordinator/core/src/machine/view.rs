//! The state as people and workers see it.

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
use crate::ranking::Aggregate;
use crate::resources::GrantedResources;
use crate::rows::RowCounts;
use crate::space::Point;
use crate::sweep::{
    EndedTrial, PointResult, StopReason, Sweep, SweepEndReason, Trial, TrialOutcome,
};
use crate::time::Timestamp;

/// Where a sweep is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepPhase {
    /// Trials start as workers ask for them.
    Running,
    /// No trial starts until it is resumed.
    Paused,
    /// No trial starts any more; running ones are still to end.
    Closing,
    /// Nothing is left to do.
    Ended,
}

impl SweepPhase {
    /// The phase called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Running, Self::Paused, Self::Closing, Self::Ended];
        all.into_iter().find(|phase| phase.name() == name)
    }

    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Closing => "closing",
            Self::Ended => "ended",
        }
    }
}

/// Where a trial is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialStatus {
    /// Never started.
    Queued,
    /// Waits for another attempt.
    Waiting,
    /// A worker has it.
    Running,
    /// It ended.
    #[serde(untagged)]
    Ended(TrialOutcome),
}

impl TrialStatus {
    /// The status of trial `index` of `sweep`.
    pub fn of(sweep: &Sweep, index: u64) -> Self {
        if let Some(done) = sweep.done.get(&index) {
            return Self::Ended(done.outcome);
        }
        match sweep.live.get(&index) {
            None => Self::Queued,
            Some(trial) if trial.is_deferred() => Self::Queued,
            Some(trial) if trial.lease.is_some() => Self::Running,
            Some(_) => Self::Waiting,
        }
    }

    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Ended(outcome) => outcome.name(),
        }
    }

    /// The status called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        let ended = TrialOutcome::ALL.into_iter().map(Self::Ended);
        [Self::Queued, Self::Waiting, Self::Running]
            .into_iter()
            .chain(ended)
            .find(|status| status.name() == name)
    }
}

/// How many trials of a sweep are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialCounts {
    /// All of them.
    pub trials: u64,
    /// Never started.
    pub queued: u64,
    /// Waiting for another attempt.
    pub waiting: u64,
    /// Held by a worker.
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
}

impl TrialCounts {
    /// Trials that have ended.
    pub fn ended(&self) -> u64 {
        self.completed + self.diverged + self.pruned + self.cancelled + self.failed
    }
}

/// A sweep as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepView {
    /// Its name.
    pub name: SweepName,
    /// What its file says it is for.
    pub description: Option<String>,
    /// Where it is in its life.
    pub phase: SweepPhase,
    /// Why it ended or is ending.
    pub reason: Option<SweepEndReason>,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How many trials are where.
    pub counts: TrialCounts,
    /// The name of the metric it is judged by.
    pub metric: String,
    /// Whether larger is better.
    pub maximize: bool,
    /// Whether trials could start, but none runs and no worker takes any. The state does not know
    /// who is there now; whoever shows it to people does.
    #[serde(default)]
    pub idle: bool,
    /// Why no worker takes the trials that wait, if none has what they need.
    #[serde(default)]
    pub no_fit: Option<PlacementFailure>,
    /// The best point so far.
    pub best: Option<BestPoint>,
    /// When it will have ended, as far as that can be told; only a running coordinator knows.
    #[serde(default)]
    pub estimate: Option<Estimate>,
}

/// The best point of a sweep as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestPoint {
    /// The point.
    pub point: u64,
    /// The first of its trials; the only one without replicates.
    pub trial: u64,
    /// The values of the swept parameters, by dotted path.
    pub swept: Point,
    /// How many of its seeds have completed.
    pub completed: u64,
    /// How many seeds the sweep asks for.
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
    /// Where `sweep` is in its life.
    pub fn phase_of(sweep: &Sweep) -> SweepPhase {
        match sweep {
            Sweep { ended: Some(_), .. } => SweepPhase::Ended,
            Sweep { closed: Some(_), .. } => SweepPhase::Closing,
            Sweep { paused: true, .. } => SweepPhase::Paused,
            _ => SweepPhase::Running,
        }
    }

    /// The view of `sweep`.
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
            idle: false,
            no_fit: None,
            best: BestPoint::of(sweep),
            estimate: None,
        }
    }

    /// The view of `sweep` among those workers of `state` that are `present`.
    pub fn among_workers(state: &State, sweep: &Sweep, present: impl Fn(WorkerId) -> bool) -> Self {
        Self { no_fit: state.placement_failure(sweep, present), ..Self::of(sweep) }
    }
}

impl Sweep {
    /// The checkpoints that its trials refer to.
    pub fn checkpoints(&self) -> BTreeSet<Digest> {
        let live = self.live.values().chain(self.parked.values());
        let done = self.done.values().filter_map(|done| done.checkpoint);
        live.filter_map(|trial| trial.checkpoint).chain(done).collect()
    }

    /// How many trials are where.
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
        }
    }
}

/// A trial as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialView {
    /// Which.
    pub id: TrialId,
    /// Where it is in its life.
    pub status: TrialStatus,
    /// The values of the swept parameters, by dotted path; none while its point is not chosen.
    pub swept: Point,
    /// Its seed.
    pub seed: u64,
    /// The point of the space that it shares with the trials of other seeds.
    pub point: u64,
    /// The number of its newest attempt; 0 before the first.
    pub attempt: u32,
    /// The worker that has it.
    pub worker: Option<WorkerId>,
    /// The earliest time of its next attempt, while it waits for one.
    pub not_before: Option<Timestamp>,
    /// When its first attempt began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Its value of the sweep's metric.
    pub objective: Option<f64>,
    /// Its newest durable checkpoint.
    pub checkpoint: Option<Digest>,
    /// The last error that was reported.
    pub error: Option<String>,
}

impl TrialView {
    /// The view of trial `index`, if there is one.
    pub fn of(sweep: &Sweep, index: u64) -> Option<Self> {
        if index >= sweep.planned.plan.trials() {
            return None;
        }
        let planned = sweep.trial(index).ok();
        let trial = sweep.live.get(&index).or_else(|| sweep.parked.get(&index));
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

/// Everything a worker needs to run an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The attempt.
    pub attempt: AttemptId,
    /// Where it comes from; its worker repeats it in every message.
    pub origin: Origin,
    /// The trial.
    pub trial: Arc<PlannedTrial>,
    /// The checkpoint to resume from.
    pub checkpoint: Option<Digest>,
    /// Rows that had been produced when the checkpoint was made.
    pub covered: RowCounts,
    /// Rows that are durable and must not come again.
    pub durable: RowCounts,
    /// The end of the lease.
    pub until: Timestamp,
    /// The resources of the worker that it has.
    pub granted: GrantedResources,
}

/// Whether a worker should wait for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkOutlook {
    /// There may be some later: a sweep has not ended, or none was submitted yet.
    Maybe,
    /// Every sweep has ended.
    None,
}

impl State {
    /// What `worker` has leases for and seems not to know of: it does not say that it holds them, and
    /// has never spoken of them.
    pub fn assignments(&self, worker: WorkerId, held: &[HeldAttempt]) -> Vec<Assignment> {
        let leases = self.leases_of(worker).filter(|(attempt, _)| !self.is_named(attempt, held));
        leases
            .filter_map(|(attempt, lease)| {
                let sweep = self.sweeps.get(&attempt.trial.sweep)?;
                let trial = sweep.live.get(&attempt.trial.index)?;
                if trial.sequence > 0 {
                    return None;
                }
                Some(Assignment {
                    origin: self.origin(&attempt)?,
                    trial: sweep.trial(attempt.trial.index).ok()?,
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

    /// Whether `worker` without work should wait for some, of the sweep `only` if that is all it
    /// works for.
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

    /// Whether a worker is given trials: not if its pilot is to go.
    pub(super) fn takes_trials(&self, worker: WorkerId) -> bool {
        let place = self.workers.get(&worker).map(|worker| &worker.info.place);
        let pilot = place.and_then(|place| place.pilot.as_ref());
        let fleet =
            |pilot: &PilotId| self.fleets.get(&pilot.fleet).map(|fleet| (fleet, pilot.number));
        let of = pilot.and_then(fleet);
        of.is_none_or(|(fleet, number)| fleet.pilot_takes_trials(number))
    }

    /// The next time after `now` at which a trial that waits for another attempt may start.
    pub fn next_ready(&self, only: Option<&SweepName>, now: Timestamp) -> Option<Timestamp> {
        let wanted = |sweep: &&Sweep| only.is_none_or(|only| only == sweep.name()) && !sweep.paused;
        let live = self.sweeps.values().filter(wanted).flat_map(|sweep| sweep.live.values());
        let waiting = live.filter(|trial| trial.lease.is_none());
        let times = waiting.flat_map(|trial| [Some(trial.not_before), trial.kept_until()]);
        times.flatten().filter(|at| *at > now).min()
    }

    /// The checkpoints that trials refer to.
    pub fn checkpoints(&self) -> BTreeSet<Digest> {
        self.sweeps.values().flat_map(Sweep::checkpoints).collect()
    }

    /// What a worker is to do with an attempt: nothing if it may go on.
    pub fn stop_reason(&self, attempt: &AttemptId) -> Option<StopReason> {
        self.live(&attempt.trial).and_then(|trial| trial.stop)
    }
}
