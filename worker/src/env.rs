//! The environment variables of `rheo-worker`, each the default of the flag of the same
//! name; a file with a secret has none.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{ColorChoice, Command};
use rheo_worker::GpuVariables;
use tracing_subscriber::EnvFilter;

/// Where the coordinator is, as a URL.
pub(crate) const SERVER: &str = "RHEO_SERVER";

/// The state directory of the coordinator, from which its address is read.
pub(crate) const STATE: &str = "RHEO_STATE";

/// A file with the CA of the coordinator; without it the state directory is looked into.
pub(crate) const CA_FILE: &str = "RHEO_CA_FILE";

/// A file with the token of workers; without it the state directory is looked into.
pub(crate) const TOKEN_FILE: &str = "RHEO_TOKEN_FILE";

/// Directory of data files, for tasks that do not name one.
pub(crate) const DATA: &str = "RHEO_DATA";

/// Where commits lie until they are delivered.
pub(crate) const SPOOL: &str = "RHEO_SPOOL";

/// Where samples are kept once they are decoded, for all workers of a machine.
pub(crate) const SAMPLES: &str = "RHEO_SAMPLES";

/// What is logged, as a `tracing` filter.
pub(crate) const LOG: &str = "RHEO_LOG";

/// Threads that train trials side by side.
pub(crate) const SLOTS: &str = "RHEO_SLOTS";

/// Slots that a job was to have.
pub(crate) const SLOTS_ASKED: &str = "RHEO_SLOTS_ASKED";

/// GPUs to offer.
pub(crate) const GPU_COUNT: &str = "RHEO_GPU_COUNT";

/// Megabytes of memory to offer.
pub(crate) const MEMORY_MB: &str = "RHEO_MEMORY_MB";

/// A made-up machine for tests: the names of its GPUs.
const GPUS: &str = "RHEO_GPUS";

/// When this process is ended whatever it does, in seconds since 1970.
pub(crate) const DEADLINE: &str = "RHEO_DEADLINE";

/// The pilot that the worker belongs to.
pub(crate) const PILOT: &str = "RHEO_PILOT";

/// Which worker of its job it is.
pub(crate) const TASK: &str = "RHEO_TASK";

/// How often its job was started again.
pub(crate) const RESTARTS: &str = "RHEO_RESTARTS";

/// Its job.
pub(crate) const JOB: &str = "RHEO_JOB";

/// Its node.
pub(crate) const NODE: &str = "RHEO_NODE";

/// Its partition, queue or namespace.
pub(crate) const PARTITION: &str = "RHEO_PARTITION";

/// The only sweep to work for.
pub(crate) const SWEEP: &str = "RHEO_SWEEP";

/// Seconds without work after which the worker leaves.
pub(crate) const IDLE_TIMEOUT: &str = "RHEO_IDLE_TIMEOUT";

/// Seconds that leaving may take.
pub(crate) const GRACE: &str = "RHEO_GRACE";

/// The path in a variable, if it is set and not empty.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// The variables that hand out GPUs.
pub(crate) fn gpus() -> GpuVariables {
    let value = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let given = |name| value(name).filter(|value| !value.is_empty());
    GpuVariables {
        simulated: given(GPUS),
        // Empty is none, as CUDA has it.
        cuda: value("CUDA_VISIBLE_DEVICES"),
        slurm: given("SLURM_STEP_GPUS").or_else(|| given("SLURM_JOB_GPUS")),
        container: given("NVIDIA_VISIBLE_DEVICES"),
    }
}

/// The command without the variables that are empty: an empty variable is one that is not set.
pub(crate) fn without_empty(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| {
        let hides = arg.get_env().is_some_and(is_empty);
        if hides { arg.env(None) } else { arg.hide_env_values(true) }
    });
    command.mut_subcommands(without_empty)
}

/// What is to be logged.
pub(crate) fn log_filter() -> anyhow::Result<EnvFilter> {
    let Some(text) = std::env::var_os(LOG).filter(|text| !text.is_empty()) else {
        return Ok(EnvFilter::new("info"));
    };
    let text = text.to_string_lossy();
    let filter = EnvFilter::builder().parse(&text);
    filter.with_context(|| format!("{LOG} is no filter of logs such as `info`: `{text}`"))
}

/// Whether `stream` is a terminal that shows colours, and nobody asked for plain text.
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !is_plain()
}

/// Colours of help and of mistakes on the command line, which clap prints: in CI it would take a
/// dumb terminal for one with colours.
pub(crate) fn clap_colours() -> ColorChoice {
    if is_plain() { ColorChoice::Never } else { ColorChoice::Auto }
}

fn is_plain() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    is_set("NO_COLOR") || is_dumb
}
