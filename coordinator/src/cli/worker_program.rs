//! Runs the worker program on a checkpoint, whose format only that program knows. The checkpoint
//! goes to its standard input, and the result comes from its standard output.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use rheo_core::id::TrialId;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::env;
use super::failure::Failure;
use crate::client::Client;

/// Returns the path of the worker program: the configured one, or the one beside this program.
pub(super) fn path() -> Result<PathBuf, Failure> {
    if let Some(named) = env::path(env::WORKER) {
        // A bare name is searched in PATH.
        if named.components().count() > 1 && !named.is_file() {
            let text = format!("{} names `{}`, which is not a file", env::WORKER, named.display());
            return Err(Failure::usage(text));
        }
        return Ok(named);
    }
    let here = std::env::current_exe();
    let here =
        here.map_err(|error| Failure::system("cannot find this program's own file", error))?;
    let beside = here.with_file_name("rheo-worker");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(Failure::usage(format!(
        "there is no `{}`: build it with `cargo build -p rheo-worker`, or set {} to its path",
        beside.display(),
        env::WORKER
    )))
}

/// The resources that a worker would offer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct WorkerInventory {
    /// The value of `CUDA_VISIBLE_DEVICES` for each GPU.
    pub(super) gpus: Vec<String>,
}

/// Checks that the worker program accepts `arguments` and its environment; returns the resources
/// that it would offer. No worker is started.
pub(super) async fn check(arguments: &[OsString]) -> Result<WorkerInventory, Failure> {
    let program = path()?;
    let output = Command::new(&program)
        .args(arguments)
        .arg("--check")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| Failure::unusable(&program, error))?;
    if output.status.success() {
        // A worker of another version may print nothing.
        return Ok(serde_json::from_slice(&output.stdout).unwrap_or_default());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("error: ");
    Err(Failure::usage(match said {
        "" => format!("`{}` does not start: it ended by {}", program.display(), output.status),
        said => format!("`{}` does not start: {said}", program.display()),
    }))
}

/// Fetches the last checkpoint of a trial.
pub(super) async fn checkpoint(client: &mut Client, id: &TrialId) -> Result<Vec<u8>, Failure> {
    let (seen, _) = client.trial(id).await?;
    let Some(digest) = seen.trial.checkpoint else {
        return Err(Failure::usage(format!(
            "{id} has no checkpoint: it has not committed yet, or its sweep keeps none \
             (`checkpoint: {{keep: final}}` keeps the last)"
        )));
    };
    Ok(client.checkpoint(digest).await?)
}

/// Runs the worker program with `arguments` on `checkpoint`; returns its standard output.
pub(super) async fn run(arguments: Vec<OsString>, checkpoint: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let program = path()?;
    let spawned = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned
        .with_context(|| format!("cannot start `{}`", program.display()))
        .map_err(Failure::Usage)?;
    // In a task of its own: the program may write output before it has read its input.
    if let Some(mut input) = child.stdin.take() {
        tokio::spawn(async move {
            // A program that does not read its input reports the reason on standard error.
            let _ = input.write_all(&checkpoint).await;
        });
    }
    let output = child.wait_with_output().await;
    let output = output.map_err(|error| Failure::unusable(&program, error))?;
    match output.status.code() {
        Some(0) => Ok(output.stdout),
        // The program has printed the reason.
        Some(code @ (1 | 2)) => Err(Failure::Reported(code == 2)),
        _ => Err(Failure::Other(anyhow::anyhow!("the worker program ended by {}", output.status))),
    }
}
