//! The contract between a worker and what trains a trial: a [`Trainer`] advances a trial step by
//! step and asks its [`Session`] between steps what to do next.
//!
//! The trainer knows nothing of leases and networks; the worker knows nothing of tensors. A trial's
//! rows are a pure function of its configuration: when and how often it is interrupted, committed
//! or resumed changes none of them.

use std::fmt;

use crate::config::TrialConfig;
use crate::row::{Rows, Summary};
use rheo_core::metric::{MetricReport, Metrics};
use rheo_core::needs::{Inventory, Need};
use rheo_core::progress::Progress;

/// Trains trials. One value serves all slots of a worker, from several threads at once.
pub trait Trainer: Send + Sync {
    /// Trains the trial of `config` to its end, or until `session` asks to stop.
    ///
    /// `resume` is the checkpoint to go on from; without it the trial begins. Whatever came before
    /// the checkpoint is not produced again.
    fn run(
        &self,
        config: &TrialConfig,
        resume: Option<&[u8]>,
        session: &mut dyn Session,
    ) -> Result<RunOutcome, Error>;

    /// What this machine has for trials, as far as training knows: data sets and devices. Nothing
    /// where nobody looks.
    fn inventory(&self) -> Option<Inventory> {
        None
    }

    /// A number that changes when that has changed on which it depends whether `need` is met.
    fn fingerprint(&self, _need: &Need) -> u64 {
        0
    }
}

/// A GPU that a trial may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// The name that its source has for it: an index, a UUID, a MIG id.
    pub name: String,
    /// The number by which this process finds it; none if it is made up, for tests, and the trial computes
    /// on the processor.
    pub device: Option<u32>,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device {
            Some(device) => write!(f, "{} (cuda:{device})", self.name),
            None => write!(f, "{} (made up: computes on the processor)", self.name),
        }
    }
}

/// The worker's side of a running trial. Calls are cheap and do not wait for the network, except
/// [`Session::commit`], which may wait while earlier commits are still being delivered.
pub trait Session {
    /// What to do now; asked after every update and after every evaluated cell.
    fn next(&mut self) -> NextAction;

    /// Tells people how far the trial is. May be lost.
    fn progress(&mut self, progress: Progress);

    /// Hands over the rows since the last commit and the checkpoint that follows them. They become
    /// durable together or not at all.
    fn commit(&mut self, commit: Commit);

    /// The GPUs that the attempt has, alone or with others; it uses no other.
    fn gpus(&self) -> &[Gpu] {
        &[]
    }

    /// Seconds since this attempt began, for the `wall_s` columns.
    fn elapsed(&self) -> f64;
}

/// What a session wants from the trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAction {
    /// Train on.
    Continue,
    /// Commit, then train on.
    Commit,
    /// Return [`RunOutcome::Stopped`] with a last commit.
    Stop,
    /// Return [`RunOutcome::Stopped`] at once; whatever it carries is thrown away.
    Abandon,
}

/// Rows and the checkpoint that follows them.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The rows since the last commit.
    pub rows: Rows,
    /// The metrics of the epochs in `rows`.
    pub reports: Vec<MetricReport>,
    /// Everything needed to go on from here, as one value.
    pub checkpoint: Vec<u8>,
    /// How far the trial is.
    pub progress: Progress,
}

/// How a run of a trainer ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub enum RunOutcome {
    /// Trained, evaluated and analysed.
    Completed(FinalCommit),
    /// The loss became NaN or infinite: a result.
    Diverged {
        /// What there is.
        finish: FinalCommit,
        /// Where: epoch and update.
        detail: String,
    },
    /// The session asked to stop; another attempt can go on from here.
    Stopped(Commit),
}

/// The last word on a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct FinalCommit {
    /// The last commit.
    pub commit: Commit,
    /// The final value of every metric that exists.
    pub metrics: Metrics,
    /// The rest of the row in `trials`.
    pub summary: Summary,
}

/// Why an attempt could not go on. The trial can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint cannot be used. The next attempt starts over, skipping durable rows.
    #[error("the checkpoint cannot be used: {0}")]
    Checkpoint(String),
    /// Memory ran out.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The worker lacks something that the trial needs.
    #[error("{message}")]
    Unfit {
        /// What.
        need: Need,
        /// Why, with path and error number where there are such.
        message: String,
    },
    /// Anything else, such as an error of libtorch.
    #[error("{0}")]
    Other(String),
}
