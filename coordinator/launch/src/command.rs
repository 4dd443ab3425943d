//! Programs of a cluster, run with a deadline: a client of a scheduler that does not answer waits for
//! minutes, and nothing else can be decided meanwhile.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::Error;

/// What a program said.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) is_success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `program` to its end, at most for `deadline`, with `input` on its standard input.
pub(crate) async fn run(
    program: &str,
    args: &[String],
    input: Option<&str>,
    deadline: Duration,
) -> Result<CommandOutput, Error> {
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    // What is parsed must not depend on anybody's language or formats.
    command.env("LC_ALL", "C");
    for variable in ["SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_STATES", "SQUEUE_SORT"] {
        command.env_remove(variable);
    }
    // Jobs inherit the environment, as users expect; but not what is meant for the coordinator, nor
    // what describes the job that it runs in, if it runs in one.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("RHEO_") || name.starts_with("SLURM_") && name != "SLURM_CONF" {
            command.env_remove(&variable);
        }
    }
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Refused(format!(
            "`{program}` is not on this machine: start the coordinator where the commands of the cluster are"
        )),
        _ => Error::Unavailable(format!("`{program}` could not be run: {error}")),
    };
    let mut child = command.spawn().map_err(failed)?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        // One that does not read its input says why by its exit.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
    let Ok(ended) = tokio::time::timeout(deadline, child.wait_with_output()).await else {
        let seconds = deadline.as_secs();
        return Err(Error::Unavailable(format!("`{program}` did not answer within {seconds} s")));
    };
    let Output { status, stdout, stderr } = ended.map_err(failed)?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(CommandOutput {
        is_success: status.success(),
        stdout: text(&stdout),
        stderr: text(&stderr).trim().to_owned(),
    })
}
