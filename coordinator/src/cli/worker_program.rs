//! What only the worker program can do with a checkpoint: it knows what is in one. It gets the
//! checkpoint on its standard input and answers on its standard output.

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

/// The worker program: the one that was named, or the one beside this program.
pub(super) fn path() -> Result<PathBuf, Failure> {
    if let Some(named) = env::path(env::WORKER) {
        // A bare name is looked for in PATH.
        if named.components().count() > 1 && !named.is_file() {
            let text = format!("{} names `{}`, where no file is", env::WORKER, named.display());
            return Err(Failure::usage(text));
        }
        return Ok(named);
    }
    let here = std::env::current_exe();
    let here = here.map_err(|error| Failure::system("this program does not find itself", error))?;
    let beside = here.with_file_name("rheo-worker");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(Failure::usage(format!(
        "there is no `{}`: build it with `cargo build -p rheo-worker`, or set {} to where it is",
        beside.display(),
        env::WORKER
    )))
}

/// What a worker program would have.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct WorkerInventory {
    /// The words that select each GPU in `CUDA_VISIBLE_DEVICES`.
    pub(super) gpus: Vec<String>,
}

/// Whether the worker program accepts `arguments` and its environment, and what it would have; it starts
/// nothing.
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
        // One of another version may say nothing.
        return Ok(serde_json::from_slice(&output.stdout).unwrap_or_default());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("error: ");
    Err(Failure::usage(match said {
        "" => format!("`{}` does not start: it ended by {}", program.display(), output.status),
        said => format!("`{}` does not start: {said}", program.display()),
    }))
}

/// The last checkpoint of a trial.
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

/// What the worker program answers to `checkpoint` when called with `arguments`.
pub(super) async fn run(arguments: Vec<OsString>, checkpoint: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let program = path()?;
    let spawned = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned
        .with_context(|| format!("`{}` could not be started", program.display()))
        .map_err(Failure::Usage)?;
    // Written beside, because the other side may answer before it has read everything.
    if let Some(mut input) = child.stdin.take() {
        tokio::spawn(async move {
            // Who does not read says why on its standard error.
            let _ = input.write_all(&checkpoint).await;
        });
    }
    let output = child.wait_with_output().await;
    let output = output.map_err(|error| Failure::unusable(&program, error))?;
    match output.status.code() {
        Some(0) => Ok(output.stdout),
        // It has said why.
        Some(code @ (1 | 2)) => Err(Failure::Reported(code == 2)),
        _ => Err(Failure::Other(anyhow::anyhow!("the worker program ended by {}", output.status))),
    }
}
