//! What the outside asks of the state machine. A command carries no authority: it may be rejected.

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

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The coordinator has started: leases that ran while it was away are granted anew.
    Start {
        /// The duration of a lease.
        lease: Duration,
        /// The id of the state, if it has none yet.
        state: StateId,
        /// This start. The same one again, after a pause of the process, only extends leases.
        incarnation: IncarnationId,
    },
    /// A sweep is to be run. The same name and meaning again changes nothing.
    Submit {
        /// The meaning of the sweep file.
        definition: Box<SweepDefinition>,
        /// The sweep file itself, for people.
        source: String,
    },
    /// A change of a sweep that a client asked for.
    Client(SweepRequest),
    /// Something about a fleet.
    Fleet(fleet::FleetCommand),
    /// A worker presents itself.
    Join {
        /// The worker.
        worker: WorkerId,
        /// What it is.
        info: WorkerInfo,
        /// The state that it works for, if it has trials of one, or commits to deliver.
        state: Option<StateId>,
    },
    /// A worker has free slots. Leases at most one trial; [`super::execute`] repeats it.
    Acquire {
        /// The worker.
        worker: WorkerId,
        /// The attempts that it knows it holds. Leases that it does not know of, because a reply
        /// got lost, count as taken slots and are told again.
        held: Vec<HeldAttempt>,
        /// The resources that are free as far as the worker knows.
        free: FreeResources,
        /// The only sweep that the worker works for, if it is not to work for all.
        only: Option<SweepName>,
        /// How long a lease lasts.
        lease: Duration,
    },
    /// A worker is still at work on these attempts.
    Renew {
        /// The worker.
        worker: WorkerId,
        /// Its attempts.
        held: Vec<HeldAttempt>,
        /// How long a lease lasts.
        lease: Duration,
    },
    /// Rows and a checkpoint have come.
    Commit {
        /// Who says so.
        claim: AttemptClaim,
        /// What came.
        work: CommitManifest,
    },
    /// An attempt is over.
    Finish {
        /// Who says so.
        claim: AttemptClaim,
        /// Its last commit, if it has one.
        work: Option<CommitManifest>,
        /// How it ended.
        ending: AttemptEnd,
    },
    /// A worker goes and gives back what it still holds.
    Leave {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker goes because it cannot be of use, and gives back what it still holds.
    LeaveUnfit {
        /// The worker.
        worker: WorkerId,
        /// The need that it does not meet, and the cause.
        reason: String,
    },
    /// A worker is known to be dead.
    ReportLost {
        /// The worker.
        worker: WorkerId,
    },
    /// Time has passed.
    Tick,
}

/// What a client asks of a sweep. The id makes a repeated, late or reordered request harmless.
#[derive(Debug, Clone, PartialEq)]
pub enum SweepRequest {
    /// Start no further trial; running ones go on.
    Pause {
        /// This request.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
    },
    /// Go on after a pause, a cancellation or a limit.
    Resume {
        /// This request.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
    },
    /// Start no further trial and stop the running ones.
    Cancel {
        /// This request.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
    },
    /// Try ended trials again, as new attempts.
    Retry {
        /// This request.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
        /// Which trials.
        trials: TrialSelection,
    },
    /// Forget a sweep that nobody works on: its name, its trials and its results.
    Delete {
        /// This request.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
    },
    /// Have trials start over from nothing, because rows or checkpoints of theirs are damaged.
    StartOver {
        /// This request.
        id: RequestId,
        /// The sweep.
        sweep: SweepName,
        /// The trials; those that were never started are left out.
        trials: Vec<u64>,
        /// Damaged parts of the sweep, which no longer count.
        parts: Vec<Part>,
    },
}

impl SweepRequest {
    /// The id and the sweep of the request.
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

/// Some trials of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialSelection {
    /// All that failed.
    Failed,
    /// All that were cancelled.
    Cancelled,
    /// These.
    Trials(Vec<u64>),
}

/// Who says something about a trial, and which message of the attempt it is: the fencing that makes
/// stale, repeated and reordered messages harmless.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptClaim {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its worker.
    pub worker: WorkerId,
    /// Which message of the attempt this is, from 1.
    pub sequence: u64,
    /// The origin of the attempt; messages of older versions name none, and are refused.
    #[serde(default)]
    pub origin: Option<Origin>,
}

/// Rows and a checkpoint that become durable together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitManifest {
    /// The checkpoint; already in the store.
    pub checkpoint: Digest,
    /// How many rows the trial had produced, from its very beginning, when the checkpoint was made.
    pub produced: RowCounts,
    /// How many rows come with this message: those that were produced and are not durable yet.
    pub rows: RowCounts,
    /// Metrics of epochs.
    pub reports: Vec<MetricReport>,
    /// Share of the whole trial that is done, in [0, 1].
    #[serde(default)]
    pub fraction: f64,
}

/// How an attempt ended, in the words of its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AttemptEnd {
    /// The trial is complete.
    Completed {
        /// The final metrics.
        metrics: Metrics,
        /// The rest of the row in `trials`, which the workload understands.
        summary: Box<Json>,
    },
    /// The loss became NaN or infinite.
    Diverged {
        /// The final metrics.
        metrics: Metrics,
        /// The rest of the row in `trials`, which the workload understands.
        summary: Box<Json>,
        /// Where: epoch and update.
        detail: String,
    },
    /// It stopped because it was told to.
    Stopped,
    /// The worker has to go.
    Preempted,
    /// It took longer than `resources.timeout`.
    TimedOut,
    /// Memory ran out.
    OutOfMemory {
        /// What was reported.
        message: String,
    },
    /// Something went wrong.
    Error {
        /// What was reported.
        message: String,
    },
    /// The checkpoint to resume from is damaged or missing: the next attempt must start over.
    CheckpointUnusable {
        /// What is wrong with it.
        message: String,
    },
    /// The worker lacks something that the trial needs.
    Unfit {
        /// What.
        need: Need,
        /// Why, with path and error number where there are such.
        message: String,
    },
}
