//! What has happened. Events are what the journal stores: fields are only ever added, with a
//! default, and an event carries everything that applying it needs.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::outcome::{AttemptOutcome, EndReason, Outcome, StopReason};
use super::worker::WorkerInfo;
use crate::definition::Definition;
use crate::fleet;
use crate::id::{
    AttemptId, Digest, IncarnationId, RequestId, StateId, SweepName, TrialId, WorkerId,
};
use crate::metric::{Metrics, Report};
use crate::needs::{Lack, Need};
use crate::part::Part;
use crate::rows::RowCounts;
use crate::sampler::Suggestion;
use crate::time::Timestamp;

/// A fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The coordinator started; every lease runs at least until `leases_until`.
    Started {
        /// When.
        at: Timestamp,
        /// The earliest end of any lease.
        leases_until: Timestamp,
        /// The id of the state; journals of older versions have none.
        #[serde(default)]
        state: Option<StateId>,
        /// This start, which every lease that is granted from now on carries.
        #[serde(default)]
        incarnation: Option<IncarnationId>,
    },
    /// A sweep exists.
    SweepSubmitted {
        /// Its meaning; `definition.name` is its name.
        definition: Box<Definition>,
        /// Its file.
        source: String,
        /// When.
        at: Timestamp,
    },
    /// A sweep starts no further trial until it is resumed.
    SweepPaused {
        /// Which.
        sweep: SweepName,
        /// The request that asked for it.
        request: RequestId,
    },
    /// A sweep goes on.
    SweepResumed {
        /// Which.
        sweep: SweepName,
        /// The request that asked for it.
        request: RequestId,
        /// Cancelled trials that are to be tried again.
        reopened: Vec<Reopened>,
        /// When.
        at: Timestamp,
    },
    /// A request was dealt with although it changed nothing.
    RequestNoted {
        /// The request.
        request: RequestId,
    },
    /// A sweep starts no further trial, for good.
    SweepClosed {
        /// Which.
        sweep: SweepName,
        /// Why.
        reason: EndReason,
        /// The request that asked for it, if one did.
        request: Option<RequestId>,
    },
    /// Nothing of a sweep is left to do.
    SweepEnded {
        /// Which.
        sweep: SweepName,
        /// Why.
        reason: EndReason,
        /// When.
        at: Timestamp,
    },
    /// Ended trials are to be tried again.
    TrialsRetried {
        /// Of which sweep.
        sweep: SweepName,
        /// The request that asked for it.
        request: RequestId,
        /// The trials.
        reopened: Vec<Reopened>,
        /// When.
        at: Timestamp,
    },
    /// A sweep is gone with its trials and its results; its name is free.
    SweepDeleted {
        /// Which.
        sweep: SweepName,
        /// The request that asked for it.
        request: RequestId,
        /// When.
        at: Timestamp,
    },
    /// Trials start over from nothing, because rows or checkpoints of theirs are damaged: none of
    /// their rows counts any more, in any table, and their running attempts have lost them.
    TrialsStartedOver {
        /// Of which sweep.
        sweep: SweepName,
        /// The request that asked for it.
        request: RequestId,
        /// The trials.
        trials: Vec<StartedOver>,
        /// Damaged parts, which no longer count.
        parts: Vec<Part>,
        /// When.
        at: Timestamp,
    },
    /// A worker exists.
    WorkerJoined {
        /// Which.
        worker: WorkerId,
        /// What it is.
        info: WorkerInfo,
        /// When.
        at: Timestamp,
    },
    /// A worker got no trial although some wait, because it lacks something that they need.
    WorkerUnfit {
        /// Which.
        worker: WorkerId,
        /// The need that it does not meet, and the cause.
        lack: Lack,
    },
    /// A worker has said goodbye; it is forgotten later.
    WorkerDeparted {
        /// Which.
        worker: WorkerId,
        /// Whether it died instead of leaving.
        #[serde(default)]
        lost: bool,
        /// Why, if it could not be of use.
        reason: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A trial is put off: the worker that it would have gone to lacks something that it needs.
    TrialDeferred {
        /// Which.
        trial: TrialId,
        /// The point, where it is not a function of the definition and the index.
        suggestion: Option<Suggestion>,
        /// When.
        at: Timestamp,
    },
    /// A worker is forgotten.
    WorkerLeft {
        /// Which.
        worker: WorkerId,
    },
    /// A worker has a trial until the lease ends.
    TrialLeased {
        /// The attempt.
        attempt: AttemptId,
        /// The worker.
        worker: WorkerId,
        /// The point, where it is not a function of the definition and the index.
        suggestion: Option<Suggestion>,
        /// When.
        at: Timestamp,
        /// The end of the lease.
        until: Timestamp,
        /// Slots of the worker that it takes.
        threads: u32,
    },
    /// Leases of a worker last longer.
    LeasesRenewed {
        /// The worker.
        worker: WorkerId,
        /// The attempts.
        attempts: Vec<AttemptId>,
        /// When.
        at: Timestamp,
        /// The new end of the leases.
        until: Timestamp,
    },
    /// Rows and a checkpoint are durable.
    Committed {
        /// Who committed.
        attempt: AttemptId,
        /// Which commit of the attempt.
        sequence: u64,
        /// The checkpoint from which the trial now resumes.
        checkpoint: Digest,
        /// The checkpoint that it replaces.
        replaced: Option<Digest>,
        /// How many rows had been produced when the checkpoint was made.
        produced: RowCounts,
        /// Metrics of epochs.
        reports: Vec<Report>,
        /// Share of the whole trial that was done when the checkpoint was made, in [0, 1].
        #[serde(default)]
        fraction: f64,
        /// When.
        at: Timestamp,
    },
    /// A running trial is to stop at its next opportunity.
    StopRequested {
        /// Which.
        trial: TrialId,
        /// Why.
        reason: StopReason,
    },
    /// An attempt is over.
    AttemptEnded {
        /// Which.
        attempt: AttemptId,
        /// Its worker.
        worker: WorkerId,
        /// When it began.
        since: Timestamp,
        /// The last message of the attempt.
        sequence: u64,
        /// How many of its commits were accepted.
        commits: u64,
        /// The first and the last epoch that it committed.
        epochs: Option<(u32, u32)>,
        /// How it ended.
        outcome: AttemptOutcome,
        /// What went wrong.
        error: Option<String>,
        /// The need that the worker did not meet, if it was unfit.
        #[serde(default)]
        need: Option<Need>,
        /// Whether the checkpoint turned out to be unusable.
        discard_checkpoint: bool,
        /// When.
        at: Timestamp,
        /// The earliest time of the next attempt.
        not_before: Timestamp,
    },
    /// Something about a fleet.
    Fleet(fleet::Event),
    /// A trial is over.
    TrialEnded {
        /// Which.
        trial: TrialId,
        /// How.
        outcome: Outcome,
        /// The final metrics.
        metrics: Metrics,
        /// The rest of the row in `trials`, which the workload understands, if it got so far.
        summary: Option<Box<Json>>,
        /// What went wrong, if something did.
        error: Option<String>,
        /// The checkpoint that is no longer needed.
        dropped: Option<Digest>,
        /// When.
        at: Timestamp,
    },
}

/// A trial that is to be tried again, and what its row in `trials` said until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// The trial.
    pub index: u64,
    /// How it had ended: its row in `trials` no longer counts.
    pub was: Outcome,
}

/// A trial that starts over from nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedOver {
    /// The trial.
    pub index: u64,
    /// Its earlier outcome, if it had one.
    pub was: Option<Outcome>,
    /// Its checkpoint, which is no longer needed.
    pub checkpoint: Option<Digest>,
}

impl Event {
    /// The sweep that the event is about, if it is about one.
    pub fn sweep(&self) -> Option<&SweepName> {
        match self {
            Self::SweepSubmitted { definition, .. } => Some(&definition.name),
            Self::SweepPaused { sweep, .. }
            | Self::SweepResumed { sweep, .. }
            | Self::SweepClosed { sweep, .. }
            | Self::SweepEnded { sweep, .. }
            | Self::TrialsRetried { sweep, .. }
            | Self::SweepDeleted { sweep, .. }
            | Self::TrialsStartedOver { sweep, .. } => Some(sweep),
            Self::TrialLeased { attempt, .. }
            | Self::Committed { attempt, .. }
            | Self::AttemptEnded { attempt, .. } => Some(&attempt.trial.sweep),
            Self::StopRequested { trial, .. }
            | Self::TrialEnded { trial, .. }
            | Self::TrialDeferred { trial, .. } => Some(&trial.sweep),
            Self::Started { .. }
            | Self::RequestNoted { .. }
            | Self::WorkerJoined { .. }
            | Self::WorkerUnfit { .. }
            | Self::WorkerDeparted { .. }
            | Self::WorkerLeft { .. }
            | Self::LeasesRenewed { .. }
            | Self::Fleet(_) => None,
        }
    }
}
