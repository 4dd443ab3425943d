//! The environment variables of `rheo`. Those with a flag of the same name are its default.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Command;

use crate::shell;

/// Address of a coordinator.
pub(super) const SERVER: &str = "RHEO_SERVER";

/// State directory.
pub(super) const STATE: &str = "RHEO_STATE";

/// Directory of data files, for workers that `rheo run` starts and for `rheo data`.
pub(super) const DATA: &str = "RHEO_DATA";

/// Directory or bucket of results.
pub(super) const RESULTS: &str = "RHEO_RESULTS";

/// Directory or bucket of checkpoints.
pub(super) const CHECKPOINTS: &str = "RHEO_CHECKPOINTS";

/// The `rheo-worker` program, if it is not beside `rheo`.
pub(super) const WORKER: &str = "RHEO_WORKER";

/// Seconds between queries of a cluster's pilots.
pub(super) const POLL: &str = "RHEO_POLL";

/// The only sweep that a worker works for; set for workers that `rheo launch` starts.
pub(super) const SWEEP: &str = "RHEO_SWEEP";

/// Seconds without work after which a worker leaves; set for workers that `rheo launch` starts.
pub(super) const IDLE_TIMEOUT: &str = "RHEO_IDLE_TIMEOUT";

/// Memory of all trials of a worker, in megabytes; set for workers that `rheo launch` starts.
pub(super) const MEMORY_MB: &str = "RHEO_MEMORY_MB";

/// GPUs of a simulated machine, for tests.
pub(super) const GPUS: &str = "RHEO_GPUS";

/// A file with the CA of the coordinator.
pub(super) const CA_FILE: &str = "RHEO_CA_FILE";

/// A file with the admin token; `rheo serve` accepts that token.
pub(super) const TOKEN_FILE: &str = "RHEO_TOKEN_FILE";

/// A file with the token of workers, for `rheo serve`.
pub(super) const WORKER_TOKEN_FILE: &str = "RHEO_WORKER_TOKEN_FILE";

/// A file with the certificate of `rheo serve`.
pub(super) const TLS_CERT: &str = "RHEO_TLS_CERT";

/// A file with the key of that certificate.
pub(super) const TLS_KEY: &str = "RHEO_TLS_KEY";

/// Computing time of a query, in seconds.
pub(super) const QUERY_TIME: &str = "RHEO_QUERY_TIME";

/// Memory of a query, in MiB.
pub(super) const QUERY_MEMORY: &str = "RHEO_QUERY_MEMORY";

/// Number of concurrent queries.
pub(super) const QUERIES: &str = "RHEO_QUERIES";

/// The coordinator's cache of the journal, in megabytes.
pub(super) const JOURNAL_CACHE: &str = "RHEO_JOURNAL_CACHE_MB";

/// The image of workers on Kubernetes.
pub(super) const IMAGE: &str = "RHEO_IMAGE";

/// Kubernetes configuration files, as for `kubectl`.
pub(super) const KUBECONFIG: &str = "KUBECONFIG";

/// Log filter in the syntax of `tracing`.
pub(super) const LOG: &str = "RHEO_LOG";

/// Every variable and its purpose.
pub(super) const ALL: [(&str, &str); 18] = [
    (SERVER, "address of a coordinator"),
    (STATE, "state directory"),
    (DATA, "directory of data files"),
    (RESULTS, "where results lie"),
    (CHECKPOINTS, "where checkpoints lie"),
    (WORKER, "the rheo-worker program"),
    (CA_FILE, "file with the CA of the coordinator"),
    (TOKEN_FILE, "file with the token of people"),
    (WORKER_TOKEN_FILE, "file with the token of workers, for rheo serve"),
    (TLS_CERT, "file with the certificate of rheo serve"),
    (TLS_KEY, "file with the key of that certificate"),
    (POLL, "seconds between questions to a cluster"),
    (QUERY_TIME, "seconds of computing that a query may take, 60 by default"),
    (QUERY_MEMORY, "MiB of memory that a query may take, 1024 by default where there is enough"),
    (QUERIES, "queries that run at once, 4 by default"),
    (JOURNAL_CACHE, "megabytes of the journal in memory"),
    (IMAGE, "the image of workers on Kubernetes"),
    (LOG, "what is logged"),
];

/// Returns the value of a variable, even an empty one: an empty `TZ` means UTC.
pub(super) fn raw(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Returns the value of a variable; an empty one counts as not set.
#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub(super) fn get(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the path in a variable; an empty one counts as not set.
pub(super) fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Removes empty variables from a command, because an empty variable counts as not set.
pub(super) fn without_empty(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| {
        let hides = arg.get_env().is_some_and(is_empty);
        if hides { arg.env(None) } else { arg }
    });
    command.mut_subcommands(without_empty)
}

/// Returns this program's name as it was called, quoted for a shell, so that printed commands can
/// be pasted.
pub(super) fn program() -> String {
    let called = std::env::args_os().next();
    called.map_or_else(|| "rheo".to_owned(), |called| shell::path(Path::new(&called)))
}
