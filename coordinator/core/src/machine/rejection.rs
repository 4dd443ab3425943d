//! Why a command was refused. A rejection changes nothing and is no failure of the coordinator.

use super::caller::Caller;
use crate::fleet::FleetName;
use crate::id::{AttemptId, StateId, SweepName, TrialId, WorkerId};

/// The refusal of a command.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// There is no such sweep.
    #[error("no sweep is called `{0}`")]
    UnknownSweep(SweepName),
    /// There is no such fleet.
    #[error("no fleet is called `{0}`: `rheo launch list` shows those there are")]
    UnknownFleet(FleetName),
    /// There is no such trial.
    #[error("sweep `{}` has no trial {}", .0.sweep, .0.index)]
    UnknownTrial(TrialId),
    /// The worker never joined, or was given up.
    #[error("worker `{0}` is not known here: it must join first")]
    UnknownWorker(WorkerId),
    /// The name is taken by a sweep that means something else.
    #[error("a sweep called `{sweep}` exists and differs from this one")]
    SweepDiffers {
        /// The name.
        sweep: SweepName,
        /// The lines that differ, as a diff from the existing sweep to the new one.
        diff: String,
    },
    /// The attempt has no lease: it ended, or a newer attempt owns the trial.
    #[error("attempt `{0}` no longer holds its trial")]
    StaleAttempt(AttemptId),
    /// The message is about another state, or names none.
    #[error("{}", foreign(*named, *own))]
    ForeignState {
        /// The state that it names.
        named: Option<StateId>,
        /// The state here.
        own: Option<StateId>,
    },
    /// The attempt was leased by a history of this state that its journal does not contain.
    #[error(
        "the journal here never leased attempt `{0}` to this worker: it is probably an older copy, such as a backup; what the worker has trained stays in its spool, and is delivered if the newer journal is put back"
    )]
    UnknownLease(AttemptId),
    /// The attempt was trained with another configuration than its trial has here.
    #[error(
        "attempt `{0}` was trained with another configuration than its trial has here: the sweep was replaced by another one, or this coordinator is of another version"
    )]
    ConfigurationDiffers(AttemptId),
    /// A commit is missing in between.
    #[error("commit {sequence} of `{attempt}` came, but {expected} is next")]
    SequenceGap {
        /// The attempt.
        attempt: AttemptId,
        /// What came.
        sequence: u64,
        /// What was expected.
        expected: u64,
    },
    /// The rows of a commit are not those between the durable ones and its checkpoint.
    #[error("commit of `{attempt}` has {found} rows where {expected} are missing")]
    RowsDiffer {
        /// The attempt.
        attempt: AttemptId,
        /// Rows that came.
        found: u64,
        /// Rows that were expected.
        expected: u64,
    },
    /// A trial that was named cannot be tried again.
    #[error("trial `{trial}` cannot be tried again: it is {status}")]
    NotRetryable {
        /// The trial.
        trial: TrialId,
        /// Its status.
        status: &'static str,
    },
    /// There are as many of them as one coordinator keeps.
    #[error("this coordinator has {limit} {what} already, which is all it keeps")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: usize,
    },
    /// A sweep that has ended cannot be paused or cancelled.
    #[error("sweep `{0}` has ended")]
    SweepEnded(SweepName),
    /// A sweep that workers train cannot be deleted.
    #[error(
        "sweep `{sweep}` cannot be deleted: workers hold {running} of its trials; `rheo cancel {sweep}` stops them first"
    )]
    SweepBusy {
        /// The sweep.
        sweep: SweepName,
        /// The number of trials that workers hold.
        running: usize,
    },
    /// The caller may not ask for this command.
    #[error("{} may not ask for this", .0.name())]
    NotAllowed(Caller),
}

fn foreign(named: Option<StateId>, own: Option<StateId>) -> String {
    let own = own.map_or_else(|| "that has no id yet".to_owned(), |own| format!("`{own}`"));
    match named {
        Some(named) => format!(
            "this belongs to state `{named}`, but the coordinator here runs state {own}: start the coordinator of `{named}` again, or another worker for this one; what the worker has trained stays in its spool"
        ),
        None => format!(
            "the message names no state, so it may not be for state {own}, which runs here: the worker, or what lies in its spool, is of an older version; start a worker of the same version as the coordinator"
        ),
    }
}
