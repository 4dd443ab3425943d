//! Workers as the state knows them.

use serde::{Deserialize, Serialize};

use crate::fleet::WorkerLocation;
use crate::name::WorkloadName;
use crate::needs::{Inventory, UnmetNeed};
use crate::resources::ResourceOffer;
use crate::time::Timestamp;

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// What it is.
    pub info: WorkerInfo,
    /// When it joined.
    pub joined: Timestamp,
    /// When it last got or renewed a lease.
    pub seen: Timestamp,
    /// What it turned out to lack since it joined.
    #[serde(default)]
    pub unfit: Vec<UnmetNeed>,
    /// When and why it said goodbye, if it has.
    #[serde(default)]
    pub departed: Option<Departure>,
}

/// The goodbye of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// When.
    pub at: Timestamp,
    /// Whether it died instead of leaving.
    #[serde(default)]
    pub lost: bool,
    /// Why, if it could not be of use.
    pub reason: Option<String>,
}

/// What a worker says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// The name of its machine.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// What it offers to trials.
    pub offer: ResourceOffer,
    /// The names of its GPUs, in the order in which they are numbered.
    #[serde(default)]
    pub gpu_names: Vec<String>,
    /// What it was asked to offer and does not have, in words.
    #[serde(default)]
    pub shortfalls: Vec<String>,
    /// The version of its program.
    pub version: String,
    /// The workloads whose trials it can run.
    #[serde(default)]
    pub workloads: Vec<WorkloadName>,
    /// Where it runs, as far as what started it has said.
    #[serde(default)]
    pub place: WorkerLocation,
    /// What it has; not known of workers of older versions.
    #[serde(default)]
    pub inventory: Option<Inventory>,
}

impl WorkerInfo {
    /// Tells if the worker can run trials of `workload`.
    pub fn runs(&self, workload: &WorkloadName) -> bool {
        self.workloads.contains(workload)
    }
}
