//! Workers in the state.

use serde::{Deserialize, Serialize};

use crate::fleet::WorkerLocation;
use crate::name::WorkloadName;
use crate::needs::{Inventory, UnmetNeed};
use crate::resources::ResourceOffer;
use crate::time::Timestamp;

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// The worker's description of itself.
    pub info: WorkerInfo,
    /// The time of joining.
    pub joined: Timestamp,
    /// The time at which it last got or renewed a lease.
    pub seen: Timestamp,
    /// The unmet needs found since it joined.
    #[serde(default)]
    pub unfit: Vec<UnmetNeed>,
    /// The departure, if the worker has left or died.
    #[serde(default)]
    pub departed: Option<Departure>,
}

/// The departure of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// The time.
    pub at: Timestamp,
    /// Whether the worker died.
    #[serde(default)]
    pub lost: bool,
    /// The reason, if the worker left because it was unfit.
    pub reason: Option<String>,
}

/// The description that a worker gives of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// The host name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The resources offered to trials.
    pub offer: ResourceOffer,
    /// The names of the GPUs, by ordinal.
    #[serde(default)]
    pub gpu_names: Vec<String>,
    /// Messages about resources that were requested of the worker and are missing.
    #[serde(default)]
    pub shortfalls: Vec<String>,
    /// The program version.
    pub version: String,
    /// The workloads that the worker can run.
    #[serde(default)]
    pub workloads: Vec<WorkloadName>,
    /// The location, as far as the launcher told it.
    #[serde(default)]
    pub place: WorkerLocation,
    /// The inventory; unknown for older workers.
    #[serde(default)]
    pub inventory: Option<Inventory>,
}

impl WorkerInfo {
    /// Whether the worker can run trials of `workload`.
    pub fn runs(&self, workload: &WorkloadName) -> bool {
        self.workloads.contains(workload)
    }
}
