//! The ways in which a worker ends.

use std::path::PathBuf;

use rheo_proto::refusal::Refusal;

use crate::spool;

/// Why a worker ended although nothing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// Every sweep has ended.
    NothingLeft,
    /// There was no work for longer than it was told to wait.
    Idle,
    /// It was asked to go, and everything is delivered.
    Drained,
}

/// Why a worker could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool cannot be used.
    #[error("commits cannot be kept on disk (`--spool` or RHEO_SPOOL names another directory)")]
    Spool(#[from] spool::Error),
    /// The coordinator could not be reached.
    #[error("the coordinator cannot be reached: {0}")]
    Unreachable(Refusal),
    /// The coordinator does not want this worker.
    #[error("the coordinator refused: {0}")]
    Refused(Refusal),
    /// It is ended before a trial could commit anything.
    #[error(
        "{left} s are left, of which leaving may take {grace} s: too little for any trial; ask for more walltime, or give less `--grace`"
    )]
    NoTime {
        /// Seconds until its end.
        left: u64,
        /// Seconds that leaving may take.
        grace: u64,
    },
    /// This worker has not what it takes to speak to the coordinator: address, trust or token.
    #[error("{0}")]
    Access(Refusal),
    /// The coordinator that answers runs another state than the one whose trials this worker has.
    #[error("{refusal}. Its trials were stopped, and what they had made lies in `{}`", spool.display())]
    Foreign {
        /// What it said.
        refusal: Refusal,
        /// The spool directory.
        spool: PathBuf,
    },
    /// It lacks what trials need.
    #[error("this worker cannot be of use: {reason}")]
    Unfit {
        /// The need that it does not meet, and the cause.
        reason: String,
    },
    /// It had to go before everything was delivered.
    #[error(
        "not everything was delivered: it lies in `{}` and is delivered by the next worker that starts with this spool",
        spool.display()
    )]
    Undelivered {
        /// The spool directory.
        spool: PathBuf,
    },
}
