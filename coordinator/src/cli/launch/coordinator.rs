//! Finds the coordinator that a fleet needs, or starts one that outlives this command.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rheo_proto::access::SERVER_FILE;
use rheo_proto::server_file::ServerFile;
use tokio::time::Instant;

use crate::app::{self, Settings};
use crate::cli::failure::Failure;
use crate::cli::{GlobalArgs, format};
use crate::client::{self, Client, CoordinatorLookup};

/// The machines from which a coordinator must be reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reachability {
    /// This machine.
    Local,
    /// The network, by TLS.
    Network,
}

/// The timeout for the start of a coordinator.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects to the coordinator of the given URL or state directory; starts one if none runs.
pub(super) async fn ensure(
    global: &GlobalArgs,
    reachability: Reachability,
) -> Result<Client, Failure> {
    if global.server.is_some() {
        return global.connect().await;
    }
    app::make_state(&global.state)?;
    match client::find(&Settings::new(global.state.clone()), &global.access()).await? {
        CoordinatorLookup::Running(client) => {
            if reachability == Reachability::Network {
                warn_of_loopback(global);
            }
            return Ok(*client);
        }
        // Released, so that the coordinator can open the state.
        CoordinatorLookup::AtRest(opened) => drop(opened),
    }
    start(&global.state, reachability)?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        // Opening the state directory would lock the new coordinator out.
        if let Ok(client) = Client::over_network(&global.access()).await {
            return Ok(client);
        }
        if Instant::now() > deadline {
            let log = log(&global.state);
            return Err(Failure::Unreachable(anyhow::anyhow!(
                "the coordinator did not start: see `{}`",
                log.display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Warns if the running coordinator listens on loopback only.
fn warn_of_loopback(global: &GlobalArgs) {
    let file = ServerFile::read(&global.state.join(SERVER_FILE)).ok().flatten();
    let url = file.map(|file| file.url).unwrap_or_default();
    let host = url.split("//").nth(1).unwrap_or_default();
    if host.starts_with("127.") || host.starts_with("[::1]") {
        format::note(format!(
            "warning: the coordinator listens on {url} only, where workers on other machines cannot reach it: `{} stop` ends it, and this command starts one that listens on the network",
            global.rheo()
        ));
    }
}

fn log(state: &Path) -> std::path::PathBuf {
    state.join("logs").join("serve.log")
}

fn start(state: &Path, reachability: Reachability) -> Result<(), Failure> {
    let path = log(state);
    let unusable = |error| Failure::unusable(&path, error);
    std::fs::create_dir_all(state.join("logs")).map_err(unusable)?;
    let log = OpenOptions::new().create(true).append(true).open(&path).map_err(unusable)?;
    let listen = match reachability {
        Reachability::Local => "127.0.0.1:0",
        Reachability::Network => "0.0.0.0:0",
    };
    let program = std::env::current_exe();
    let program =
        program.map_err(|error| Failure::system("cannot find this program's own file", error))?;
    let child = Command::new(&program)
        .args(["serve", "--listen", listen, "--state"])
        .arg(state)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(unusable)?)
        .stderr(log)
        // An interrupt of this command must not end the coordinator.
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::unusable(&program, error))?;
    format::note(format!(
        "started a coordinator: process {} on this machine, log `{}`",
        child.id(),
        path.display()
    ));
    Ok(())
}
