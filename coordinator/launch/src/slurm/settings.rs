//! Settings of a Slurm fleet.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The settings of all pilots of a Slurm fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlurmSettings {
    /// The state directory, which the nodes must see, too.
    pub state: PathBuf,
    /// The directory of job logs.
    pub logs: PathBuf,
    /// The path of `rheo-worker` on the nodes.
    pub worker: PathBuf,
    /// The walltime, in the format of `sbatch --time`.
    pub time: Option<String>,
    /// The number of processors per node.
    pub cpus: u32,
    /// The number of GPUs per node.
    pub gpus: u32,
    /// The number of nodes of a pilot.
    pub nodes: u32,
    /// The partition.
    pub partition: Option<String>,
    /// The account.
    pub account: Option<String>,
    /// Further arguments of `sbatch`.
    pub options: Vec<String>,
    /// Shell lines that prepare the environment: modules, conda, a container.
    pub setup: String,
    /// Environment variables of the worker, such as `RHEO_DATA`.
    pub environment: BTreeMap<String, String>,
}
