//! The environment variables of `rheo-worker`, each the default of the flag of the same name.

/// Where the coordinator is, as a URL.
pub(crate) const SERVER: &str = "RHEO_SERVER";

/// The state directory of the coordinator, from which its address is read.
pub(crate) const STATE: &str = "RHEO_STATE";

/// Directory of data files, for tasks that do not name one.
pub(crate) const DATA: &str = "RHEO_DATA";

/// Where commits lie until they are delivered.
pub(crate) const SPOOL: &str = "RHEO_SPOOL";

/// What is logged, as a `tracing` filter.
pub(crate) const LOG: &str = "RHEO_LOG";
