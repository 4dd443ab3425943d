//! Commands to the state machine. A command carries no authority: it may be rejected.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::origin::{HeldAttempt, Origin};
use super::worker::WorkerInfo;
use crate::definition::SweepDefinition;
use crate::fleet;
use crate::id::{AttemptId, Digest, IncarnationId, RequestId, StateId, SweepName, WorkerId};
use crate::metric::{MetricReport, Metrics};
use crate::needs::Need;
use crate::part::Part;
use crate::resources::FreeResources;
use crate::rows::RowCounts;
use crate::sampler::Suggestion;

/// A command to the state machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Records a start of the coordinator. Leases that ran while it was down are extended.
    Start {
        /// The duration of a lease.
        lease: Duration,
        /// The id of the state, if it has none yet.
        state: StateId,
        /// The id of this start. Repeating it, after the process was suspended, only extends
        /// leases.
        incarnation: IncarnationId,
    },
    /// Submits a sweep. Submitting the same name and definition again changes nothing.
    Submit {
        /// The parsed sweep file.
        definition: Box<SweepDefinition>,
        /// The text of the sweep file, for display.
        source: String,
    },
    /// Changes a sweep at a client's request.
    Client(SweepRequest),
    /// Changes or reconciles a fleet.
    Fleet(fleet::FleetCommand),
    /// Gives a sweep the point that it requested; ignored if it does not wait for it any more.
    ChoosePoint {
        /// The sweep.
        sweep: SweepName,
        /// The number of the point.
        point: u64,
        /// The point.
        suggestion: Suggestion,
        /// The version of the history from which it was chosen.
        version: u64,
    },
    /// Registers a worker.
    Join {
        /// The worker.
        worker: WorkerId,
        /// The worker's description of itself.
        info: WorkerInfo,
        /// The state that the worker holds trials or undelivered commits of, if any.
        state: Option<StateId>,
    },
    /// Asks for work for free slots. Leases at most one trial; [`super::execute`] repeats it.
    Acquire {
        /// The worker.
        worker: WorkerId,
        /// The attempts that the worker knows it holds. A lease that is missing here, because a
        /// reply was lost, still occupies its slots and is sent again.
        held: Vec<HeldAttempt>,
        /// The free resources, as far as the worker knows.
        free: FreeResources,
        /// The only sweep that the worker serves; none means all.
        only: Option<SweepName>,
        /// The lease duration.
        lease: Duration,
    },
    /// Renews the leases of attempts that a worker still runs.
    Renew {
        /// The worker.
        worker: WorkerId,
        /// The attempts.
        held: Vec<HeldAttempt>,
        /// The lease duration.
        lease: Duration,
    },
    /// Commits rows and a checkpoint.
    Commit {
        /// The sender and the message number.
        claim: AttemptClaim,
        /// The committed rows and checkpoint.
        work: CommitManifest,
    },
    /// Ends an attempt.
    Finish {
        /// The sender and the message number.
        claim: AttemptClaim,
        /// The last commit, if there is one.
        work: Option<CommitManifest>,
        /// The way in which the attempt ended.
        ending: AttemptEnd,
    },
    /// Removes a worker and returns its leases.
    Leave {
        /// The worker.
        worker: WorkerId,
    },
    /// Removes a worker that is unfit for every trial, and returns its leases.
    LeaveUnfit {
        /// The worker.
        worker: WorkerId,
        /// The unmet need and its cause.
        reason: String,
    },
    /// Removes a worker that is known to be dead.
    ReportLost {
        /// The worker.
        worker: WorkerId,
    },
    /// Lets deadlines take effect.
    Tick,
}

/// A client's request to change a sweep. Its id makes repeated, late and reordered requests
/// harmless.
#[derive(Debug, Clone, PartialEq)]
pub enum SweepRequest {
    /// Starts no further trial; running ones continue.
    Pause {
        /// The request id.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
    },
    /// Continues after a pause, a cancellation or a limit.
    Resume {
        /// The request id.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
    },
    /// Starts no further trial and stops the running ones.
    Cancel {
        /// The request id.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
    },
    /// Retries ended trials as new attempts.
    Retry {
        /// The request id.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
        /// The trials to retry.
        trials: TrialSelection,
    },
    /// Deletes an idle sweep with its name, trials and results.
    Delete {
        /// The request id.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
    },
    /// Restarts trials from scratch, because their rows or checkpoints are damaged.
    StartOver {
        /// The request id.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
        /// The trials; those that never started are skipped.
        trials: Vec<u64>,
        /// The damaged parts of the sweep, which are struck from the results.
        parts: Vec<Part>,
    },
}

impl SweepRequest {
    /// Returns the request id and the sweep.
    pub fn target(&self) -> (RequestId, &SweepName) {
        match self {
            Self::Pause { id, sweep }
            | Self::Resume { id, sweep }
            | Self::Cancel { id, sweep }
            | Self::Delete { id, sweep }
            | Self::Retry { id, sweep, .. }
            | Self::StartOver { id, sweep, .. } => (*id, sweep),
        }
    }
}

/// A selection of trials of one sweep.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialSelection {
    /// Every failed trial.
    Failed,
    /// Every cancelled trial.
    Cancelled,
    /// The listed trials.
    Trials(Vec<u64>),
}

/// The sender of a message about an attempt, and the message number. It is the fencing token that
/// makes stale, repeated and reordered messages harmless.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptClaim {
    /// The attempt.
    pub attempt: AttemptId,
    /// The worker.
    pub worker: WorkerId,
    /// The number of the message among those of the attempt, from 1.
    pub sequence: u64,
    /// The origin of the attempt. Older workers send none, and are refused.
    #[serde(default)]
    pub origin: Option<Origin>,
}

/// A summary of the rows and the checkpoint that one commit makes durable together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitManifest {
    /// The checkpoint, which is already in the store.
    pub checkpoint: Digest,
    /// The rows that the trial had produced since its first attempt when the checkpoint was made.
    pub produced: RowCounts,
    /// The rows in this message: those that were produced and are not durable yet.
    pub rows: RowCounts,
    /// The metrics of epochs.
    pub reports: Vec<MetricReport>,
    /// The completed share of the whole trial, in [0, 1].
    #[serde(default)]
    pub fraction: f64,
}

/// The way in which an attempt ended, as its worker reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AttemptEnd {
    /// The trial is complete.
    Completed {
        /// The final metrics.
        metrics: Metrics,
        /// The rest of the row in `trials`, which only the workload understands.
        summary: Box<Json>,
    },
    /// The loss became NaN or infinite.
    Diverged {
        /// The final metrics.
        metrics: Metrics,
        /// The rest of the row in `trials`, which only the workload understands.
        summary: Box<Json>,
        /// The epoch and the update at which it happened.
        detail: String,
    },
    /// The attempt stopped on request.
    Stopped,
    /// The worker is being preempted.
    Preempted,
    /// The attempt took longer than `resources.timeout`.
    TimedOut,
    /// The attempt ran out of memory.
    OutOfMemory {
        /// The reported error.
        message: String,
    },
    /// The attempt failed in another way.
    Error {
        /// The reported error.
        message: String,
    },
    /// The checkpoint to resume from is damaged or missing; the next attempt starts from scratch.
    CheckpointUnusable {
        /// The fault of the checkpoint.
        message: String,
    },
    /// The worker does not meet a need of the trial.
    Unfit {
        /// The unmet need.
        need: Need,
        /// The cause, with path and error number where there are any.
        message: String,
    },
}
