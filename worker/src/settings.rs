//! How a worker runs, resolved once.

use std::path::PathBuf;
use std::time::Duration;

use rheo_core::fleet::WorkerLocation;
use rheo_core::id::SweepName;
use rheo_core::resources::{GrantedResources, ResourceOffer};
use rheo_model::trainer::Gpu;
use rheo_proto::access::AccessConfig;
use tokio_util::sync::CancellationToken;

/// How a worker runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the coordinator is, and how it is known.
    pub access: AccessConfig,
    /// What it offers to trials.
    pub offered: OfferedResources,
    /// The only sweep to work for; all if none.
    pub sweep: Option<SweepName>,
    /// Where commits lie until they are delivered.
    pub spool: PathBuf,
    /// How long to wait without work before leaving; none waits until every sweep has ended.
    pub idle: Option<Duration>,
    /// How long to wait for a coordinator that cannot be reached, while there is nothing to train.
    pub unreachable_timeout: Duration,
    /// How long leaving may take once it was asked for.
    pub grace: Duration,
    /// Cancelled when the process that started this one has died, and the coordinator with it.
    pub orphaned: CancellationToken,
    /// Where it runs.
    pub location: WorkerLocation,
    /// How long from now it may live at most: whatever started it ends it then.
    pub deadline: Option<Duration>,
}

/// What a worker offers to trials.
#[derive(Debug, Clone, Default)]
pub struct OfferedResources {
    /// Threads that compute trials side by side.
    pub slots: u32,
    /// GPUs, in the order in which they are numbered.
    pub gpus: Vec<Gpu>,
    /// Megabytes that trials may take together; not counted if none.
    pub memory_mb: Option<u64>,
    /// What it was asked to offer and does not have, in words.
    pub shortfalls: Vec<String>,
}

impl OfferedResources {
    /// The same as trials are placed by it.
    pub(crate) fn offer(&self) -> ResourceOffer {
        let gpus = u32::try_from(self.gpus.len()).unwrap_or(u32::MAX);
        ResourceOffer { cpus: self.slots, gpus, memory_mb: self.memory_mb }
    }

    /// The GPUs that a trial has.
    pub(crate) fn granted(&self, granted: &GrantedResources) -> Vec<Gpu> {
        let ordinals = granted.gpus.ordinals.iter();
        let gpu = |ordinal: &u32| self.gpus.get(usize::try_from(*ordinal).ok()?).cloned();
        ordinals.filter_map(gpu).collect()
    }
}

impl Settings {
    /// Default of [`Self::unreachable_timeout`].
    pub const UNREACHABLE_TIMEOUT: Duration = Duration::from_mins(5);

    /// Default of [`Self::grace`]: within what Slurm and Kubernetes give after a SIGTERM.
    pub const GRACE: Duration = Duration::from_secs(25);

    /// How long leaving takes at most once nobody is there to deliver to.
    pub(crate) const ORPHANED: Duration = Duration::from_secs(5);
}
