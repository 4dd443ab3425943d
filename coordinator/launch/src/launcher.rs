//! What a fleet needs of a cluster.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rheo_core::fleet::{PilotId, PilotStatus};

/// A pilot that a cluster may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PilotRef {
    /// Its number in the fleet.
    pub number: u64,
    /// The name under which it was submitted: unique among all fleets of all users.
    pub tag: String,
    /// What the cluster calls it, if that is known.
    pub handle: Option<String>,
    /// Whether it has started.
    pub runs: bool,
}

/// A pilot to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PilotSubmission {
    /// Which.
    pub pilot: PilotId,
    /// The name under which it is submitted.
    pub tag: String,
    /// Nodes on which it must not run.
    pub exclude: Vec<String>,
}

/// Why a cluster did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It accepts so many jobs and no more.
    #[error("{0}")]
    Limit(String),
    /// It will not take such a job.
    #[error("{0}")]
    Refused(String),
    /// It does not answer, or says something that cannot be understood: nothing is known now.
    #[error("{0}")]
    Unavailable(String),
}

/// A cluster, for one fleet.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// Where each of these pilots is. All or nothing: a pilot that was merely not seen must not look
    /// like one that has ended.
    async fn observe(&self, pilots: &[PilotRef]) -> Result<BTreeMap<u64, PilotStatus>, Error>;

    /// Submits a pilot under its tag and returns what the cluster calls it. After
    /// [`Error::Unavailable`] it may or may not be there: its tag shows.
    async fn submit(&self, submission: &PilotSubmission) -> Result<String, Error>;

    /// Has pilots go: queued ones at once, running ones after they have committed what they have.
    /// Repeated until they are gone.
    async fn remove(&self, pilots: &[PilotRef]) -> Result<(), Error>;

    /// Clears away what the cluster keeps of pilots whose end is durable here.
    async fn forget(&self, _ended: &[PilotRef]) -> Result<(), Error> {
        Ok(())
    }

    /// Clears away what the cluster keeps of a fleet that has no pilots and wants none; `tag` is like
    /// those of its pilots.
    async fn close(&self, _tag: &str) -> Result<(), Error> {
        Ok(())
    }
}
