//! Outcomes of attempts, trials and sweeps.

use serde::{Deserialize, Serialize};

use crate::history::TrialEnding;
use crate::plan;

/// The outcome of a trial. Only failed and cancelled trials can be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialOutcome {
    /// Trained and evaluated; its rows are durable.
    Completed,
    /// The loss became NaN or infinite. This is a result, not a failure.
    Diverged,
    /// Stopped early because other trials do better.
    Pruned,
    /// Stopped because its sweep was cancelled.
    Cancelled,
    /// A retry budget is spent, or the configuration is invalid.
    Failed,
}

impl TrialOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Completed, Self::Diverged, Self::Pruned, Self::Cancelled, Self::Failed];

    /// Returns the name used in tables and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Diverged => "diverged",
            Self::Pruned => "pruned",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Returns the outcome as samplers and pruners see it.
    pub fn ending(self) -> TrialEnding {
        match self {
            Self::Completed => TrialEnding::Completed,
            Self::Diverged => TrialEnding::Diverged,
            Self::Pruned => TrialEnding::Pruned,
            Self::Cancelled | Self::Failed => TrialEnding::Lost,
        }
    }

    /// Whether the outcome is a result, which never changes.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Diverged | Self::Pruned)
    }
}

/// The outcome of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The attempt completed the trial.
    Completed,
    /// The loss became NaN or infinite.
    Diverged,
    /// The pruner stopped the trial.
    Pruned,
    /// The sweep was cancelled.
    Cancelled,
    /// The worker was preempted and said so.
    Preempted,
    /// The worker vanished and its lease expired.
    Lost,
    /// The attempt took longer than `resources.timeout`.
    TimedOut,
    /// The attempt ran out of memory.
    OutOfMemory,
    /// The worker reported another error.
    Error,
    /// The worker does not meet a need of the trial. This is no fault of the trial.
    Unfit,
    /// The pruner paused the trial, which keeps its checkpoint.
    Paused,
}

impl AttemptOutcome {
    /// Whether the worker may be at fault, although it is alive and meets all known needs.
    pub(crate) fn may_be_worker_fault(self) -> bool {
        matches!(self, Self::Error | Self::OutOfMemory | Self::TimedOut)
    }

    /// Returns the name used in tables and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Diverged => "diverged",
            Self::Pruned => "pruned",
            Self::Cancelled => "cancelled",
            Self::Preempted => "preempted",
            Self::Lost => "lost",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Error => "error",
            Self::Unfit => "unfit",
            Self::Paused => "paused",
        }
    }

    /// Returns the outcome of the trial, if this attempt decides it regardless of retry budgets.
    pub fn decides(self) -> Option<TrialOutcome> {
        match self {
            Self::Completed => Some(TrialOutcome::Completed),
            Self::Diverged => Some(TrialOutcome::Diverged),
            Self::Pruned => Some(TrialOutcome::Pruned),
            Self::Cancelled => Some(TrialOutcome::Cancelled),
            Self::Preempted
            | Self::Lost
            | Self::TimedOut
            | Self::OutOfMemory
            | Self::Error
            | Self::Unfit
            | Self::Paused => None,
        }
    }
}

/// The reason for which a running trial must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The pruner decided against the trial.
    Pruned,
    /// The sweep was cancelled, or reached its limit of failed trials.
    Cancelled,
    /// The pruner pauses the trial.
    Parked,
}

impl StopReason {
    /// Returns the outcome of an attempt that stops for this reason.
    pub fn outcome(self) -> AttemptOutcome {
        match self {
            Self::Pruned => AttemptOutcome::Pruned,
            Self::Cancelled => AttemptOutcome::Cancelled,
            Self::Parked => AttemptOutcome::Paused,
        }
    }
}

/// The reason for which a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepEndReason {
    /// Every point of the space has ended.
    Exhausted,
    /// `run_cap` trials have ended.
    RunCap,
    /// A point reached `metric.target`.
    Target,
    /// `max_failed_trials` trials have failed.
    MaxFailedTrials,
    /// `stop.trials` trials have ended.
    StopTrials,
    /// `stop.epochs` epochs have been committed.
    StopEpochs,
    /// `stop.wall_time` has passed since the first trial started.
    StopWallTime,
    /// The attempts have taken `stop.worker_hours`.
    StopWorkerHours,
    /// As many points as `stop.no_improvement` says brought no better one.
    StopNoImprovement,
    /// The sweep was cancelled.
    Cancelled,
}

impl From<plan::PlanEndReason> for SweepEndReason {
    fn from(reason: plan::PlanEndReason) -> Self {
        match reason {
            plan::PlanEndReason::Exhausted => Self::Exhausted,
            plan::PlanEndReason::RunCap => Self::RunCap,
        }
    }
}

impl SweepEndReason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Exhausted,
        Self::RunCap,
        Self::Target,
        Self::MaxFailedTrials,
        Self::StopTrials,
        Self::StopEpochs,
        Self::StopWallTime,
        Self::StopWorkerHours,
        Self::StopNoImprovement,
        Self::Cancelled,
    ];

    /// Parses the name of a reason.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Returns the name used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::RunCap => "run_cap",
            Self::Target => "target",
            Self::MaxFailedTrials => "max_failed_trials",
            Self::StopTrials => "stop_trials",
            Self::StopEpochs => "stop_epochs",
            Self::StopWallTime => "stop_wall_time",
            Self::StopWorkerHours => "stop_worker_hours",
            Self::StopNoImprovement => "stop_no_improvement",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether a rule of `stop` ended the sweep.
    pub fn is_stop_rule(self) -> bool {
        matches!(
            self,
            Self::StopTrials
                | Self::StopEpochs
                | Self::StopWallTime
                | Self::StopWorkerHours
                | Self::StopNoImprovement
        )
    }

    /// Whether running trials stop as well.
    pub fn stops_running_trials(self) -> bool {
        matches!(self, Self::MaxFailedTrials | Self::Cancelled)
    }
}
