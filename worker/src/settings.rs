//! How a worker runs, resolved once.

use std::path::PathBuf;
use std::time::Duration;

use rheo_core::fleet::Place;
use rheo_core::id::SweepName;
use rheo_proto::access::Access;
use tokio_util::sync::CancellationToken;

/// How a worker runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the coordinator is, and how it is known.
    pub access: Access,
    /// Threads that compute trials side by side.
    pub slots: u32,
    /// The only sweep to work for; all if none.
    pub sweep: Option<SweepName>,
    /// Where commits lie until they are delivered.
    pub spool: PathBuf,
    /// How long to wait without work before leaving; none waits until every sweep has ended.
    pub idle: Option<Duration>,
    /// How long to wait for a coordinator that cannot be reached, while there is nothing to train.
    pub patience: Duration,
    /// How long leaving may take once it was asked for.
    pub grace: Duration,
    /// Cancelled when the process that started this one has died, and the coordinator with it.
    pub orphaned: CancellationToken,
    /// Where it runs.
    pub place: Place,
    /// How long from now it may live at most: whatever started it ends it then.
    pub deadline: Option<Duration>,
}

impl Settings {
    /// Default of [`Self::patience`].
    pub const PATIENCE: Duration = Duration::from_mins(5);

    /// Default of [`Self::grace`]: within what Slurm and Kubernetes give after a SIGTERM.
    pub const GRACE: Duration = Duration::from_secs(25);

    /// How long leaving takes at most once nobody is there to deliver to.
    pub(crate) const ORPHANED: Duration = Duration::from_secs(5);
}
