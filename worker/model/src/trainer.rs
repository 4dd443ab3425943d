//! The contract between a worker and a trainer: a [`Trainer`] advances a trial step by step and
//! asks its [`Session`] between steps how to continue.
//!
//! The trainer does not depend on leases or connections; the worker does not depend on tensors. A
//! trial's rows are a pure function of its configuration: interruptions, commits and resumptions
//! change none of them.

use std::fmt;

use crate::config::TrialConfig;
use crate::row::{Rows, Summary};
use rheo_core::metric::{MetricReport, Metrics};
use rheo_core::needs::{Inventory, Need};
use rheo_core::progress::Progress;

/// Trainer of trials. One value serves all slots of a worker, from several threads at once.
pub trait Trainer: Send + Sync {
    /// Trains the trial of `config` to its end, or until `session` asks to stop.
    ///
    /// `resume` is the checkpoint to resume from; the trial begins if there is none. Rows from
    /// before the checkpoint are not produced again.
    fn run(
        &self,
        config: &TrialConfig,
        resume: Option<&[u8]>,
        session: &mut dyn Session,
    ) -> Result<RunOutcome, Error>;

    /// Returns the data sets and devices of this machine; none if the trainer does not check them.
    fn inventory(&self) -> Option<Inventory> {
        None
    }

    /// Returns a number that changes when anything that decides whether `need` is met has changed.
    fn fingerprint(&self, _need: &Need) -> u64 {
        0
    }
}

/// A GPU of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Name of the GPU in its source: an index, a UUID, or a MIG id.
    pub name: String,
    /// Device number in this process; none for a simulated GPU in tests, where the trial computes
    /// on the processor.
    pub device: Option<u32>,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device {
            Some(device) => write!(f, "{} (cuda:{device})", self.name),
            None => write!(f, "{} (simulated: computes on the processor)", self.name),
        }
    }
}

/// The worker's side of a running trial. Calls are cheap and do not wait for the coordinator,
/// except [`Session::commit`], which may wait while earlier commits are delivered.
pub trait Session {
    /// Returns the next action; asked after every update and after every evaluated cell.
    fn next(&mut self) -> NextAction;

    /// Reports the progress, for display. May be lost.
    fn progress(&mut self, progress: Progress);

    /// Commits the rows since the last commit and the checkpoint that follows them. They become
    /// durable together or not at all.
    fn commit(&mut self, commit: Commit);

    /// Returns the GPUs of the attempt, exclusive or shared; the trainer uses no other.
    fn gpus(&self) -> &[Gpu] {
        &[]
    }

    /// Returns the seconds since this attempt began, for the `wall_s` columns.
    fn elapsed(&self) -> f64;
}

/// Next action of a trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAction {
    /// Continue training.
    Continue,
    /// Commit, then continue training.
    Commit,
    /// Return [`RunOutcome::Stopped`] with a last commit.
    Stop,
    /// Return [`RunOutcome::Stopped`] at once; its contents are discarded.
    Abandon,
}

/// Rows and the checkpoint that follows them.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// Rows since the last commit.
    pub rows: Rows,
    /// Metrics of the epochs in `rows`.
    pub reports: Vec<MetricReport>,
    /// Checkpoint after these rows.
    pub checkpoint: Vec<u8>,
    /// Progress of the trial.
    pub progress: Progress,
}

/// Outcome of a run without an error.
#[derive(Debug, Clone, PartialEq)]
pub enum RunOutcome {
    /// Trained, evaluated and analysed.
    Completed(FinalCommit),
    /// The loss or a gradient became NaN or infinite; this is a result.
    Diverged {
        /// Results so far.
        finish: FinalCommit,
        /// Position: epoch and update.
        detail: String,
    },
    /// The session asked to stop; another attempt can resume.
    Stopped(Commit),
}

/// Final results of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct FinalCommit {
    /// Last commit.
    pub commit: Commit,
    /// Final value of every metric that exists.
    pub metrics: Metrics,
    /// Remaining columns of the row in `trials`.
    pub summary: Summary,
}

/// Reason why an attempt could not continue. The trial can be retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint cannot be used. The next attempt starts over, skipping durable rows.
    #[error("the checkpoint cannot be used: {0}")]
    Checkpoint(String),
    /// Memory ran out.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The worker does not meet a need of the trial.
    #[error("{message}")]
    Unfit {
        /// Unmet need.
        need: Need,
        /// Reason, with path and error number where there are any.
        message: String,
    },
    /// Anything else, such as an error of libtorch.
    #[error("{0}")]
    Other(String),
}
