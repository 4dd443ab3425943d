//! The interface between a fleet and a cluster.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rheo_core::fleet::{PilotId, PilotStatus};

/// A pilot by its number, tag and handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PilotRef {
    /// The number of the pilot in its fleet.
    pub number: u64,
    /// The name of its submission, unique among all fleets of all users.
    pub tag: String,
    /// The id that the cluster assigned, if known.
    pub handle: Option<String>,
    /// Whether the pilot has started.
    pub runs: bool,
}

/// A pilot to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PilotSubmission {
    /// The pilot.
    pub pilot: PilotId,
    /// The name of the submission.
    pub tag: String,
    /// Nodes on which the pilot must not run.
    pub exclude: Vec<String>,
}

/// An error of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The cluster's limit on jobs is reached.
    #[error("{0}")]
    Limit(String),
    /// The cluster refuses jobs with these settings.
    #[error("{0}")]
    Refused(String),
    /// The cluster does not answer, or its answer cannot be parsed: nothing is known now.
    #[error("{0}")]
    Unavailable(String),
}

/// A cluster, for one fleet.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// The status of each pilot. All or nothing, so that a pilot that was merely not seen does not
    /// look ended.
    async fn observe(&self, pilots: &[PilotRef]) -> Result<BTreeMap<u64, PilotStatus>, Error>;

    /// Submits a pilot under its tag and returns the id that the cluster assigned. After
    /// [`Error::Unavailable`] the pilot may exist; its tag identifies it.
    async fn submit(&self, submission: &PilotSubmission) -> Result<String, Error>;

    /// Removes pilots: queued ones at once, running ones after a last commit. The caller repeats it
    /// until they are gone.
    async fn remove(&self, pilots: &[PilotRef]) -> Result<(), Error>;

    /// Removes the cluster's objects of pilots whose end is journaled.
    async fn forget(&self, _ended: &[PilotRef]) -> Result<(), Error> {
        Ok(())
    }

    /// Removes the cluster's objects of a fleet without pilots that needs none. `tag` has the form of
    /// its pilots' tags.
    async fn close(&self, _tag: &str) -> Result<(), Error> {
        Ok(())
    }
}
