//! Environment variables of `rheo-worker`. Each is the default of the flag of the same name; files
//! with secrets have none.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{ColorChoice, Command};
use rheo_worker::GpuVariables;
use tracing_subscriber::EnvFilter;

/// URL of the coordinator.
pub(crate) const SERVER: &str = "RHEO_SERVER";

/// State directory of the coordinator, which holds its address.
pub(crate) const STATE: &str = "RHEO_STATE";

/// CA file of the coordinator; by default that in the state directory.
pub(crate) const CA_FILE: &str = "RHEO_CA_FILE";

/// Token file of workers; by default that in the state directory.
pub(crate) const TOKEN_FILE: &str = "RHEO_TOKEN_FILE";

/// Directory of data files, for tasks that do not name one.
pub(crate) const DATA: &str = "RHEO_DATA";

/// Directory of commits that are not delivered yet.
pub(crate) const SPOOL: &str = "RHEO_SPOOL";

/// Directory of decoded samples, shared by all workers of a machine.
pub(crate) const SAMPLES: &str = "RHEO_SAMPLES";

/// Log filter of `tracing`.
pub(crate) const LOG: &str = "RHEO_LOG";

/// Number of threads that train trials.
pub(crate) const SLOTS: &str = "RHEO_SLOTS";

/// Number of slots that the job requested.
pub(crate) const SLOTS_ASKED: &str = "RHEO_SLOTS_ASKED";

/// Number of GPUs to offer.
pub(crate) const GPU_COUNT: &str = "RHEO_GPU_COUNT";

/// Memory to offer, in megabytes.
pub(crate) const MEMORY_MB: &str = "RHEO_MEMORY_MB";

/// Simulated machine for tests: the names of its GPUs.
const GPUS: &str = "RHEO_GPUS";

/// Time at which this process is killed, in seconds since 1970.
pub(crate) const DEADLINE: &str = "RHEO_DEADLINE";

/// Pilot of the worker.
pub(crate) const PILOT: &str = "RHEO_PILOT";

/// Index of the worker within its job.
pub(crate) const TASK: &str = "RHEO_TASK";

/// Number of restarts of its job.
pub(crate) const RESTARTS: &str = "RHEO_RESTARTS";

/// Job of the worker.
pub(crate) const JOB: &str = "RHEO_JOB";

/// Node of the worker.
pub(crate) const NODE: &str = "RHEO_NODE";

/// Partition, queue or namespace of the worker.
pub(crate) const PARTITION: &str = "RHEO_PARTITION";

/// The only sweep to work for.
pub(crate) const SWEEP: &str = "RHEO_SWEEP";

/// Seconds without work after which the worker leaves.
pub(crate) const IDLE_TIMEOUT: &str = "RHEO_IDLE_TIMEOUT";

/// Maximum seconds for leaving.
pub(crate) const GRACE: &str = "RHEO_GRACE";

/// Returns the path in a variable, if it is set and not empty.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// Returns the variables that assign GPUs.
pub(crate) fn gpus() -> GpuVariables {
    let value = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let given = |name| value(name).filter(|value| !value.is_empty());
    GpuVariables {
        simulated: given(GPUS),
        // An empty value means no GPU, as in CUDA.
        cuda: value("CUDA_VISIBLE_DEVICES"),
        slurm: given("SLURM_STEP_GPUS").or_else(|| given("SLURM_JOB_GPUS")),
        container: given("NVIDIA_VISIBLE_DEVICES"),
    }
}

/// Removes the environment of empty variables from a command; an empty variable counts as unset.
pub(crate) fn without_empty(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| {
        let hides = arg.get_env().is_some_and(is_empty);
        if hides { arg.env(None) } else { arg.hide_env_values(true) }
    });
    command.mut_subcommands(without_empty)
}

/// Returns the log filter.
pub(crate) fn log_filter() -> anyhow::Result<EnvFilter> {
    let Some(text) = std::env::var_os(LOG).filter(|text| !text.is_empty()) else {
        return Ok(EnvFilter::new("info"));
    };
    let text = text.to_string_lossy();
    let filter = EnvFilter::builder().parse(&text);
    filter.with_context(|| format!("{LOG} is no filter of logs such as `info`: `{text}`"))
}

/// Whether `stream` is a terminal that shows colours, and plain text was not requested.
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !is_plain()
}

/// Returns the colour choice for help and usage errors, which clap prints; on its own, clap would
/// use colours in a dumb terminal in CI.
pub(crate) fn clap_colours() -> ColorChoice {
    if is_plain() { ColorChoice::Never } else { ColorChoice::Auto }
}

fn is_plain() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    is_set("NO_COLOR") || is_dumb
}
