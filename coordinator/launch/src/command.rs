//! Commands of a cluster, run with a timeout: a client of a scheduler that does not answer waits for
//! minutes, and would block all other decisions.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::Error;

/// The result of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) is_success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `program` with `input` on its standard input, for at most `deadline`.
pub(crate) async fn run(
    program: &str,
    args: &[String],
    input: Option<&str>,
    deadline: Duration,
) -> Result<CommandOutput, Error> {
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    // The output that is parsed must not depend on locale or formats of the user.
    command.env("LC_ALL", "C");
    for variable in ["SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_STATES", "SQUEUE_SORT"] {
        command.env_remove(variable);
    }
    // Jobs inherit the environment, as users expect, except the variables of the coordinator and
    // those of the job in which it runs, if any.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("RHEO_") || name.starts_with("SLURM_") && name != "SLURM_CONF" {
            command.env_remove(&variable);
        }
    }
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Refused(format!(
            "`{program}` is not on this machine: start the coordinator on a machine with the commands of the cluster"
        )),
        _ => Error::Unavailable(format!("cannot run `{program}`: {error}")),
    };
    let mut child = command.spawn().map_err(failed)?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        // A program that does not read its input reports the reason by its exit.
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
