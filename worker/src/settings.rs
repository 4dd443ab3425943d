//! Settings of a worker, resolved once.

use std::path::PathBuf;
use std::time::Duration;

use rheo_core::fleet::WorkerLocation;
use rheo_core::id::SweepName;
use rheo_core::resources::{GrantedResources, ResourceOffer};
use rheo_model::trainer::Gpu;
use rheo_proto::access::AccessConfig;
use tokio_util::sync::CancellationToken;

/// Settings of a worker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address and credentials of the coordinator.
    pub access: AccessConfig,
    /// Resources offered to trials.
    pub offered: OfferedResources,
    /// The only sweep to work for; all if none.
    pub sweep: Option<SweepName>,
    /// Directory of commits that are not delivered yet.
    pub spool: PathBuf,
    /// Time without work after which the worker leaves; if none, it waits until every sweep has
    /// ended.
    pub idle: Option<Duration>,
    /// Time to wait for an unreachable coordinator while nothing is training.
    pub unreachable_timeout: Duration,
    /// Maximum time for leaving.
    pub grace: Duration,
    /// Cancelled when the parent process has died, and the coordinator with it.
    pub orphaned: CancellationToken,
    /// Location of the worker.
    pub location: WorkerLocation,
    /// Time until this process is killed by its launcher.
    pub deadline: Option<Duration>,
}

/// Resources that a worker offers to trials.
#[derive(Debug, Clone, Default)]
pub struct OfferedResources {
    /// Number of threads that run trials.
    pub slots: u32,
    /// GPUs, in the order of their numbers.
    pub gpus: Vec<Gpu>,
    /// Megabytes for all trials together; not counted if none.
    pub memory_mb: Option<u64>,
    /// Messages about requested resources that are missing.
    pub shortfalls: Vec<String>,
}

impl OfferedResources {
    /// Returns the offer for the placement of trials.
    pub(crate) fn offer(&self) -> ResourceOffer {
        let gpus = u32::try_from(self.gpus.len()).unwrap_or(u32::MAX);
        ResourceOffer { cpus: self.slots, gpus, memory_mb: self.memory_mb }
    }

    /// Returns the GPUs of a trial.
    pub(crate) fn granted(&self, granted: &GrantedResources) -> Vec<Gpu> {
        let ordinals = granted.gpus.ordinals.iter();
        let gpu = |ordinal: &u32| self.gpus.get(usize::try_from(*ordinal).ok()?).cloned();
        ordinals.filter_map(gpu).collect()
    }
}

impl Settings {
    /// Default of [`Self::unreachable_timeout`].
    pub const UNREACHABLE_TIMEOUT: Duration = Duration::from_mins(5);

    /// Default of [`Self::grace`]: less than Slurm and Kubernetes allow after a SIGTERM.
    pub const GRACE: Duration = Duration::from_secs(25);

    /// Maximum time for leaving when the coordinator is gone.
    pub(crate) const ORPHANED: Duration = Duration::from_secs(5);
}
