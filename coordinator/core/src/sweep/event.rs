//! What has happened to sweeps and their trials. Part of the journal: fields are only ever added,
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
    /// The meaning of the sweep file; `definition.name` is the sweep's name.
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
    /// The request that asked for it.
    pub request: RequestId,
}

/// A paused or closed sweep goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepResumed {
    /// The sweep.
    pub sweep: SweepName,
    /// The request that asked for it.
    pub request: RequestId,
    /// Cancelled trials that are to be tried again.
    pub reopened: Vec<ReopenedTrial>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A sweep starts no further trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepClosed {
    /// The sweep.
    pub sweep: SweepName,
    /// The reason.
    pub reason: SweepEndReason,
    /// The request that asked for it, if one did.
    pub request: Option<RequestId>,
}

/// A sweep has no trial left to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepEnded {
    /// The sweep.
    pub sweep: SweepName,
    /// The reason.
    pub reason: SweepEndReason,
    /// The time of the event.
    pub at: Timestamp,
}

/// Failed or cancelled trials wait for another attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialsRetried {
    /// The sweep.
    pub sweep: SweepName,
    /// The request that asked for it.
    pub request: RequestId,
    /// The trials.
    pub reopened: Vec<ReopenedTrial>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A sweep was deleted with its trials and results; its name is free.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepDeleted {
    /// The sweep.
    pub sweep: SweepName,
    /// The request that asked for it.
    pub request: RequestId,
    /// The time of the event.
    pub at: Timestamp,
}

/// Trials start over from nothing, because their rows or checkpoints are damaged: none of their
/// rows counts any more, in any table, and their running attempts lose their leases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialsStartedOver {
    /// The sweep.
    pub sweep: SweepName,
    /// The request that asked for it.
    pub request: RequestId,
    /// The trials.
    pub trials: Vec<RestartedTrial>,
    /// Damaged parts, which no longer count.
    pub parts: Vec<Part>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A trial was put off: the worker that asked lacks something that the trial needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialDeferred {
    /// The trial.
    pub trial: TrialId,
    /// The point, where it is not a function of the definition and the index.
    pub suggestion: Option<Suggestion>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A worker has a trial until its lease ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialLeased {
    /// The attempt.
    pub attempt: AttemptId,
    /// The worker.
    pub worker: WorkerId,
    /// The point, where it is not a function of the definition and the index.
    pub suggestion: Option<Suggestion>,
    /// The time of the event.
    pub at: Timestamp,
    /// The end of the lease.
    pub until: Timestamp,
    /// The resources of the worker that the trial has.
    pub granted: GrantedResources,
}

/// Rows and a checkpoint of a trial became durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialCommitted {
    /// The attempt that committed.
    pub attempt: AttemptId,
    /// Which commit of the attempt.
    pub sequence: u64,
    /// The checkpoint from which the trial now resumes.
    pub checkpoint: Digest,
    /// The checkpoint that it replaces.
    pub replaced: Option<Digest>,
    /// How many rows had been produced when the checkpoint was made.
    pub produced: RowCounts,
    /// Metrics of epochs.
    pub reports: Vec<MetricReport>,
    /// Share of the whole trial that was done when the checkpoint was made, in [0, 1].
    pub fraction: f64,
    /// The time of the event.
    pub at: Timestamp,
}

/// A running trial shall stop at its next opportunity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopRequested {
    /// The trial.
    pub trial: TrialId,
    /// The reason.
    pub reason: StopReason,
}

/// An attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnded {
    /// The attempt.
    pub attempt: AttemptId,
    /// The attempt's worker.
    pub worker: WorkerId,
    /// The beginning of the attempt.
    pub since: Timestamp,
    /// The last message of the attempt.
    pub sequence: u64,
    /// How many of its commits were accepted.
    pub commits: u64,
    /// The first and the last epoch that it committed.
    pub epochs: Option<(u32, u32)>,
    /// The way in which it ended.
    pub outcome: AttemptOutcome,
    /// The error, if there was one.
    pub error: Option<String>,
    /// The need that the worker did not meet, if it was unfit.
    pub need: Option<Need>,
    /// Whether the checkpoint turned out to be unusable.
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
    /// The rest of the row in `trials`, which the workload understands, if it got so far.
    pub summary: Option<Box<Json>>,
    /// The error, if there was one.
    pub error: Option<String>,
    /// The checkpoint that is no longer needed.
    pub dropped: Option<Digest>,
    /// The time of the event.
    pub at: Timestamp,
}

/// A trial that is to be tried again, and what its row in `trials` said until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReopenedTrial {
    /// The trial.
    pub index: u64,
    /// How it had ended: its row in `trials` no longer counts.
    pub was: TrialOutcome,
}

/// A trial that starts over from nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartedTrial {
    /// The trial.
    pub index: u64,
    /// Its earlier outcome, if it had one.
    pub was: Option<TrialOutcome>,
    /// Its checkpoint, which is no longer needed.
    pub checkpoint: Option<Digest>,
}
