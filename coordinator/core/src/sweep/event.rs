//! Events of sweeps and their trials. They are part of the journal: fields are only ever added,
//! with a default.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::outcome::{AttemptOutcome, StopReason, SweepEndReason, TrialOutcome};
use crate::definition::SweepDefinition;
use crate::id::{AttemptId, Digest, RequestId, SweepName, TrialId, WorkerId};
use crate::metric::{MetricReport, Metrics};
use crate::needs::Need;
use crate::part::Part;
use crate::resources::GrantedResources;
use crate::rows::RowCounts;
use crate::sampler::Suggestion;
use crate::time::Timestamp;

/// A sweep was submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepSubmitted {
    /// The parsed sweep file; `definition.name` is the name of the sweep.
    pub definition: Box<SweepDefinition>,
    /// The text of the sweep file.
    pub source: String,
    /// The time of the event.
    pub at: Timestamp,
}

/// A sweep was paused: it starts no trial until it is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPaused {
    /// The sweep.
    pub sweep: SweepName,
    /// The client's request.
    pub request: RequestId,
}

/// A paused or closed sweep was resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepResumed {
    /// The sweep.
    pub sweep: SweepName,
    /// The client's request.
    pub request: RequestId,
    /// The cancelled trials to retry.
    pub reopened: Vec<ReopenedTrial>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A sweep was closed: it starts no further trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepClosed {
    /// The sweep.
    pub sweep: SweepName,
    /// The reason.
    pub reason: SweepEndReason,
    /// The client's request, if there was one.
    pub request: Option<RequestId>,
}

/// A sweep ended: it has no trial left to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepEnded {
    /// The sweep.
    pub sweep: SweepName,
    /// The reason.
    pub reason: SweepEndReason,
    /// The time of the event.
    pub at: Timestamp,
}

/// The next point of a sweep was requested: choosing it takes long, so it is chosen apart from other
/// decisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointRequested {
    /// The sweep.
    pub sweep: SweepName,
    /// The number of the point.
    pub point: u64,
}

/// A requested point was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointChosen {
    /// The sweep.
    pub sweep: SweepName,
    /// The number of the point.
    pub point: u64,
    /// The point.
    pub suggestion: Suggestion,
    /// The version of the history from which it was chosen ([`crate::history::History::version`]).
    pub version: u64,
}

/// Failed or cancelled trials are to be retried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialsRetried {
    /// The sweep.
    pub sweep: SweepName,
    /// The client's request.
    pub request: RequestId,
    /// The trials.
    pub reopened: Vec<ReopenedTrial>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A sweep was deleted with its trials and results; its name is free again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepDeleted {
    /// The sweep.
    pub sweep: SweepName,
    /// The client's request.
    pub request: RequestId,
    /// The time of the event.
    pub at: Timestamp,
}

/// Trials were restarted, because their rows or checkpoints are damaged. All their rows are
/// retracted, in every table, and their running attempts lose their leases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialsStartedOver {
    /// The sweep.
    pub sweep: SweepName,
    /// The client's request.
    pub request: RequestId,
    /// The trials.
    pub trials: Vec<RestartedTrial>,
    /// The damaged parts, which are struck from the results.
    pub parts: Vec<Part>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A trial was deferred: the worker that asked does not meet a need of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialDeferred {
    /// The trial.
    pub trial: TrialId,
    /// The point, unless it follows from the definition and the index.
    pub suggestion: Option<Suggestion>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A trial was leased to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialLeased {
    /// The attempt.
    pub attempt: AttemptId,
    /// The worker.
    pub worker: WorkerId,
    /// The point, unless it follows from the definition and the index.
    pub suggestion: Option<Suggestion>,
    /// The time of the event.
    pub at: Timestamp,
    /// The end of the lease.
    pub until: Timestamp,
    /// The resources granted to the trial.
    pub granted: GrantedResources,
}

/// Rows and a checkpoint of a trial became durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialCommitted {
    /// The attempt that committed.
    pub attempt: AttemptId,
    /// The message number of the commit.
    pub sequence: u64,
    /// The checkpoint from which the trial now resumes.
    pub checkpoint: Digest,
    /// The replaced checkpoint.
    pub replaced: Option<Digest>,
    /// The rows that had been produced when the checkpoint was made.
    pub produced: RowCounts,
    /// The metrics of epochs.
    pub reports: Vec<MetricReport>,
    /// The completed share of the whole trial at the checkpoint, in [0, 1].
    pub fraction: f64,
    /// The time of the event.
    pub at: Timestamp,
}

/// A running trial must stop at its next opportunity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopRequested {
    /// The trial.
    pub trial: TrialId,
    /// The reason.
    pub reason: StopReason,
    /// The number of epochs at which the pruner stops or parks it.
    #[serde(default)]
    pub rung: Option<u32>,
}

/// A trial was parked: it keeps its checkpoint and holds no lease until it is promoted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialParked {
    /// The trial.
    pub trial: TrialId,
    /// The rung, in epochs.
    pub rung: u32,
    /// The time of the event.
    pub at: Timestamp,
}

/// An attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnded {
    /// The attempt.
    pub attempt: AttemptId,
    /// The worker.
    pub worker: WorkerId,
    /// The start of the attempt.
    pub since: Timestamp,
    /// The number of its last message.
    pub sequence: u64,
    /// The number of its accepted commits.
    pub commits: u64,
    /// The first and the last epoch that it committed.
    pub epochs: Option<(u32, u32)>,
    /// The way in which it ended.
    pub outcome: AttemptOutcome,
    /// The error, if there was one.
    pub error: Option<String>,
    /// The unmet need, if the worker was unfit.
    pub need: Option<Need>,
    /// Whether the checkpoint is unusable.
    pub discard_checkpoint: bool,
    /// The time of the event.
    pub at: Timestamp,
    /// The earliest time of the next attempt.
    pub not_before: Timestamp,
}

/// A trial ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialEnded {
    /// The trial.
    pub trial: TrialId,
    /// The outcome.
    pub outcome: TrialOutcome,
    /// The final metrics.
    pub metrics: Metrics,
    /// The rest of the row in `trials`, which only the workload understands; none if the trial has
    /// no result.
    pub summary: Option<Box<Json>>,
    /// The error, if any.
    pub error: Option<String>,
    /// The checkpoint that is no longer needed.
    pub dropped: Option<Digest>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A trial to retry, with the outcome that its row in `trials` has so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReopenedTrial {
    /// The trial.
    pub index: u64,
    /// The earlier outcome; its row in `trials` is retracted.
    pub was: TrialOutcome,
}

/// A trial that restarts from scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartedTrial {
    /// The trial.
    pub index: u64,
    /// The earlier outcome, if it had ended.
    pub was: Option<TrialOutcome>,
    /// The checkpoint, which is no longer needed.
    pub checkpoint: Option<Digest>,
}
