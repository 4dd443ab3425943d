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

/// Where results lie.
pub(super) const RESULTS: &str = "RHEO_RESULTS";

/// Where checkpoints lie.
pub(super) const CHECKPOINTS: &str = "RHEO_CHECKPOINTS";

/// The `rheo-worker` program, if it does not lie beside `rheo`.
pub(super) const WORKER: &str = "RHEO_WORKER";

/// Seconds between questions to a cluster about the pilots of fleets.
pub(super) const POLL: &str = "RHEO_POLL";

/// The only sweep that a worker works for; set for workers that `rheo launch` starts.
pub(super) const SWEEP: &str = "RHEO_SWEEP";

/// Seconds without work after which a worker leaves; set for workers that `rheo launch` starts.
pub(super) const IDLE_TIMEOUT: &str = "RHEO_IDLE_TIMEOUT";

/// Megabytes that the trials of a worker may take together; set for workers that `rheo launch` starts.
pub(super) const MEMORY_MB: &str = "RHEO_MEMORY_MB";

/// The GPUs of a made-up machine, for tests.
pub(super) const GPUS: &str = "RHEO_GPUS";

/// A file with the CA of the coordinator.
pub(super) const CA_FILE: &str = "RHEO_CA_FILE";

/// A file with the token of people; `rheo serve` accepts that token.
pub(super) const TOKEN_FILE: &str = "RHEO_TOKEN_FILE";

/// A file with the token of workers, for `rheo serve`.
pub(super) const WORKER_TOKEN_FILE: &str = "RHEO_WORKER_TOKEN_FILE";

/// A file with the certificate of `rheo serve`.
pub(super) const TLS_CERT: &str = "RHEO_TLS_CERT";

/// A file with the key of that certificate.
pub(super) const TLS_KEY: &str = "RHEO_TLS_KEY";

/// Seconds of computing that a query may take.
pub(super) const QUERY_TIME: &str = "RHEO_QUERY_TIME";

/// MiB of memory that a query may take.
pub(super) const QUERY_MEMORY: &str = "RHEO_QUERY_MEMORY";

/// Queries that run at once.
pub(super) const QUERIES: &str = "RHEO_QUERIES";

/// Megabytes of the journal that the coordinator keeps in memory.
pub(super) const JOURNAL_CACHE: &str = "RHEO_JOURNAL_CACHE_MB";

/// The image of workers on Kubernetes.
pub(super) const IMAGE: &str = "RHEO_IMAGE";

/// Files that say where a Kubernetes cluster is: the variable of `kubectl`.
pub(super) const KUBECONFIG: &str = "KUBECONFIG";

/// What is logged, as a `tracing` filter.
pub(super) const LOG: &str = "RHEO_LOG";

/// Every variable and what it is for.
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

/// The value of a variable that is set, be it empty: in `TZ` that means UTC.
pub(super) fn raw(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The value of a variable; one that is empty counts as not set.
#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub(super) fn get(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The path in a variable, if it is set.
pub(super) fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The command without the variables that are empty: an empty variable is one that is not set.
pub(super) fn without_empty(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| {
        let hides = arg.get_env().is_some_and(is_empty);
        if hides { arg.env(None) } else { arg }
    });
    command.mut_subcommands(without_empty)
}

/// This program as it was called, as a word that a shell reads: what it tells people to type works
/// when they paste it.
pub(super) fn program() -> String {
    let called = std::env::args_os().next();
    called.map_or_else(|| "rheo".to_owned(), |called| shell::path(Path::new(&called)))
}
