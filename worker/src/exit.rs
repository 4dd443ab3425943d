//! Reasons for which a worker exits.

use std::path::PathBuf;

use rheo_proto::refusal::Refusal;

use crate::spool;

/// Reason for an exit without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// Every sweep has ended.
    NothingLeft,
    /// No work for longer than the idle timeout.
    Idle,
    /// The worker was asked to leave, and everything is delivered.
    Drained,
}

/// Reason why a worker could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool cannot be used.
    #[error(
        "commits cannot be stored on disk (choose another directory by `--spool` or RHEO_SPOOL)"
    )]
    Spool(#[from] spool::Error),
    /// The coordinator could not be reached.
    #[error("the coordinator cannot be reached: {0}")]
    Unreachable(Refusal),
    /// The coordinator refused this worker.
    #[error("the coordinator refused: {0}")]
    Refused(Refusal),
    /// The worker is killed before a trial could commit.
    #[error(
        "only {left} s remain, of which leaving may take {grace} s: too little for any trial; request more walltime, or lower `--grace`"
    )]
    NoTime {
        /// Seconds until the worker is killed.
        left: u64,
        /// Maximum seconds for leaving.
        grace: u64,
    },
    /// Address, trust or token for the coordinator are missing or wrong.
    #[error("{0}")]
    Access(Refusal),
    /// The coordinator runs another state than that of this worker's trials.
    #[error("{refusal}. Its trials were stopped; their commits are in `{}`", spool.display())]
    Foreign {
        /// Refusal of the coordinator.
        refusal: Refusal,
        /// Spool directory.
        spool: PathBuf,
    },
    /// The worker does not meet the needs of trials.
    #[error("this worker is unfit for the trials: {reason}")]
    Unfit {
        /// Unmet need, and the cause.
        reason: String,
    },
    /// The worker had to leave before everything was delivered.
    #[error(
        "some commits were not delivered; they are in `{}`, and the next worker that starts with this spool delivers them",
        spool.display()
    )]
    Undelivered {
        /// Spool directory.
        spool: PathBuf,
    },
}
