//! Rejections of commands. A rejection changes nothing and is no fault of the coordinator.

use super::caller::Caller;
use crate::fleet::FleetName;
use crate::id::{AttemptId, StateId, SweepName, TrialId, WorkerId};

/// The reason why a command was rejected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The sweep does not exist.
    #[error("no sweep is called `{0}`")]
    UnknownSweep(SweepName),
    /// The fleet does not exist.
    #[error("no fleet is called `{0}`: list the fleets with `rheo launch list`")]
    UnknownFleet(FleetName),
    /// The trial does not exist.
    #[error("sweep `{}` has no trial {}", .0.sweep, .0.index)]
    UnknownTrial(TrialId),
    /// The worker never joined, or was forgotten.
    #[error("worker `{0}` is unknown: it must join first")]
    UnknownWorker(WorkerId),
    /// A sweep of this name exists with another definition.
    #[error("a sweep called `{sweep}` exists and differs from this one")]
    SweepDiffers {
        /// The name.
        sweep: SweepName,
        /// The differing lines, as a diff from the existing sweep to the new one.
        diff: String,
    },
    /// The attempt has lost its lease: it ended, or a newer attempt has the trial.
    #[error("attempt `{0}` has lost its lease")]
    StaleAttempt(AttemptId),
    /// The message names another state, or none.
    #[error("{}", foreign(*named, *own))]
    ForeignState {
        /// The state in the message.
        named: Option<StateId>,
        /// The state of this coordinator.
        own: Option<StateId>,
    },
    /// The journal does not contain the lease of this attempt: it is of another history of the
    /// state.
    #[error(
        "the journal here never leased attempt `{0}` to this worker: it is probably an older copy, such as a backup; the trained work stays in the worker's spool, and is delivered once the newer journal is restored"
    )]
    UnknownLease(AttemptId),
    /// The configuration of the trial is not the one that the attempt ran.
    #[error(
        "attempt `{0}` was trained with another configuration than its trial has here: the sweep was replaced by another one, or this coordinator is of another version"
    )]
    ConfigurationDiffers(AttemptId),
    /// An earlier message of the attempt is missing.
    #[error("commit {sequence} of `{attempt}` is out of order: expected commit {expected}")]
    SequenceGap {
        /// The attempt.
        attempt: AttemptId,
        /// The received message number.
        sequence: u64,
        /// The expected message number.
        expected: u64,
    },
    /// The rows of a commit are not those between the durable ones and the checkpoint.
    #[error("commit of `{attempt}` has {found} rows, expected {expected}")]
    RowsDiffer {
        /// The attempt.
        attempt: AttemptId,
        /// The number of received rows.
        found: u64,
        /// The number of expected rows.
        expected: u64,
    },
    /// The trial is not failed or cancelled, so it cannot be retried.
    #[error("trial `{trial}` cannot be retried: it is {status}")]
    NotRetryable {
        /// The trial.
        trial: TrialId,
        /// Its status.
        status: &'static str,
    },
    /// The coordinator has reached a limit.
    #[error("the coordinator is full: it keeps at most {limit} {what}")]
    Full {
        /// The kind of thing that is limited.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The sweep has ended, so it cannot be paused or cancelled.
    #[error("sweep `{0}` has ended")]
    SweepEnded(SweepName),
    /// The sweep has leased trials, so it cannot be deleted.
    #[error(
        "sweep `{sweep}` cannot be deleted: workers hold {running} of its trials; `rheo cancel {sweep}` stops them first"
    )]
    SweepBusy {
        /// The sweep.
        sweep: SweepName,
        /// The number of leased trials.
        running: usize,
    },
    /// The caller may not give this command.
    #[error("{} may not do this", .0.name())]
    NotAllowed(Caller),
}

fn foreign(named: Option<StateId>, own: Option<StateId>) -> String {
    let own = own.map_or_else(|| "that has no id yet".to_owned(), |own| format!("`{own}`"));
    match named {
        Some(named) => format!(
            "this belongs to state `{named}`, but the coordinator here runs state {own}: start the coordinator of `{named}` again, or start a new worker for this one; the trained work stays in the worker's spool"
        ),
        None => format!(
            "the message names no state, so it may not belong to state {own}, which runs here: the worker, or its spool, is of an older version; start a worker of the same version as the coordinator"
        ),
    }
}
