//! How pilots of a fleet are submitted to Slurm.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What every pilot of a fleet is submitted with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlurmSettings {
    /// The state directory, seen from the nodes too.
    pub state: PathBuf,
    /// Where logs of jobs go.
    pub logs: PathBuf,
    /// The `rheo-worker` program, as nodes see it.
    pub worker: PathBuf,
    /// Walltime, as `sbatch --time` takes it.
    pub time: Option<String>,
    /// Processors of each node of a pilot.
    pub cpus: u32,
    /// GPUs of each node of a pilot.
    pub gpus: u32,
    /// Nodes of a pilot.
    pub nodes: u32,
    /// Partition.
    pub partition: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Further arguments of `sbatch`, as given.
    pub options: Vec<String>,
    /// Shell lines that prepare the environment: modules, conda, a container.
    pub setup: String,
    /// Variables for the worker, such as `RHEO_DATA`.
    pub environment: BTreeMap<String, String>,
}
