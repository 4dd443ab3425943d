//! The ways in which attempts, trials and sweeps end.

use serde::{Deserialize, Serialize};

use crate::history::TrialEnding;
use crate::plan;

/// How a trial ended. Only failed and cancelled trials can be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialOutcome {
    /// Trained and evaluated; its rows are durable.
    Completed,
    /// The loss became NaN or infinite: a result, not a failure.
    Diverged,
    /// Stopped early because others do better.
    Pruned,
    /// Stopped because its sweep was cancelled.
    Cancelled,
    /// Its attempts used up a retry budget, or its configuration cannot run.
    Failed,
}

impl TrialOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Completed, Self::Diverged, Self::Pruned, Self::Cancelled, Self::Failed];

    /// The name in tables and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Diverged => "diverged",
            Self::Pruned => "pruned",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The same, as far as a search cares.
    pub fn ending(self) -> TrialEnding {
        match self {
            Self::Completed => TrialEnding::Completed,
            Self::Diverged => TrialEnding::Diverged,
            Self::Pruned => TrialEnding::Pruned,
            Self::Cancelled | Self::Failed => TrialEnding::Lost,
        }
    }

    /// Whether the trial has a result that is never changed again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Diverged | Self::Pruned)
    }
}

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// It completed the trial.
    Completed,
    /// The loss became NaN or infinite.
    Diverged,
    /// It was told to stop: others do better.
    Pruned,
    /// It was told to stop: the sweep was cancelled.
    Cancelled,
    /// The worker had to go and said so.
    Preempted,
    /// The worker vanished: its lease ran out.
    Lost,
    /// It took longer than `resources.timeout`.
    TimedOut,
    /// Memory ran out.
    OutOfMemory,
    /// Anything else that the worker reported.
    Error,
    /// Its worker lacked something that the trial needs: no fault of the trial.
    Unfit,
}

impl AttemptOutcome {
    /// Whether the worker may be to blame, although it is there and lacks nothing that is known.
    pub(crate) fn may_be_worker_fault(self) -> bool {
        matches!(self, Self::Error | Self::OutOfMemory | Self::TimedOut)
    }

    /// The name in tables and output.
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
        }
    }

    /// The outcome of the trial, if this attempt decides it whatever the retry budgets say.
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
            | Self::Unfit => None,
        }
    }
}

/// Why a running trial is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The pruner judged it not worth going on.
    Pruned,
    /// Its sweep was cancelled or reached its limit of failed trials.
    Cancelled,
}

impl StopReason {
    /// The outcome of an attempt that stopped for this reason.
    pub fn outcome(self) -> AttemptOutcome {
        match self {
            Self::Pruned => AttemptOutcome::Pruned,
            Self::Cancelled => AttemptOutcome::Cancelled,
        }
    }
}

/// Why a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepEndReason {
    /// Every point of its space has ended.
    Exhausted,
    /// `run_cap` trials have ended.
    RunCap,
    /// A trial reached `metric.target`.
    Target,
    /// `max_failed_trials` trials have failed.
    MaxFailedTrials,
    /// It was cancelled.
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
    pub const ALL: [Self; 5] =
        [Self::Exhausted, Self::RunCap, Self::Target, Self::MaxFailedTrials, Self::Cancelled];

    /// The reason called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::RunCap => "run_cap",
            Self::Target => "target",
            Self::MaxFailedTrials => "max_failed_trials",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether running trials are stopped too, not only the start of new ones.
    pub fn stops_running_trials(self) -> bool {
        matches!(self, Self::MaxFailedTrials | Self::Cancelled)
    }
}
