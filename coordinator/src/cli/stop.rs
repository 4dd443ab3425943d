//! `rheo stop`: ends the coordinator of a state directory, as SIGTERM does.

use std::time::Duration;

use rheo_proto::access::SERVER_FILE;
use rheo_proto::server_file::ServerFile;
use serde_json::json;
use tokio::time::Instant;

use super::failure::Failure;
use super::{GlobalArgs, format};
use crate::app::{self, Settings};
use crate::client::{Client, ShutdownReply};

/// The timeout of the stop: longer than the coordinator's own.
const STOP_TIMEOUT: Duration = Duration::from_secs(45);

/// The time between two checks whether the coordinator has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn run(global: &GlobalArgs) -> Result<(), Failure> {
    let as_json = global.json()?;
    let Some(mut client) = connect_running(global).await? else {
        if as_json {
            return Ok(format::print_json(&json!({ "stopped": false }))?);
        }
        return Ok(format::print(format!("no coordinator runs on {}", global.state.display()))?);
    };
    let before = read_server_file(global);
    let reply = client.shutdown().await?;
    drop(client);
    wait_for_end(global, before.as_ref(), &reply).await?;
    let ShutdownReply { pid, host, workers, running } = reply;
    if as_json {
        return Ok(format::print_json(&json!({
            "stopped": true, "pid": pid, "host": host, "workers": workers, "running": running,
        }))?);
    }
    format::print(format!("the coordinator has ended: process {pid} on {host}"))?;
    if workers > 0 {
        format::note(format!(
            "{workers} workers with {running} trials go on for a while: they keep on disk what they commit, and deliver it when a coordinator runs here again"
        ));
    }
    Ok(())
}

/// Connects to the running coordinator, if there is one.
async fn connect_running(global: &GlobalArgs) -> Result<Option<Client>, Failure> {
    if global.server.is_none() && !global.state.is_dir() {
        return Ok(None);
    }
    let client = global.connect().await?;
    Ok(client.is_live.then_some(client))
}

/// Reads the coordinator's address in the state directory.
fn read_server_file(global: &GlobalArgs) -> Option<ServerFile> {
    ServerFile::read(&global.state.join(SERVER_FILE)).ok().flatten()
}

/// Waits until the coordinator no longer answers and has released its state.
async fn wait_for_end(
    global: &GlobalArgs,
    before: Option<&ServerFile>,
    reply: &ShutdownReply,
) -> Result<(), Failure> {
    let deadline = Instant::now() + STOP_TIMEOUT;
    loop {
        let has_ended = if global.server.is_some() {
            Client::over_network(&global.access()).await.is_err()
        } else {
            let file = read_server_file(global);
            let has_left = file.is_none() || file.as_ref() != before;
            has_left && !is_in_use(global)
        };
        if has_ended {
            return Ok(());
        }
        if Instant::now() > deadline {
            let ShutdownReply { pid, host, .. } = reply;
            return Err(Failure::Other(anyhow::anyhow!(
                "the coordinator was asked to end and still runs after {} s: process {pid} on {host}",
                STOP_TIMEOUT.as_secs()
            )));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Whether a process on this machine has the state open.
fn is_in_use(global: &GlobalArgs) -> bool {
    let opened = app::Coordinator::open(Settings::new(global.state.clone()));
    matches!(opened, Err(app::Error::Journal { source: rheo_store::Error::Locked { .. }, .. }))
}
